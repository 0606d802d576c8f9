"""What happens when a task is to run while an earlier run of it is not over

Revision ID: 0007
Revises: 0005
Create Date: 2026-11-24 22:10:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None

QUEUED = sa.text("status = 'queued'")
GOING = sa.text("status IN ('starting', 'running')")
ACTIVE = sa.text("status IN ('queued', 'starting', 'running')")
RULES = sa.Enum('skip', 'wait', 'replace', name='overlap', native_enum=False, length=32)


def upgrade():
    op.add_column('scheduled_tasks', sa.Column('overlap', RULES, server_default='skip', nullable=False))
    op.add_column('runs', sa.Column('cancel_reason', sa.Text(), nullable=True))
    op.create_index('uq_runs_queued_task', 'runs', ['task_id'], unique=True, postgresql_where=QUEUED)
    op.create_index('uq_runs_going_task', 'runs', ['task_id'], unique=True, postgresql_where=GOING)
    op.drop_index('uq_runs_active_task', 'runs')
    op.drop_index('ix_runs_active', 'runs')
    op.create_index('ix_runs_active', 'runs', ['task_id'], postgresql_where=ACTIVE)


def downgrade():
    # Where one run waits for another, only one of them may stay active.
    op.execute(
        "UPDATE runs SET status = 'cancelled', completed_at = now(), reason = 'Cancelled before it began.'"
        " WHERE status = 'queued' AND task_id IN"
        " (SELECT task_id FROM runs WHERE status IN ('starting', 'running'))"
    )
    op.drop_index('ix_runs_active', 'runs')
    op.create_index('ix_runs_active', 'runs', ['status'], postgresql_where=ACTIVE)
    op.create_index('uq_runs_active_task', 'runs', ['task_id'], unique=True, postgresql_where=ACTIVE)
    op.drop_index('uq_runs_going_task', 'runs')
    op.drop_index('uq_runs_queued_task', 'runs')
    op.drop_column('runs', 'cancel_reason')
    op.drop_column('scheduled_tasks', 'overlap')
