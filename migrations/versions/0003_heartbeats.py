"""Heartbeats, and an index for the usual duration of a task

Revision ID: 0003
Revises: 0001
Create Date: 2026-11-24 03:40:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0003'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade():
    op.create_table('heartbeats',
    sa.Column('name', sa.String(length=32), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_heartbeats'))
    )
    with op.batch_alter_table('runs', schema=None) as batch_op:
        batch_op.create_index('ix_runs_usual', ['task_id', 'id'], unique=False, postgresql_where=sa.text("status IN ('success', 'partial')"))


def downgrade():
    with op.batch_alter_table('runs', schema=None) as batch_op:
        batch_op.drop_index('ix_runs_usual', postgresql_where=sa.text("status IN ('success', 'partial')"))

    op.drop_table('heartbeats')
