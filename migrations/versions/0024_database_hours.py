"""Scans that demand new databases

Revision ID: 0024
Revises: 0023
Create Date: 2026-11-27 12:20:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0024'
down_revision = "0023"
branch_labels = None
depends_on = None

RULES = sa.Enum('update', 'wait', 'fail', name='olddatabases', native_enum=False, length=32)


def upgrade():
    op.add_column('scheduled_tasks', sa.Column('database_hours', sa.Integer(), nullable=True))
    op.add_column('scheduled_tasks', sa.Column('old_databases', RULES, server_default='update', nullable=False))


def downgrade():
    op.drop_column('scheduled_tasks', 'old_databases')
    op.drop_column('scheduled_tasks', 'database_hours')
