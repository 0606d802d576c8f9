"""Deleted users keep their name on what they did

Revision ID: 0023
Revises: 0022
Create Date: 2026-11-27 07:05:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0023'
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('users', sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint('uq_users_name', 'users', type_='unique')
    op.create_index('uq_users_name', 'users', ['name'], unique=True, postgresql_where=sa.text('deleted_at IS NULL'))


def downgrade():
    op.execute("DELETE FROM users WHERE deleted_at IS NOT NULL")
    op.drop_index('uq_users_name', table_name='users')
    op.create_unique_constraint('uq_users_name', 'users', ['name'])
    op.drop_column('users', 'deleted_at')
