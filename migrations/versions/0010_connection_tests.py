"""Connection tests

Revision ID: 0010
Revises: 0005
Create Date: 2026-11-24 22:30:00

"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = '0010'
down_revision = "0009"
branch_labels = None
depends_on = None

ACTIVE = "status IN ('queued', 'starting', 'running')"


def upgrade():
    op.create_table('connection_tests',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('host_id', sa.Integer(), nullable=False),
    sa.Column('status', sa.String(length=32), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('completed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('job_id', sa.String(length=32), nullable=False),
    sa.Column('tests', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('log', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['host_id'], ['hosts.id'], name=op.f('fk_connection_tests_host_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_connection_tests')),
    sa.UniqueConstraint('job_id', name=op.f('uq_connection_tests_job_id')),
    )
    op.create_index('uq_connection_tests_active', 'connection_tests', ['host_id'], unique=True, postgresql_where=sa.text(ACTIVE))
    op.create_index('ix_connection_tests_latest', 'connection_tests', ['host_id', 'id'])


def downgrade():
    op.drop_table('connection_tests')
