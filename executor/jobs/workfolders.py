"""Where the tools of each job work, if that is one folder for all of them.

The tools of different jobs share a volume and a user there. A job's folder has a name that nobody can guess:
what a tool can neither list nor name it cannot open.
"""

import contextlib
import hmac
import os
import re
import secrets
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

FOLDER = re.compile(r"[0-9a-f]{32}")


class WorkFolders:
    """The folders in `folder`, named by jobs' ids and the secret in the file `key`, which no tool sees."""

    def __init__(self, folder: Path, key: Path) -> None:
        self._folder = folder
        self._key_file = key

    def of(self, job_id: str) -> Path:
        """Return the folder of a job, always the same."""
        return self._folder / hmac.digest(self._key, job_id.encode(), "sha256").hex()[:32]

    def sweep(self, open_ids: Callable[[], set[str]]) -> None:
        """Remove the folders of all jobs but the open ones."""
        if not self._folder.is_dir():
            return
        # Listed first: whatever is made meanwhile belongs to a job that is open.
        found = {Path(entry) for entry in os.scandir(self._folder) if FOLDER.fullmatch(entry.name)}
        for left in found - {self.of(job_id) for job_id in open_ids()}:
            shutil.rmtree(left, ignore_errors=True)

    @cached_property
    def _key(self) -> bytes:
        making = self._key_file.with_name(f".{self._key_file.name}-{secrets.token_hex(4)}")
        making.touch(mode=0o600)
        try:
            making.write_bytes(secrets.token_bytes(32))
            # Whole, and never over another's.
            with contextlib.suppress(FileExistsError):
                os.link(making, self._key_file)
        finally:
            making.unlink()
        return self._key_file.read_bytes()
