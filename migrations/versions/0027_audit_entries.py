"""The audit trail

Revision ID: 0027
Revises: 0026
Create Date: 2026-11-27 22:45:00

"""
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic.
revision = '0027'
down_revision = "0026"
branch_labels = None
depends_on = None

# Only the entries of a running transaction have no hash yet, and only `audit.chain.prune` sets the variable.
KEEP = """
CREATE FUNCTION audit_entries_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.hash IS NULL THEN
    RETURN NEW;
  END IF;
  IF TG_OP = 'DELETE' AND current_setting('vulsweb.audit_retention', true) = 'on' THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'The entries of the audit trail are never changed, and deleted only when they are old.';
END
$$;
CREATE TRIGGER audit_entries_keep BEFORE UPDATE OR DELETE ON audit_entries
  FOR EACH ROW EXECUTE FUNCTION audit_entries_keep();
CREATE TRIGGER audit_entries_keep_all BEFORE TRUNCATE ON audit_entries
  FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_keep();
"""


def upgrade():
    op.create_table(
        'audit_entries',
        sa.Column('id', sa.Integer(), nullable=False),
        sa.Column('number', sa.Integer(), nullable=True),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('way', sa.String(length=32), nullable=False),
        sa.Column('actor_id', sa.Integer(), nullable=True),
        sa.Column('actor', sa.String(length=80), nullable=False),
        sa.Column('token', sa.String(length=80), nullable=False),
        sa.Column('address', sa.String(length=45), nullable=False),
        sa.Column('action', sa.String(length=32), nullable=False),
        sa.Column('kind', sa.String(length=32), nullable=False),
        sa.Column('object_id', sa.String(length=64), nullable=False),
        sa.Column('object_name', sa.Text(), nullable=False),
        sa.Column('before', postgresql.JSONB(), nullable=False),
        sa.Column('after', postgresql.JSONB(), nullable=False),
        sa.Column('previous', sa.String(length=64), nullable=True),
        sa.Column('hash', sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint('id', name='pk_audit_entries'),
        sa.UniqueConstraint('number', name='uq_audit_entries_number'),
    )
    op.create_index('ix_audit_entries_at', 'audit_entries', ['at'])
    op.create_index('ix_audit_entries_object', 'audit_entries', ['kind', 'object_id', 'number'])
    op.create_index('ix_audit_entries_actor', 'audit_entries', ['actor', 'number'])
    op.create_index(
        'ix_audit_entries_unsealed', 'audit_entries', ['id'], postgresql_where=sa.text('hash IS NULL')
    )
    op.execute(KEEP)


def downgrade():
    op.drop_table('audit_entries')
    op.execute('DROP FUNCTION audit_entries_keep()')
