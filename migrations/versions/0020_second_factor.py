"""Codes of an app as a second factor

Revision ID: 0020
Revises: 0019
Create Date: 2026-11-27 02:10:00

"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = '0020'
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('users', sa.Column('totp_secret', sa.Text(), nullable=True))
    op.add_column('users', sa.Column('totp_step', sa.Integer(), nullable=True))
    op.add_column('users', sa.Column('recovery_hashes', postgresql.JSONB(astext_type=sa.Text()), nullable=False, server_default='[]'))


def downgrade():
    for name in ('recovery_hashes', 'totp_step', 'totp_secret'):
        op.drop_column('users', name)
