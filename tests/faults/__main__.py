"""`make faults`: kills processes of a whole stack for minutes, and prints what came of every slot.

FAULTS_MINUTES (20), FAULTS_TASKS (5) and FAULTS_SEED (1) change what is done.
"""

import os
import sys
import tempfile
from pathlib import Path

from tests.e2e.stack import Stack
from tests.faults.storm import print_books, storm


def main() -> int:
    """Run a storm; return 1 if a slot was lost or doubled, or a run is stuck."""
    minutes, tasks, seed = (
        int(os.environ.get(f"FAULTS_{name}", default))
        for name, default in (("MINUTES", "20"), ("TASKS", "5"), ("SEED", "1"))
    )
    with tempfile.TemporaryDirectory(prefix="vulsweb-faults-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL's own user must get through
        return print_books(storm(Stack(folder / "data", {}), minutes, tasks, seed))


if __name__ == "__main__":
    sys.exit(main())
