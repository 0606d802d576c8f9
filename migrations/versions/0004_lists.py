"""Lists that notice changes, and forms that are sent twice

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-24 03:42:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

# Only what lists show: a heartbeat or a piece of log is written every two seconds.
SHOWN = 'status, reason, result_data, started_at, completed_at, cancel_requested_at, task_id'


def upgrade():
    op.add_column('runs', sa.Column('request_key', sa.String(length=64), nullable=True))
    op.create_index(
        'uq_runs_request_key',
        'runs',
        ['task_id', 'request_key'],
        unique=True,
        postgresql_where=sa.text('request_key IS NOT NULL'),
    )
    op.create_index('ix_runs_status_id', 'runs', ['status', 'id'])
    op.create_index('ix_runs_trigger_id', 'runs', ['trigger', 'id'])
    op.execute('CREATE SEQUENCE changes_seq AS bigint')
    op.execute(
        """
        CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            -- Held until the commit is there to be read, so that a reader can tell that it is not yet.
            PERFORM pg_advisory_xact_lock_shared('changes_seq'::regclass::oid::bigint);
            PERFORM nextval('changes_seq');
            RETURN NULL;
        END
        $$
        """
    )
    op.execute(
        'CREATE TRIGGER note_change AFTER INSERT OR UPDATE OR DELETE ON scheduled_tasks'
        ' FOR EACH STATEMENT EXECUTE FUNCTION note_change()'
    )
    op.execute(
        f'CREATE TRIGGER note_change AFTER INSERT OR DELETE OR UPDATE OF {SHOWN} ON runs'
        ' FOR EACH STATEMENT EXECUTE FUNCTION note_change()'
    )


def downgrade():
    op.execute('DROP TRIGGER note_change ON runs')
    op.execute('DROP TRIGGER note_change ON scheduled_tasks')
    op.execute('DROP FUNCTION note_change()')
    op.execute('DROP SEQUENCE changes_seq')
    op.drop_index('ix_runs_trigger_id', 'runs')
    op.drop_index('ix_runs_status_id', 'runs')
    op.drop_index('uq_runs_request_key', 'runs', postgresql_where=sa.text('request_key IS NOT NULL'))
    op.drop_column('runs', 'request_key')
