"""What Vuls warned of on a host, with each result

Revision ID: 0012
Revises: 0011
Create Date: 2026-11-26 10:00:00

"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = '0012'
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade():
    column = sa.Column('warnings', postgresql.JSONB(astext_type=sa.Text()), nullable=False, server_default="[]")
    op.add_column('run_hosts', column)
    op.alter_column('run_hosts', 'warnings', server_default=None)


def downgrade():
    op.drop_column('run_hosts', 'warnings')
