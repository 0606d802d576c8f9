"""Carries databases out of an executor and into another one: `python -m executor.transfer import FILE...`.

For machines without internet. It works while the executor runs, whose locks it takes.
"""

import argparse
import contextlib
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from executor import config, locks
from executor.databases.catalogue import CATALOGUE
from executor.databases.folder import DatabaseFolder
from executor.errors import StepError

FILES = tuple(dict.fromkeys(database.file for database in CATALOGUE.values()))
PREFIX = "carried-"
STREAM = "-"


def import_files(folder: DatabaseFolder, sources: Sequence[str], say: Callable[[str], None]) -> None:
    """Take in what the sources hold: files, folders, tar archives, or - for an archive on standard input.

    Raise StepError, having changed nothing, where one of them holds what is no sound database.
    """
    with _workspace(folder, say) as workspace:
        for source in sources:
            _gather(source, workspace)
        came = folder.bring_in(workspace, _patience(say))
    for name, rows in came.items():
        fetched_at = (folder.describe(name) or {}).get("fetched_at")
        say(f"{name}: {rows:,} rows, fetched {fetched_at or 'at an unknown time'}.")


def export_files(folder: DatabaseFolder, target: str, say: Callable[[str], None]) -> None:
    """Write an archive with every database that is here to a file, or to standard output."""
    with _target(target) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
        names = []
        for path in folder.carry_out(FILES, _patience(say)):
            archive.add(path, path.name)
            names.append(path.name)
        if not names:
            raise StepError("There is no database yet: nothing to carry.")
    say(f"Carried out: {', '.join(names)}.")


def _gather(source: str, workspace: Path) -> None:
    path = Path(source)
    shown = "What came in" if source == STREAM else source
    try:
        if source == STREAM:
            with tarfile.open(fileobj=sys.stdin.buffer, mode="r|*") as archive:
                found = _unpack(archive, workspace)
        elif path.is_dir():
            found = [_copy(path / file, workspace) for file in FILES if (path / file).is_file()]
        elif path.name in FILES:
            found = [_copy(path, workspace)]
        else:
            with tarfile.open(path, mode="r|*") as archive:
                found = _unpack(archive, workspace)
    except (tarfile.TarError, EOFError) as error:
        raise StepError(
            f"{shown} is no whole archive, and none of {', '.join(FILES)} ({error}); nothing was changed."
        ) from error
    except OSError as error:
        raise StepError(
            f"{shown} cannot be taken in: {error.strerror or error}; nothing was changed."
        ) from error
    if not found:
        raise StepError(f"{shown} holds none of {', '.join(FILES)}; nothing was changed.")


def _unpack(archive: tarfile.TarFile, workspace: Path) -> list[str]:
    found = []
    for member in archive:
        # By its last name alone: whatever path an archive claims, nothing is written elsewhere.
        name = Path(member.name).name
        content = archive.extractfile(member) if member.isreg() and name in FILES else None
        if content is None or "staging" in Path(member.name).parts:
            continue
        _write(content, workspace / name)
        found.append(name)
    return found


def _copy(path: Path, workspace: Path) -> str:
    with path.open("rb") as content:
        _write(content, workspace / path.name)
    return path.name


def _write(content: IO[bytes], path: Path) -> None:
    if path.exists():
        raise StepError(f"{path.name} came twice; nothing was changed.")
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, 1024 * 1024)


@contextlib.contextmanager
def _workspace(folder: DatabaseFolder, say: Callable[[str], None]) -> Iterator[Path]:
    # On the disk of the live files, so that they take their places by a rename.
    with locks.held(folder.folder / "locks" / "carry", _patience(say)):
        for left in folder.staging.glob(f"{PREFIX}*"):
            # By one that was killed.
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder.staging, prefix=PREFIX) as workspace:
            yield Path(workspace)


@contextlib.contextmanager
def _target(target: str) -> Iterator[IO[bytes]]:
    if target == STREAM:
        yield sys.stdout.buffer
        return
    path = Path(target)
    draft = path.with_name(f".{path.name}.new")
    try:
        with draft.open("wb") as file:
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _patience(say: Callable[[str], None]) -> Callable[[], None]:
    """Return what is called while a lock is waited for: it says so, once."""
    told: list[bool] = []

    def check() -> None:
        if not told:
            say("Waiting for a fetch or a report to end ...")
            told.append(True)

    return check


def _say(sentence: str) -> None:
    # Standard output may be the archive.
    print(sentence, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m executor.transfer", description=__doc__)
    parser.add_argument(
        "--databases", help="the folder of the databases; else as the executor's settings say"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    bring = commands.add_parser("import", help="take databases in, as sound as a fetch's")
    bring.add_argument(
        "sources", nargs="+", metavar="FILE", help=f"{', '.join(FILES)}, a folder, a tar, or -"
    )
    take = commands.add_parser("export", help="write an archive of all databases")
    take.add_argument("target", metavar="FILE", help="the archive to write, or -")
    asked = parser.parse_args(arguments)
    try:
        variables = config.environment()
        place = Path(asked.databases).absolute() if asked.databases else config.databases_dir(variables)
        folder = DatabaseFolder(place)
        if asked.command == "import":
            import_files(folder, asked.sources, _say)
        else:
            export_files(folder, asked.target, _say)
    except (StepError, config.ConfigError, OSError) as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
