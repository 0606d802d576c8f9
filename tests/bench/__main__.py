"""`make bench`: fills a scratch database and prints what takes how long."""

import os
import tempfile
from datetime import timedelta
from pathlib import Path

from flask_migrate import upgrade

from tests.bench import detections, documents
from tests.bench.measures import measured, table
from tests.bench.rows import Size, fill
from tests.conftest import SeparateClient, executors_at
from vulsweb import create_app
from vulsweb.extensions import db
from vulsweb.local import postgres

REPEATS = 5
DETECTED_HOSTS = 200
# In a document of a hundred megabytes.
CVES = 64_000


def main() -> None:
    """Measure at the size that BENCH_SCALE says; 1 is what must stay fast."""
    tools = Path(os.environ.get("VULSWEB_TOOLS_DIR", ""))
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    size = Size.of(scale)
    with tempfile.TemporaryDirectory(prefix="vulsweb-bench-") as name:
        Path(name).chmod(0o755)  # PostgreSQL's own user must get through
        with postgres(Path(name) / "postgres", durable=False) as url:
            _measure(url, size, max(round(CVES * scale), 10))
        print()
        if (tools / "vuls").exists():
            print(detections.measured(tools, Path(name), max(round(DETECTED_HOSTS * scale), 1)))
        else:
            print("Repeated detection is not measured: `make tools` builds the real Vuls for it.")


def _measure(url: str, size: Size, cves: int) -> None:
    nowhere = "127.0.0.1:1"
    app = create_app(
        {
            "SECRET_KEY": "bench bench bench bench bench bench",
            "SQLALCHEMY_DATABASE_URI": url,
            "REDIS_URL": f"redis://{nowhere}/0",
            "RATELIMIT_STORAGE_URI": "memory://",
            "EXECUTORS": executors_at(f"http://{nowhere}"),
            "RUN_TIMEOUT": timedelta(hours=6),
            "KEEP_RUNS": timedelta(days=30),
            "KEEP_AUDIT": timedelta(days=400),
            "LOG_DIR": None,
            "OPENID": None,
            "SECOND_FACTOR": "optional",
            "LOCAL_SIGN_IN": True,
            "STILL_AFTER": timedelta(days=7),
        }
    )
    app.test_client_class = SeparateClient
    with app.app_context():
        upgrade()
        print("Filling the database; this takes some minutes at full size ...", flush=True)
        fill(size)
        print(table(list(measured(app, size, REPEATS)), size))
        print()
        print(documents.measured(cves))
        db.session.remove()
        db.engine.dispose()


if __name__ == "__main__":
    main()
