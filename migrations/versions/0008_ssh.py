"""The SSH configuration, host keys, and what syncs of the hosts came to

Revision ID: 0008
Revises: 0010
Create Date: 2026-11-24 22:20:00

"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade():
    time = sa.DateTime(timezone=True)
    op.create_table(
        'ssh_config_versions',
        sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
        sa.Column('content', sa.Text(), nullable=False),
        sa.Column('note', sa.Text(), nullable=False),
        sa.Column('created_at', time, nullable=False),
        sa.Column('created_by_id', sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ['created_by_id'], ['users.id'], name='fk_ssh_config_versions_created_by_id', ondelete='SET NULL'
        ),
        sa.PrimaryKeyConstraint('number', name='pk_ssh_config_versions'),
    )
    op.create_table(
        'host_syncs',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('trigger', sa.String(length=32), nullable=False),
        sa.Column('requested_at', time, nullable=False),
        sa.Column('requested_by_id', sa.Integer(), nullable=True),
        sa.Column('version_number', sa.Integer(), nullable=True),
        sa.Column('finished_at', time, nullable=True),
        sa.Column('outcome', postgresql.JSONB(), nullable=True),
        sa.Column('error', sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ['requested_by_id'], ['users.id'], name='fk_host_syncs_requested_by_id', ondelete='SET NULL'
        ),
        sa.PrimaryKeyConstraint('id', name='pk_host_syncs'),
    )
    op.create_index(
        'ix_host_syncs_waiting', 'host_syncs', ['requested_at'], postgresql_where=sa.text('finished_at IS NULL')
    )
    op.create_table(
        'host_key_offers',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('hostname', sa.String(length=253), nullable=False),
        sa.Column('port', sa.Integer(), nullable=False),
        sa.Column('source', sa.String(length=32), nullable=False),
        sa.Column('requested_at', time, nullable=False),
        sa.Column('requested_by_id', sa.Integer(), nullable=True),
        sa.Column('finished_at', time, nullable=True),
        sa.Column('keys', postgresql.JSONB(), nullable=False),
        sa.Column('error', sa.Text(), nullable=True),
        sa.Column('accepted_at', time, nullable=True),
        sa.ForeignKeyConstraint(
            ['requested_by_id'], ['users.id'], name='fk_host_key_offers_requested_by_id', ondelete='SET NULL'
        ),
        sa.PrimaryKeyConstraint('id', name='pk_host_key_offers'),
    )
    op.create_index('ix_host_key_offers_requested_at', 'host_key_offers', ['requested_at'])
    op.create_table(
        'known_hosts',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('place', sa.String(length=262), nullable=False),
        sa.Column('hostname', sa.String(length=253), nullable=False),
        sa.Column('port', sa.Integer(), nullable=False),
        sa.Column('key_type', sa.String(length=40), nullable=False),
        sa.Column('key', sa.Text(), nullable=False),
        sa.Column('source', sa.String(length=32), nullable=False),
        sa.Column('accepted_at', time, nullable=False),
        sa.Column('accepted_by_id', sa.Integer(), nullable=True),
        sa.Column('removed_at', time, nullable=True),
        sa.Column('removed_by_id', sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ['accepted_by_id'], ['users.id'], name='fk_known_hosts_accepted_by_id', ondelete='SET NULL'
        ),
        sa.ForeignKeyConstraint(
            ['removed_by_id'], ['users.id'], name='fk_known_hosts_removed_by_id', ondelete='SET NULL'
        ),
        sa.PrimaryKeyConstraint('id', name='pk_known_hosts'),
    )
    op.create_index(
        'uq_known_hosts_place',
        'known_hosts',
        ['place', 'key_type'],
        unique=True,
        postgresql_where=sa.text('removed_at IS NULL'),
    )


def downgrade():
    for table in ('known_hosts', 'host_key_offers', 'host_syncs', 'ssh_config_versions'):
        op.drop_table(table)
