"""Failed sign-ins of a name

Revision ID: 0025
Revises: 0024
Create Date: 2026-11-27 13:05:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0025'
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        'sign_in_failures',
        sa.Column('name_hash', sa.String(length=64), nullable=False),
        sa.Column('count', sa.Integer(), nullable=False),
        sa.Column('last_at', sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint('name_hash', name='pk_sign_in_failures'),
    )


def downgrade():
    op.drop_table('sign_in_failures')
