"""A run has a job for each executor that works on it; what happens when an executor does not answer

Revision ID: 0011
Revises: 0010
Create Date: 2026-11-25 01:30:00

"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = '0011'
down_revision = "0010"
branch_labels = None
depends_on = None

OPEN = "status IN ('waiting', 'queued', 'running')"
ABSENCES = sa.Enum('wait', 'fail', name='absence', native_enum=False, length=32)


def upgrade():
    op.create_table('run_jobs',
    sa.Column('id', sa.String(length=32), nullable=False),
    sa.Column('run_id', sa.Integer(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('executor', sa.String(length=32), nullable=False),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('request', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('steps', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('log_offset', sa.Integer(), nullable=False),
    sa.Column('heartbeat_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['run_id'], ['runs.id'], name=op.f('fk_run_jobs_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_run_jobs')),
    )
    # What there was, was the one executor's. A run that is skipped or still queued has no job.
    op.execute(
        "INSERT INTO run_jobs (id, run_id, number, executor, status, request, steps, log_offset, heartbeat_at)"
        " SELECT job_id, id, 1, 'main', CASE status WHEN 'starting' THEN 'waiting' WHEN 'running' THEN 'running'"
        " WHEN 'success' THEN 'completed' WHEN 'partial' THEN 'completed' WHEN 'cancelled' THEN 'cancelled'"
        " ELSE 'failed' END, request, steps, log_offset, heartbeat_at FROM runs"
        " WHERE status NOT IN ('skipped', 'queued')"
    )
    op.create_index('ix_run_jobs_run_id', 'run_jobs', ['run_id', 'number'], unique=True)
    op.create_index(
        'ix_run_jobs_open', 'run_jobs', ['executor', 'heartbeat_at'], postgresql_where=sa.text(OPEN)
    )
    op.drop_column('runs', 'job_id')
    op.drop_column('runs', 'steps')
    op.add_column('scheduled_tasks', sa.Column('absence', ABSENCES, server_default='wait', nullable=False))


def downgrade():
    op.drop_column('scheduled_tasks', 'absence')
    op.add_column('runs', sa.Column('steps', postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column('runs', sa.Column('job_id', sa.String(length=32), nullable=True))
    # The first job of each: an earlier version knows of no other.
    op.execute(
        "UPDATE runs SET job_id = job.id, steps = job.steps FROM run_jobs AS job"
        " WHERE job.run_id = runs.id AND job.number = 1"
    )
    op.execute(
        "UPDATE runs SET job_id = coalesce(job_id, replace(gen_random_uuid()::text, '-', '')),"
        " steps = coalesce(steps, '[]')"
    )
    op.alter_column('runs', 'job_id', nullable=False)
    op.alter_column('runs', 'steps', nullable=False)
    op.create_unique_constraint(op.f('uq_runs_job_id'), 'runs', ['job_id'])
    op.drop_table('run_jobs')
