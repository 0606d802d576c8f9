"""Findings in order and found by their words, and the lines of a log counted

Revision ID: 0009
Revises: 0007
Create Date: 2026-11-24 22:10:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

ORDER = (
    "CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 100 WHEN 'medium' THEN 200"
    " WHEN 'low' THEN 300 ELSE 400 END - coalesce(score, 0)"
)
WORDS = "lower(cve_id || ' ' || title || ' ' || jsonb_path_query_array(packages, '$[*].name')::text)"
NEWLINES = "length(text) - length(replace(text, E'\\n', ''))"
OPEN = 'fixed_at IS NULL'
FIXED = 'fixed_at IS NOT NULL'


def upgrade():
    # One statement for both: the table is written anew once.
    op.execute(
        'ALTER TABLE findings'
        f' ADD COLUMN severity_order double precision GENERATED ALWAYS AS ({ORDER}) STORED,'
        f' ADD COLUMN words text GENERATED ALWAYS AS ({WORDS}) STORED'
    )
    op.execute(f'ALTER TABLE log_chunks ADD COLUMN newlines integer GENERATED ALWAYS AS ({NEWLINES}) STORED')
    for state, where in (('open', OPEN), ('fixed', FIXED)):
        for name, columns in (
            ('severity', ['severity_order', 'id']),
            ('first_seen', ['first_seen_at', 'id']),
            ('host', ['host_id', 'severity_order', 'id']),
        ):
            op.create_index(f'ix_findings_{state}_{name}', 'findings', columns, postgresql_where=sa.text(where))
    # An extension that PostgreSQL brings along and that the owner of a database may add; where somebody has
    # left it out, a search reads all findings.
    op.execute(
        """
        DO $$
        BEGIN
            IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
                CREATE EXTENSION IF NOT EXISTS pg_trgm;
                CREATE INDEX ix_findings_words ON findings USING gin (words gin_trgm_ops);
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE NOTICE 'without pg_trgm a search reads all findings';
        END
        $$
        """
    )


def downgrade():
    op.execute('DROP INDEX IF EXISTS ix_findings_words')
    for state in ('open', 'fixed'):
        for name in ('severity', 'first_seen', 'host'):
            op.drop_index(f'ix_findings_{state}_{name}', 'findings')
    op.drop_column('log_chunks', 'newlines')
    op.drop_column('findings', 'words')
    op.drop_column('findings', 'severity_order')
