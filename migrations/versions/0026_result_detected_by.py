"""What looked for the CVEs of a result

Revision ID: 0026
Revises: 0025
Create Date: 2026-11-27 17:40:00

"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = '0026'
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('results', sa.Column('detected_by', postgresql.JSONB(), nullable=True))


def downgrade():
    op.drop_column('results', 'detected_by')
