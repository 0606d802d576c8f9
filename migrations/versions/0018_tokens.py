"""Scope, end and last use of API tokens; their names are unique for each user

Revision ID: 0018
Revises: 0017
Create Date: 2026-11-27 01:35:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0018'
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade():
    # Programs that use them go on: what there is may do everything, without an end.
    op.add_column('api_tokens', sa.Column('scope', sa.String(length=32), nullable=False, server_default='admin'))
    op.add_column('api_tokens', sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('api_tokens', sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True))
    op.add_column('api_tokens', sa.Column('last_used_from', sa.String(length=45), nullable=True))
    op.drop_constraint(op.f('uq_api_tokens_name'), 'api_tokens', type_='unique')
    op.create_unique_constraint(op.f('uq_api_tokens_user_id_name'), 'api_tokens', ['user_id', 'name'])


def downgrade():
    op.execute("DELETE FROM api_tokens AS later USING api_tokens AS earlier"
               " WHERE later.name = earlier.name AND later.id > earlier.id")
    op.drop_constraint(op.f('uq_api_tokens_user_id_name'), 'api_tokens', type_='unique')
    op.create_unique_constraint(op.f('uq_api_tokens_name'), 'api_tokens', ['name'])
    for name in ('last_used_from', 'last_used_at', 'expires_at', 'scope'):
        op.drop_column('api_tokens', name)
