"""Very many rows, made by the database itself."""

from dataclasses import dataclass

from sqlalchemy import text

from vulsweb.extensions import db


@dataclass(frozen=True)
class Size:
    """How many there are of everything."""

    hosts: int
    tasks: int
    runs: int
    findings: int
    log_lines: int  # ten megabytes of them

    @classmethod
    def of(cls, scale: float) -> "Size":
        """Return the sizes that must stay fast, or a part of them."""
        counts = (50_000, 10_000, 1_000_000, 1_000_000, 150_000)
        return cls(*(max(int(count * scale), 10) for count in counts))


# Tasks begin far in the future, runs lie a minute apart, and a finding in ten is fixed. Weighted as in life:
# few are critical; a CVE is found on very many hosts.
_ROWS = (
    """
    INSERT INTO hosts (name, entry, hostname, connection, scan_modes, vuls_config, tags, notes, created_at,
        synced_at, retired_at, last_scan_at, family, release)
    SELECT 'host-' || n, 'host-' || n, 'host-' || n, 'direct', '["fast"]', '{}', '{}', '', now(), now(),
        CASE WHEN n % 50 = 0 THEN now() END, CASE WHEN n % 100 > 0 THEN now() END,
        CASE WHEN n % 100 > 0 THEN 'debian' ELSE '' END, CASE WHEN n % 100 > 0 THEN '12' ELSE '' END
    FROM generate_series(1, :hosts) n
    """,
    """
    INSERT INTO scheduled_tasks (name, description, task_type, scan_type, host_id, overlap, cron_expression,
        timezone, active, next_run_at, created_at, updated_at)
    SELECT 'task ' || n, '', 'scan', 'fast', 1 + (n - 1) % :hosts, 'skip', '0 2 * * *', 'UTC', n % 10 > 0,
        CASE WHEN n % 10 > 0 THEN now() + interval '1 day' + n * interval '1 second' END, now(), now()
    FROM generate_series(1, :tasks) n
    """,
    """
    INSERT INTO runs (task_id, status, trigger, created_at, started_at, completed_at, request,
        log_offset, reason, result_data)
    SELECT 1 + (n - 1) % :tasks,
        CASE n % 8 WHEN 6 THEN 'partial' WHEN 7 THEN 'failed' ELSE 'success' END,
        CASE WHEN n % 100 = 0 THEN 'person' ELSE 'schedule' END, at, at, at + interval '40 seconds',
        '{"servers": ["host-1"], "scan_type": "fast"}', 0,
        CASE WHEN n % 8 > 5 THEN 'A reason, in words.' END,
        '{"severity_counts": {"critical": 1, "high": 2}, "opened": 1, "fixed": 0, "hosts": []}'
    FROM (SELECT n, now() - (:runs - n) * interval '1 minute' AS at FROM generate_series(1, :runs) n) made
    """,
    """
    INSERT INTO run_jobs (id, run_id, number, executor, status, request, steps, log_offset)
    SELECT 'job-' || id, id, 1, 'main', 'completed', request, '[]', 0 FROM runs
    """,
    """
    UPDATE scheduled_tasks SET last_run_id = latest.id
    FROM (SELECT task_id, max(id) AS id FROM runs GROUP BY task_id) latest
    WHERE latest.task_id = scheduled_tasks.id
    """,
    """
    INSERT INTO results (run_id, host_id, scanned_at, family, release, package_count, severity_counts,
        document)
    SELECT last_run_id, host_id, now(), 'debian', '12', 300, '{}', ''
    FROM scheduled_tasks WHERE last_run_id IS NOT NULL
    """,
    """
    INSERT INTO findings (host_id, cve_id, severity, severity_source, score, title, packages, first_seen_at,
        last_seen_at, fixed_at)
    SELECT 1 + (n - 1) % :hosts, 'CVE-2026-' || 10000 + cve,
        (ARRAY['critical', 'high', 'high', 'medium', 'medium', 'medium', 'medium', 'low', 'low', 'unknown'])
            [1 + cve % 10],
        'nvd',
        (ARRAY[9.8, 8.1, 7.5, 6.5, 5.3, 4.4, 4.2, 3.1, 2.0, NULL])[1 + cve % 10],
        'A flaw of package ' || cve % 700 || ' that lets somebody do what nobody should be able to do',
        jsonb_build_array(jsonb_build_object('name', 'package-' || cve % 700, 'installed_version', '1.2-3',
            'fixed_in', '1.2-4', 'fix_state', '')),
        now() - n % 300 * interval '1 day', now(), CASE WHEN n % 11 = 0 THEN now() END
    FROM (SELECT n, (n - 1) / :hosts * 250 + n % 250 AS cve FROM generate_series(1, :findings) n) made
    """,
    """
    INSERT INTO log_chunks (run_id, start, text)
    SELECT 1, piece, string_agg('[Jan 1 12:00:00]  INFO [host-1] line ' || n || ' says what is done', E'\n'
        ORDER BY n) || E'\n'
    FROM (SELECT n, (n - 1) / 3000 AS piece FROM generate_series(1, :log_lines) n) made GROUP BY piece
    """,
    "UPDATE runs SET log_offset = 1 WHERE id = 1",
)


def fill(size: Size) -> None:
    """Make that many rows, and let PostgreSQL look at them as autovacuum does in time."""
    for statement in _ROWS:
        db.session.execute(text(statement), vars(size))
    db.session.commit()
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
