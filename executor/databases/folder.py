"""The folder of the databases: describes, locks and safely replaces files."""

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from executor import locks
from executor.databases.catalogue import CATALOGUE, DatabaseName
from executor.databases.formats import Content, DamagedError, format_of
from executor.errors import ShutDownError, StepError

Check = Callable[[], None]


class DatabaseFolder:
    """The live files, their locks, and the staging folder.

    New files are made in the staging folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder / "staging"
        self.staging.mkdir(parents=True, exist_ok=True, mode=0o700)

    def live(self, file: str) -> Path:
        """Return the path of the live file, which may not exist yet."""
        return self.folder / file

    def present(self, names: Iterable[DatabaseName] = tuple(CATALOGUE)) -> dict[DatabaseName, dict[str, Any]]:
        """Describe the databases that can be read now.

        Empty databases are left out.
        """
        described = {name: self.describe(name) for name in names}
        return {name: description for name, description in described.items() if description}

    def describe(self, name: DatabaseName) -> dict[str, Any] | None:
        """Return a database's row count, its times, digest and file size.

        Return None if the database is empty or unreadable. `locked` says whether another program has its file
        for itself, so that a report would wait for it.
        """
        path = self.live(CATALOGUE[name].file)
        try:
            status = path.stat()
            content = _read_cached(name, path, status.st_mtime_ns, status.st_size)
        except (FileNotFoundError, DamagedError):
            return None
        if not content.rows:
            return None
        described = {**asdict(content), "size_bytes": status.st_size}
        return described | ({"locked": True} if format_of(path.name).is_locked(path) else {})

    @contextlib.contextmanager
    def lock_for_reading(self, sections: Mapping[str, str], check: Check) -> Iterator[dict[str, Path]]:
        """Keep live files from being replaced while they are read.

        Yield the existing ones by the name of their section in Vuls' configuration.
        """
        with contextlib.ExitStack() as stack:
            for file in sections.values():
                stack.enter_context(locks.lock(self._lock_file(file, "swap"), check, shared=True))
            yield {section: self.live(file) for section, file in sections.items() if self.live(file).exists()}

    def update(
        self,
        name: DatabaseName,
        fetch: Callable[[Path], None],
        check: Check,
        *,
        workspace: Path | None = None,
        resumes: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        """Update a database: `fetch` fills a copy, which replaces the live file.

        The copy is checked before it is moved into place. Whatever fails, the live file stays. The copy is
        made in `workspace`, which may be on another disk. If `resumes` says that an earlier fetch of it is in
        progress, the existing copy is used.
        """
        file = CATALOGUE[name].file
        staged = (workspace or self.staging) / file
        with locks.lock(self._lock_file(file, "fetch"), check):
            try:
                if not resumes(staged):
                    _remove(staged)
                    kind = format_of(file)
                    # A missing or unreadable file is fetched from scratch.
                    if kind.is_incremental and kind.is_readable(self.live(file)):
                        shutil.copyfile(self.live(file), staged)
                elif not staged.exists():
                    # The work was finished; only the final status was missing.
                    return
                fetch(staged)
                self._verify_fetched(name, staged)
                self._move_into_place(staged, check)
            except ShutDownError:
                # The next runner resumes the fetch with this copy.
                raise
            except BaseException:
                _remove(staged)
                raise
            _remove(staged)

    def import_files(self, workspace: Path, check: Check) -> dict[DatabaseName, int]:
        """Move the files of a folder into place.

        Return the row count of each database. Every file gets the checks of a fetched one before the first is
        moved, so either all are imported or none. The times of their fetches stay.
        """
        rows: dict[DatabaseName, int] = {}
        files = sorted(workspace.iterdir())
        with contextlib.ExitStack() as stack:
            for path in files:
                stack.enter_context(locks.lock(self._lock_file(path.name, "fetch"), check))
            for path in files:
                try:
                    found = format_of(path.name).verify(path)
                except DamagedError as error:
                    raise StepError(f"{path.name} {error}; nothing was changed.") from error
                self._refuse_loss(found)
                if not any(found.values()):
                    raise StepError(f"{path.name} holds no rows; nothing was changed.")
                _sync(path)
                rows |= {name: count for name, count in found.items() if count}
            for path in files:
                self._move_into_place(path, check)
        return rows

    def lock_each(self, files: Iterable[str], check: Check) -> Iterator[Path]:
        """Yield the live files of those names that exist.

        Each file is locked while it is yielded.
        """
        for file in files:
            with locks.lock(self._lock_file(file, "swap"), check, shared=True):
                if self.live(file).exists():
                    yield self.live(file)

    def _move_into_place(self, staged: Path, check: Check) -> None:
        # First beside the live file, because a reader must never see half a file. The staged file stays
        # until the end, so that a process that is killed in between can do it again.
        live = self.live(staged.name)
        beside = self.staging / f"{staged.name}.new"
        beside.unlink(missing_ok=True)
        try:
            try:
                beside.hardlink_to(staged)
            except OSError:
                # It is on another disk, or on one without hard links.
                shutil.copyfile(staged, beside)
                _sync(beside)
            with locks.lock(self._lock_file(staged.name, "swap"), check):
                beside.replace(live)
        finally:
            beside.unlink(missing_ok=True)

    def _lock_file(self, file: str, purpose: str) -> Path:
        return self.folder / "locks" / f"{file}.{purpose}"

    def _verify_fetched(self, name: DatabaseName, staged: Path) -> None:
        kind = format_of(staged.name)
        try:
            self._refuse_loss(kind.verify(staged), fetched=name)
            kind.stamp(name, staged)
        except FileNotFoundError as error:
            raise StepError(f"The fetch of {name} left no database; the last good one stays.") from error
        except DamagedError as error:
            raise StepError(f"The fetched {name} database {error}; the last good one stays.") from error
        _sync(staged)

    def _refuse_loss(self, found: Mapping[DatabaseName, int], fetched: DatabaseName | None = None) -> None:
        for name, rows in found.items():
            before = (self.describe(name) or {"rows": 0})["rows"]
            if name == fetched and rows == 0:
                raise StepError(f"The {name} feed brought no rows; the last good database stays.")
            if rows * 2 < before:
                raise StepError(
                    f"The {name} database would shrink from {before} to {rows} rows; the last good one stays."
                )


@functools.lru_cache(maxsize=64)
def _read_cached(name: DatabaseName, path: Path, _changed_at: int, _size: int) -> Content:
    # Counting the rows of a large file is slow; its time and size tell whether it has changed.
    return format_of(path.name).read(name, path)


def _remove(database: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
