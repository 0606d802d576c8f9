"""The system of each host

Revision ID: 0015
Revises: 0014
Create Date: 2026-11-26 21:00:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0015'
down_revision = "0014"
branch_labels = None
depends_on = None

# The end of support and the kernel come with the next scan.
FROM_RESULTS = """
    UPDATE hosts SET family = latest.family, release = latest.release
    FROM (
        SELECT DISTINCT ON (host_id) host_id, family, release
        FROM results ORDER BY host_id, scanned_at DESC
    ) AS latest
    WHERE latest.host_id = hosts.id
"""


def upgrade():
    op.add_column('hosts', sa.Column('family', sa.Text(), nullable=False, server_default=""))
    op.add_column('hosts', sa.Column('release', sa.Text(), nullable=False, server_default=""))
    op.add_column('hosts', sa.Column('kernel', sa.Text(), nullable=False, server_default=""))
    op.add_column('hosts', sa.Column('restart_required', sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column('hosts', sa.Column('support_ends', sa.Date(), nullable=True))
    op.execute(FROM_RESULTS)
    op.create_index('ix_hosts_family', 'hosts', ['family', 'release'])


def downgrade():
    op.drop_index('ix_hosts_family', 'hosts')
    for column in ('family', 'release', 'kernel', 'restart_required', 'support_ends'):
        op.drop_column('hosts', column)
