"""What a result lists, beside its document

Revision ID: 0022
Revises: 0021
Create Date: 2026-11-27 06:25:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0022'
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('results', sa.Column('found', sa.LargeBinary(), nullable=True))


def downgrade():
    op.drop_column('results', 'found')
