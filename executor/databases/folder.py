"""The databases as they lie on disk: what is in them, and how one is replaced safely."""

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from executor import locks
from executor.databases.catalogue import CATALOGUE, DatabaseName
from executor.errors import ShutDownError, StepError
from executor.databases.formats import DamagedError, format_of

Check = Callable[[], None]


class DatabaseFolder:
    """The live files, their locks, and the staging folder where new ones are made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder / "staging"
        self.staging.mkdir(parents=True, exist_ok=True, mode=0o700)

    def live(self, file: str) -> Path:
        """Return where the file is that reports read, if it is there."""
        return self.folder / file

    def present(self, names: Iterable[DatabaseName] = tuple(CATALOGUE)) -> dict[DatabaseName, dict[str, Any]]:
        """Return which of them can be read now: rows, time of the fetch and size; empty ones are left out."""
        described = {name: self.describe(name) for name in names}
        return {name: description for name, description in described.items() if description}

    def describe(self, name: DatabaseName) -> dict[str, Any] | None:
        """Describe one database, or None if there is nothing in it or it cannot be read."""
        path = self.live(CATALOGUE[name].file)
        try:
            status = path.stat()
            rows, fetched_at = _read(name, path, status.st_mtime_ns, status.st_size)
        except (FileNotFoundError, DamagedError):
            return None
        return {"rows": rows, "fetched_at": fetched_at, "size_bytes": status.st_size} if rows else None

    @contextlib.contextmanager
    def reading(self, sections: Mapping[str, str], check: Check) -> Iterator[dict[str, Path]]:
        """Keep live files in place and yield those that exist, by their section in Vuls' words."""
        with contextlib.ExitStack() as stack:
            for file in sections.values():
                stack.enter_context(locks.held(self._lock(file, "swap"), check, shared=True))
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
        """Have `fetch` fill a copy of the live file and put it in place if it is sound.

        Whatever fails, the live file stays as it was. The copy is made in `workspace`, which may be on
        another disk; where `resumes` says that an earlier fetch goes on, it is the one that is there.
        """
        file = CATALOGUE[name].file
        staged = (workspace or self.staging) / file
        with locks.held(self._lock(file, "fetch"), check):
            try:
                if not resumes(staged):
                    self._copy(file, staged)
                elif not staged.exists():
                    # All was done but to say so.
                    return
                fetch(staged)
                self._verify(name, staged)
                self._put_in_place(file, staged, check)
            except ShutDownError:
                # It will be resumed: what is there stays.
                raise
            except BaseException:
                _remove(staged)
                raise
            _remove(staged)

    def bring_in(self, workspace: Path, check: Check) -> dict[DatabaseName, int]:
        """Put the files of a folder in place, each as sound as a fetched one; say which rows came.

        All are looked at before the first takes its place: either all come in or none. Their times stay.
        """
        came: dict[DatabaseName, int] = {}
        files = sorted(path.name for path in workspace.iterdir())
        with contextlib.ExitStack() as stack:
            for file in files:
                stack.enter_context(locks.held(self._lock(file, "fetch"), check))
            for file in files:
                came |= self._sound(workspace / file)
            for file in files:
                self._put_in_place(file, workspace / file, check)
        return came

    def _sound(self, path: Path) -> dict[DatabaseName, int]:
        try:
            found = format_of(path.name).verify(path)
        except DamagedError as error:
            raise StepError(f"{path.name} {error}; nothing was changed.") from error
        self._compare(None, found)
        if not any(found.values()):
            raise StepError(f"{path.name} holds no rows; nothing was changed.")
        _sync(path)
        return {name: rows for name, rows in found.items() if rows}

    def carry_out(self, names: Iterable[str], check: Check) -> Iterator[Path]:
        """Yield the live files of those names that there are; each stays in place meanwhile."""
        for name in names:
            with locks.held(self._lock(name, "swap"), check, shared=True):
                if self.live(name).exists():
                    yield self.live(name)

    def _put_in_place(self, file: str, staged: Path, check: Check) -> None:
        # Beside the live file, since a reader must never meet half a file; and the staged one stays until
        # that is done, so that who is killed in between can do it again.
        beside = self.staging / f"{file}.new"
        beside.unlink(missing_ok=True)
        try:
            try:
                beside.hardlink_to(staged)
            except OSError:
                # On another disk, or on one without links.
                shutil.copyfile(staged, beside)
                _sync(beside)
            with locks.held(self._lock(file, "swap"), check):
                beside.replace(self.live(file))
        finally:
            beside.unlink(missing_ok=True)

    def _lock(self, file: str, purpose: str) -> Path:
        return self.folder / "locks" / f"{file}.{purpose}"

    def _copy(self, file: str, staged: Path) -> None:
        _remove(staged)
        kind = format_of(file)
        if not kind.grows or not kind.is_sound(self.live(file)):
            # Nothing there, or nothing that could be read: begin anew.
            return
        shutil.copyfile(self.live(file), staged)

    def _verify(self, name: DatabaseName, staged: Path) -> None:
        kind = format_of(staged.name)
        try:
            self._compare(name, kind.verify(staged))
            kind.stamp(name, staged)
        except FileNotFoundError as error:
            raise StepError(f"The fetch of {name} left no database; the last good one stays.") from error
        except DamagedError as error:
            raise StepError(f"The fetched {name} database {error}; the last good one stays.") from error
        _sync(staged)

    def _compare(self, fetched: DatabaseName | None, found: Mapping[DatabaseName, int]) -> None:
        for name, rows in found.items():
            before = (self.describe(name) or {"rows": 0})["rows"]
            if name == fetched and rows == 0:
                raise StepError(f"The {name} feed brought no rows; the last good database stays.")
            if rows * 2 < before:
                raise StepError(
                    f"The {name} database would shrink from {before} to {rows} rows; the last good one stays."
                )


@functools.lru_cache(maxsize=64)
def _read(name: DatabaseName, path: Path, _changed_at: int, _size: int) -> tuple[int, str | None]:
    # Counting a large file takes a while; its time and size say whether it is still the same one.
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
