"""Whose score or word the severity of a finding is

Revision ID: 0013
Revises: 0012
Create Date: 2026-11-26 17:00:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0013'
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('findings', sa.Column('severity_source', sa.Text(), nullable=False, server_default=""))
    op.alter_column('findings', 'severity_source', server_default=None)


def downgrade():
    op.drop_column('findings', 'severity_source')
