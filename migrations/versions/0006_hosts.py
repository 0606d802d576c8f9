"""Hosts with tags, notes and their last scan; tasks for a tag, and their pauses; runs host by host

Revision ID: 0006
Revises: 0007
Create Date: 2026-11-24 22:12:00

"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

CONNECTIONS = sa.Enum(
    'aws_ssm', 'gcp_iap', 'cloudflare_access', 'jump_host', 'direct', 'local', 'pseudo', 'custom',
    name='hostconnection', native_enum=False, length=32,
)
OUTCOMES = sa.Enum('success', 'partial', 'failed', name='outcome', native_enum=False, length=32)

# What the list and the page of a host show; not synced_at, which every sync writes on every host.
SHOWN = (
    'name, entry, parent_id, hostname, connection, scan_modes, vuls_config, tags, notes, retired_at, problem,'
    ' last_run_id, last_scan_at, last_outcome'
)
TARGET = (
    "(task_type = 'scan' AND (host_id IS NULL) <> (host_tag IS NULL) AND scan_type IS NOT NULL"
    " AND database_type IS NULL)"
    " OR (task_type = 'db_update' AND host_id IS NULL AND host_tag IS NULL AND scan_type IS NULL"
    " AND database_type IS NOT NULL)"
)
TARGET_BEFORE = (
    "(task_type = 'scan' AND host_id IS NOT NULL AND scan_type IS NOT NULL AND database_type IS NULL)"
    " OR (task_type = 'db_update' AND host_id IS NULL AND scan_type IS NULL AND database_type IS NOT NULL)"
)


def upgrade():
    _extend_hosts()
    _extend_tasks()
    op.create_table('run_hosts',
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=253), nullable=False),
    sa.Column('host_id', sa.Integer(), nullable=True),
    sa.Column('outcome', OUTCOMES, nullable=True),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('severity_counts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('packages', sa.Integer(), nullable=False),
    sa.Column('opened', sa.Integer(), nullable=False),
    sa.Column('fixed', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['host_id'], ['hosts.id'], name=op.f('fk_run_hosts_host_id')),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_run_hosts_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'name', name=op.f('pk_run_hosts'))
    )
    op.create_index('ix_run_hosts_history', 'run_hosts', ['host_id', 'run_id'])
    _carry_over()
    op.execute(
        f'CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE OF {SHOWN} ON hosts'
        ' FOR EACH STATEMENT EXECUTE FUNCTION note_change()'
    )


def _extend_hosts():
    op.add_column('hosts', sa.Column('entry', sa.String(length=200), nullable=True))
    op.add_column('hosts', sa.Column('parent_id', sa.Integer(), nullable=True))
    op.add_column('hosts', sa.Column('connection', CONNECTIONS, nullable=False, server_default='direct'))
    op.add_column('hosts', sa.Column('tags', postgresql.ARRAY(sa.Text()), nullable=False, server_default='{}'))
    op.add_column('hosts', sa.Column('notes', sa.Text(), nullable=False, server_default=''))
    op.add_column('hosts', sa.Column('problem', sa.Text(), nullable=True))
    op.add_column('hosts', sa.Column('last_run_id', sa.Integer(), nullable=True))
    op.add_column('hosts', sa.Column('last_scan_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('hosts', sa.Column('last_outcome', OUTCOMES, nullable=True))
    # The next sync, which each start brings, says what is so.
    op.execute('UPDATE hosts SET entry = left(name, 200)')
    op.alter_column('hosts', 'entry', nullable=False)
    for column in ('connection', 'tags', 'notes'):
        op.alter_column('hosts', column, server_default=None)
    op.create_foreign_key(op.f('fk_hosts_parent_id'), 'hosts', 'hosts', ['parent_id'], ['id'])
    op.create_foreign_key(
        op.f('fk_hosts_last_run_id'), 'hosts', 'runs', ['last_run_id'], ['id'], ondelete='SET NULL'
    )
    op.create_index('ix_hosts_entry', 'hosts', ['entry'])
    op.create_index('ix_hosts_parent_id', 'hosts', ['parent_id'])
    op.create_index('ix_hosts_last_run_id', 'hosts', ['last_run_id'])
    op.create_index('ix_hosts_last_scan_at', 'hosts', ['last_scan_at'])
    op.create_index('ix_hosts_lower_name', 'hosts', [sa.literal_column('lower(name)')])
    op.create_index('ix_hosts_tags', 'hosts', ['tags'], postgresql_using='gin')


def _extend_tasks():
    op.add_column('scheduled_tasks', sa.Column('host_tag', sa.String(length=32), nullable=True))
    op.add_column('scheduled_tasks', sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('scheduled_tasks', sa.Column('paused_reason', sa.Text(), nullable=True))
    op.create_index('ix_scheduled_tasks_host_tag', 'scheduled_tasks', ['host_tag'])
    op.drop_constraint(op.f('ck_scheduled_tasks_target_fits_type'), 'scheduled_tasks')
    op.create_check_constraint(op.f('ck_scheduled_tasks_target_fits_type'), 'scheduled_tasks', TARGET)
    op.create_check_constraint(
        op.f('ck_scheduled_tasks_pause_says_why'),
        'scheduled_tasks',
        '(paused_at IS NULL) = (paused_reason IS NULL)',
    )


def _carry_over():
    """Make lines and last scans of what is known of earlier runs, out of result_data and results."""
    op.execute(
        """
        INSERT INTO run_hosts (run_id, name, host_id, outcome, message, severity_counts, packages, opened, fixed)
        SELECT runs.id, line ->> 'name', hosts.id, line ->> 'outcome', line ->> 'message',
            coalesce(line -> 'severity_counts', '{}'), coalesce((line ->> 'packages')::int, 0),
            coalesce((line ->> 'opened')::int, 0), coalesce((line ->> 'fixed')::int, 0)
        FROM runs
        CROSS JOIN LATERAL jsonb_array_elements(runs.result_data -> 'hosts') AS line
        LEFT JOIN hosts ON hosts.name = line ->> 'name'
        WHERE jsonb_typeof(runs.result_data -> 'hosts') = 'array' AND length(line ->> 'name') <= 253
        ON CONFLICT DO NOTHING
        """
    )
    op.execute("UPDATE runs SET result_data = result_data - 'hosts' WHERE result_data ? 'hosts'")
    op.execute(
        """
        UPDATE hosts SET last_run_id = latest.run_id, last_scan_at = latest.at, last_outcome = latest.outcome
        FROM (
            SELECT DISTINCT ON (run_hosts.host_id) run_hosts.host_id, run_hosts.run_id, run_hosts.outcome,
                coalesce(runs.completed_at, runs.created_at) AS at
            FROM run_hosts JOIN runs ON runs.id = run_hosts.run_id
            WHERE run_hosts.host_id IS NOT NULL
            ORDER BY run_hosts.host_id, run_hosts.run_id DESC
        ) AS latest
        WHERE hosts.id = latest.host_id
        """
    )


def downgrade():
    op.execute('DROP TRIGGER note_change ON hosts')
    op.drop_table('run_hosts')
    op.execute('DELETE FROM scheduled_tasks WHERE host_tag IS NOT NULL')
    op.drop_constraint(op.f('ck_scheduled_tasks_pause_says_why'), 'scheduled_tasks')
    op.drop_constraint(op.f('ck_scheduled_tasks_target_fits_type'), 'scheduled_tasks')
    for column in ('host_tag', 'paused_at', 'paused_reason'):
        op.drop_column('scheduled_tasks', column)
    op.create_check_constraint(op.f('ck_scheduled_tasks_target_fits_type'), 'scheduled_tasks', TARGET_BEFORE)
    op.drop_index('ix_hosts_lower_name', 'hosts')
    for column in ('last_outcome', 'last_scan_at', 'last_run_id', 'problem', 'notes', 'tags', 'connection',
                   'parent_id', 'entry'):
        op.drop_column('hosts', column)
