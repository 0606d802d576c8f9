"""What people may do, and the zone in which they read times

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-24 22:10:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0005'
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade():
    # Until now everybody could do everything; nobody loses that by an upgrade.
    op.add_column('users', sa.Column('role', sa.String(length=32), nullable=False, server_default='admin'))
    op.alter_column('users', 'role', server_default=None)
    op.add_column('users', sa.Column('timezone', sa.String(length=64), nullable=True))


def downgrade():
    op.drop_column('users', 'timezone')
    op.drop_column('users', 'role')
