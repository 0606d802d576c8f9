"""Who a user is at a provider of OpenID Connect

Revision ID: 0029
Revises: 0028
Create Date: 2026-11-27 23:45:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0029'
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('users', sa.Column('subject', sa.String(length=500), nullable=True))
    op.create_index(
        'uq_users_subject', 'users', ['subject'], unique=True, postgresql_where=sa.text('deleted_at IS NULL')
    )


def downgrade():
    op.drop_index('uq_users_subject', 'users')
    op.drop_column('users', 'subject')
