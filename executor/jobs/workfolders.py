"""The work folders of jobs, where they share one folder.

There the tools of different jobs share a volume and a user. A job's folder has a name that cannot be guessed:
a tool that can neither list nor name a folder cannot open it.
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

NAME = re.compile(r"[0-9a-f]{32}")


class WorkFolders:
    """The work folders in `folder`.

    Their names derive from the job's id and a secret, which is in the file `key`.
    """

    def __init__(self, folder: Path, key: Path) -> None:
        self._folder = folder
        self._key_file = key

    def path(self, job_id: str) -> Path:
        """Return the path of a job's folder; it never changes."""
        return self._folder / hmac.digest(self._key, job_id.encode(), "sha256").hex()[:32]

    def remove_orphans(self, open_ids: Callable[[], set[str]]) -> None:
        """Remove the folders of all jobs that are not open."""
        if not self._folder.is_dir():
            return
        # Listed first: any folder that is made after this belongs to an open job.
        found = {Path(entry) for entry in os.scandir(self._folder) if NAME.fullmatch(entry.name)}
        for orphan in found - {self.path(job_id) for job_id in open_ids()}:
            shutil.rmtree(orphan, ignore_errors=True)

    @cached_property
    def _key(self) -> bytes:
        draft = self._key_file.with_name(f".{self._key_file.name}-{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        try:
            draft.write_bytes(secrets.token_bytes(32))
            # A link appears with its whole content, and fails where another process was first.
            with contextlib.suppress(FileExistsError):
                os.link(draft, self._key_file)
        finally:
            draft.unlink()
        return self._key_file.read_bytes()
