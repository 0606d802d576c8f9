"""Passkeys and security keys

Revision ID: 0030
Revises: 0029
Create Date: 2026-11-27 23:55:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0030'
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        'passkeys',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('user_id', sa.Integer(), nullable=False),
        sa.Column('name', sa.String(length=80), nullable=False),
        sa.Column('site', sa.String(length=253), nullable=False),
        sa.Column('credential_id', sa.LargeBinary(), nullable=False),
        sa.Column('public_key', sa.LargeBinary(), nullable=False),
        sa.Column('sign_count', sa.BigInteger(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint('id', name='pk_passkeys'),
        sa.ForeignKeyConstraint(['user_id'], ['users.id'], name='fk_passkeys_user_id_users', ondelete='CASCADE'),
        sa.UniqueConstraint('user_id', 'name', name='uq_passkeys_user_id_name'),
        sa.UniqueConstraint('credential_id', name='uq_passkeys_credential_id'),
    )


def downgrade():
    op.drop_table('passkeys')
