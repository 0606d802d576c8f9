"""Which hosts Vuls warned of

Revision ID: 0016
Revises: 0015
Create Date: 2026-11-26 22:00:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0016'
down_revision = "0015"
branch_labels = None
depends_on = None

FROM_LATEST_SCAN = """
    UPDATE hosts SET warned = true FROM run_hosts AS result
    WHERE result.host_id = hosts.id AND result.run_id = hosts.last_run_id AND result.warnings <> '[]'
"""


def upgrade():
    op.add_column('hosts', sa.Column('warned', sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(FROM_LATEST_SCAN)


def downgrade():
    op.drop_column('hosts', 'warned')
