"""Pings of single tasks

Revision ID: 0028
Revises: 0027
Create Date: 2026-11-27 23:35:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0028'
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('scheduled_tasks', sa.Column('ping_url', sa.Text(), nullable=True))
    op.create_table(
        'task_pings',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('task_id', sa.Integer(), nullable=False),
        sa.Column('kind', sa.String(length=32), nullable=False),
        sa.Column('text', sa.Text(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('tries', sa.Integer(), nullable=False),
        sa.Column('next_try_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('problem', sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint('id', name='pk_task_pings'),
        sa.ForeignKeyConstraint(
            ['task_id'], ['scheduled_tasks.id'], name='fk_task_pings_task_id_scheduled_tasks', ondelete='CASCADE'
        ),
    )
    op.create_index('ix_task_pings_task_id', 'task_pings', ['task_id'])


def downgrade():
    op.drop_table('task_pings')
    op.drop_column('scheduled_tasks', 'ping_url')
