"""Tasks that detect again

Revision ID: 0021
Revises: 0020
Create Date: 2026-11-27 05:40:00

"""
from alembic import op
import sqlalchemy as sa

# revision identifiers, used by Alembic.
revision = '0021'
down_revision = "0020"
branch_labels = None
depends_on = None

TARGETS = (
    "(task_type = 'scan' AND (host_id IS NULL) <> (host_tag IS NULL) AND scan_type IS NOT NULL"
    " AND database_type IS NULL)"
    " OR (task_type = 'db_update' AND host_id IS NULL AND host_tag IS NULL AND scan_type IS NULL"
    " AND database_type IS NOT NULL)"
)
DETECTION = (
    " OR (task_type = 'detection' AND host_id IS NULL AND host_tag IS NULL AND scan_type IS NULL"
    " AND database_type IS NULL)"
)
NAME = "ck_scheduled_tasks_target_fits_type"


def upgrade():
    op.execute(f"ALTER TABLE scheduled_tasks DROP CONSTRAINT {NAME}")
    op.execute(f"ALTER TABLE scheduled_tasks ADD CONSTRAINT {NAME} CHECK ({TARGETS}{DETECTION})")
    # An existing installation gets the task that a new one has from its start. It runs after the next update;
    # its own slot comes within the week, and beat plans the ones after it.
    op.execute(
        "INSERT INTO scheduled_tasks (name, description, task_type, cron_expression, timezone, active,"
        " next_run_at, created_at, updated_at)"
        " SELECT 'Repeated Detection', 'Checks the stored packages of all hosts again after each database"
        " update.', 'detection', '0 6 * * 0', 'UTC', true,"
        " date_trunc('week', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '6 days 6 hours', now(), now()"
        " WHERE EXISTS (SELECT 1 FROM users) ON CONFLICT DO NOTHING"
    )


def downgrade():
    op.execute("DELETE FROM scheduled_tasks WHERE task_type = 'detection'")
    op.execute(f"ALTER TABLE scheduled_tasks DROP CONSTRAINT {NAME}")
    op.execute(f"ALTER TABLE scheduled_tasks ADD CONSTRAINT {NAME} CHECK ({TARGETS})")
