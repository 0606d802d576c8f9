"""First tables

Revision ID: 0001
Revises: 
Create Date: 2026-11-24 02:25:08.970634

"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table('hosts',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=253), nullable=False),
    sa.Column('hostname', sa.String(length=253), nullable=False),
    sa.Column('scan_modes', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('vuls_config', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('synced_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('retired_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hosts')),
    sa.UniqueConstraint('name', name=op.f('uq_hosts_name'))
    )
    op.create_table('users',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('password_hash', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_users')),
    sa.UniqueConstraint('name', name=op.f('uq_users_name'))
    )
    op.create_table('api_tokens',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=80), nullable=False),
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_api_tokens_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_api_tokens')),
    sa.UniqueConstraint('name', name=op.f('uq_api_tokens_name')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_api_tokens_token_hash'))
    )
    op.create_table('scheduled_tasks',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('name', sa.String(length=120), nullable=False),
    sa.Column('description', sa.Text(), nullable=False),
    sa.Column('task_type', sa.Enum('scan', 'db_update', name='tasktype', native_enum=False, length=32), nullable=False),
    sa.Column('scan_type', sa.Enum('fast', 'full', name='scantype', native_enum=False, length=32), nullable=True),
    sa.Column('database_type', sa.Enum('all', 'nvd', 'ubuntu', 'debian', 'redhat', 'amazon', 'alpine', 'gost_ubuntu', 'gost_debian', 'gost_redhat', name='databasetype', native_enum=False, length=32), nullable=True),
    sa.Column('host_id', sa.Integer(), nullable=True),
    sa.Column('cron_expression', sa.String(length=120), nullable=False),
    sa.Column('timezone', sa.String(length=64), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('next_run_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_run_id', sa.Integer(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("(task_type = 'scan' AND host_id IS NOT NULL AND scan_type IS NOT NULL AND database_type IS NULL) OR (task_type = 'db_update' AND host_id IS NULL AND scan_type IS NULL AND database_type IS NOT NULL)", name=op.f('ck_scheduled_tasks_target_fits_type')),
    sa.ForeignKeyConstraint(['host_id'], ['hosts.id'], name=op.f('fk_scheduled_tasks_host_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_scheduled_tasks'))
    )
    with op.batch_alter_table('scheduled_tasks', schema=None) as batch_op:
        batch_op.create_index('ix_scheduled_tasks_due', ['next_run_at'], unique=False, postgresql_where=sa.text('active'))
        batch_op.create_index(batch_op.f('ix_scheduled_tasks_host_id'), ['host_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_scheduled_tasks_last_run_id'), ['last_run_id'], unique=False)
        batch_op.create_index('uq_scheduled_tasks_lower_name', [sa.literal_column('lower(name)')], unique=True)

    op.create_table('runs',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('task_id', sa.Integer(), nullable=False),
    sa.Column('status', sa.Enum('queued', 'starting', 'running', 'success', 'partial', 'failed', 'timeout', 'cancelled', 'skipped', name='runstatus', native_enum=False, length=32), nullable=False),
    sa.Column('trigger', sa.Enum('schedule', 'person', 'api', name='trigger', native_enum=False, length=32), nullable=False),
    sa.Column('requested_by_id', sa.Integer(), nullable=True),
    sa.Column('scheduled_for', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('completed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('heartbeat_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('cancel_requested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('request', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('job_id', sa.String(length=32), nullable=False),
    sa.Column('steps', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('log_offset', sa.Integer(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('result_data', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.ForeignKeyConstraint(['requested_by_id'], ['users.id'], name=op.f('fk_runs_requested_by_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['task_id'], ['scheduled_tasks.id'], name=op.f('fk_runs_task_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_runs')),
    sa.UniqueConstraint('job_id', name=op.f('uq_runs_job_id')),
    sa.UniqueConstraint('task_id', 'scheduled_for', name=op.f('uq_runs_task_id_scheduled_for'))
    )
    with op.batch_alter_table('runs', schema=None) as batch_op:
        batch_op.create_index('ix_runs_active', ['status'], unique=False, postgresql_where=sa.text("status IN ('queued', 'starting', 'running')"))
        batch_op.create_index(batch_op.f('ix_runs_created_at'), ['created_at'], unique=False)
        batch_op.create_index('ix_runs_history', ['task_id', 'id'], unique=False)
        batch_op.create_index('uq_runs_active_task', ['task_id'], unique=True, postgresql_where=sa.text("status IN ('queued', 'starting', 'running')"))

    op.create_table('findings',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('host_id', sa.Integer(), nullable=False),
    sa.Column('cve_id', sa.Text(), nullable=False),
    sa.Column('severity', sa.Enum('critical', 'high', 'medium', 'low', 'unknown', name='severity', native_enum=False, length=32), nullable=False),
    sa.Column('score', sa.Double(), nullable=True),
    sa.Column('title', sa.Text(), nullable=False),
    sa.Column('packages', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('first_seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('first_run_id', sa.Integer(), nullable=True),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('fixed_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['first_run_id'], ['runs.id'], name=op.f('fk_findings_first_run_id'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['host_id'], ['hosts.id'], name=op.f('fk_findings_host_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_findings')),
    sa.UniqueConstraint('host_id', 'cve_id', name=op.f('uq_findings_host_id_cve_id'))
    )
    with op.batch_alter_table('findings', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_findings_cve_id'), ['cve_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_findings_first_run_id'), ['first_run_id'], unique=False)
        batch_op.create_index('ix_findings_open', ['severity', 'host_id'], unique=False, postgresql_where=sa.text('fixed_at IS NULL'))

    op.create_table('log_chunks',
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('start', sa.Integer(), nullable=False),
    sa.Column('text', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_log_chunks_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'start', name=op.f('pk_log_chunks'))
    )
    op.create_table('results',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('host_id', sa.Integer(), nullable=False),
    sa.Column('scanned_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('family', sa.Text(), nullable=False),
    sa.Column('release', sa.Text(), nullable=False),
    sa.Column('package_count', sa.Integer(), nullable=False),
    sa.Column('severity_counts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('document', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['host_id'], ['hosts.id'], name=op.f('fk_results_host_id')),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_results_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_results')),
    sa.UniqueConstraint('run_id', 'host_id', name=op.f('uq_results_run_id_host_id'))
    )
    with op.batch_alter_table('results', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_results_host_id'), ['host_id'], unique=False)

    # The two tables point at each other: this key can only come once both stand.
    op.create_foreign_key(
        op.f('fk_scheduled_tasks_last_run_id'), 'scheduled_tasks', 'runs', ['last_run_id'], ['id'], ondelete='SET NULL'
    )


def downgrade():
    op.drop_constraint(op.f('fk_scheduled_tasks_last_run_id'), 'scheduled_tasks', type_='foreignkey')
    with op.batch_alter_table('results', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_results_host_id'))

    op.drop_table('results')
    op.drop_table('log_chunks')
    with op.batch_alter_table('findings', schema=None) as batch_op:
        batch_op.drop_index('ix_findings_open', postgresql_where=sa.text('fixed_at IS NULL'))
        batch_op.drop_index(batch_op.f('ix_findings_first_run_id'))
        batch_op.drop_index(batch_op.f('ix_findings_cve_id'))

    op.drop_table('findings')
    with op.batch_alter_table('runs', schema=None) as batch_op:
        batch_op.drop_index('uq_runs_active_task', postgresql_where=sa.text("status IN ('queued', 'starting', 'running')"))
        batch_op.drop_index('ix_runs_history')
        batch_op.drop_index(batch_op.f('ix_runs_created_at'))
        batch_op.drop_index('ix_runs_active', postgresql_where=sa.text("status IN ('queued', 'starting', 'running')"))

    op.drop_table('runs')
    with op.batch_alter_table('scheduled_tasks', schema=None) as batch_op:
        batch_op.drop_index('uq_scheduled_tasks_lower_name')
        batch_op.drop_index(batch_op.f('ix_scheduled_tasks_last_run_id'))
        batch_op.drop_index(batch_op.f('ix_scheduled_tasks_host_id'))
        batch_op.drop_index('ix_scheduled_tasks_due', postgresql_where=sa.text('active'))

    op.drop_table('scheduled_tasks')
    op.drop_table('api_tokens')
    op.drop_table('users')
    op.drop_table('hosts')
