"""Exports and imports databases, for machines without internet.

Example: `python -m executor.transfer import FILE...`. It can run while the executor runs, because it takes
the same locks.
"""

import argparse
import contextlib
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from executor import config, locks
from executor.databases.catalogue import CATALOGUE
from executor.databases.folder import DatabaseFolder
from executor.errors import StepError

FILES = tuple(dict.fromkeys(database.file for database in CATALOGUE.values()))
# How the folders of imports begin in the staging folder.
PREFIX = "carried-"
STREAM = "-"


@dataclass(frozen=True)
class Source:
    """A file, folder or tar archive to import.

    `-` is an archive on standard input.
    """

    name: str

    def copy_to(self, workspace: Path) -> None:
        """Copy the source's database files into a folder.

        Raise StepError if it has none or is incomplete.
        """
        shown = "Standard input" if self.name == STREAM else self.name
        copied = 0
        try:
            for name, content in self.contents():
                copy = workspace / name
                if copy.exists():
                    raise StepError(f"{name} was given twice; nothing was changed.")
                with copy.open("xb") as file:
                    shutil.copyfileobj(content, file, 1024 * 1024)
                copied += 1
        except (tarfile.TarError, EOFError) as error:
            raise StepError(
                f"{shown} is neither a complete archive nor one of {', '.join(FILES)} ({error});"
                " nothing was changed."
            ) from error
        except OSError as error:
            raise StepError(
                f"{shown} cannot be imported: {error.strerror or error}; nothing was changed."
            ) from error
        if not copied:
            raise StepError(f"{shown} holds none of {', '.join(FILES)}; nothing was changed.")

    def contents(self) -> Iterator[tuple[str, IO[bytes]]]:
        """Yield the name and content of each database file in it."""
        path = Path(self.name)
        if self.name != STREAM and (path.is_dir() or path.name in FILES):
            files = [path / file for file in FILES if (path / file).is_file()] if path.is_dir() else [path]
            for file in files:
                with file.open("rb") as content:
                    yield file.name, content
            return
        stdin = sys.stdin.buffer if self.name == STREAM else None
        with tarfile.open(None if stdin else path, mode="r|*", fileobj=stdin) as archive:
            for member in archive:
                # Only the last part of the name counts: no archive can write elsewhere.
                name = Path(member.name).name
                data = archive.extractfile(member) if member.isreg() and name in FILES else None
                if data and "staging" not in Path(member.name).parts:
                    yield name, data


def import_databases(folder: DatabaseFolder, sources: Sequence[str], log: Callable[[str], None]) -> None:
    """Import the databases of all sources.

    Raise StepError, having changed nothing, if one of them is missing or damaged.
    """
    check = _log_waiting(log)
    # The workspace is on the disk of the live files, so that a rename moves them into place.
    with locks.lock(folder.folder / "locks" / "carry", check):
        for leftover in folder.staging.glob(f"{PREFIX}*"):
            # An import that was killed left it.
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder.staging, prefix=PREFIX) as workspace:
            for source in sources:
                Source(source).copy_to(Path(workspace))
            imported = folder.import_files(Path(workspace), check)
    for name, rows in imported.items():
        fetched_at = (folder.describe(name) or {}).get("fetched_at")
        log(f"{name}: {rows:,} rows, fetched {fetched_at or 'at an unknown time'}.")


def export_databases(folder: DatabaseFolder, target: str, log: Callable[[str], None]) -> None:
    """Write an archive of all existing databases to a file.

    The target `-` is standard output.
    """
    path = Path(target)
    draft = path.with_name(f".{path.name}.new")
    names = []
    with contextlib.ExitStack() as stack:
        if target == STREAM:
            stream: IO[bytes] = sys.stdout.buffer
        else:
            stack.callback(draft.unlink, missing_ok=True)
            stream = stack.enter_context(draft.open("wb"))
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            for file in folder.lock_each(FILES, _log_waiting(log)):
                archive.add(file, file.name)
                names.append(file.name)
            if not names:
                raise StepError("There is no database to export yet.")
        if target != STREAM:
            stream.close()
            draft.replace(path)
    log(f"Exported: {', '.join(names)}.")


def _log_waiting(log: Callable[[str], None]) -> Callable[[], None]:
    """Return a function to call while waiting for a lock.

    The function logs the wait once.
    """
    logged: list[bool] = []

    def check() -> None:
        if not logged:
            log("Waiting for a fetch or a report to end ...")
            logged.append(True)

    return check


def _print(sentence: str) -> None:
    # To standard error, because standard output may be the archive.
    print(sentence, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m executor.transfer", description=__doc__)
    parser.add_argument(
        "--databases", help="the folder of the databases; by default, that of the executor's settings"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    importing = commands.add_parser("import", help="import databases, with the checks of a fetch")
    importing.add_argument(
        "sources", nargs="+", metavar="FILE", help=f"{', '.join(FILES)}, a folder, a tar archive, or -"
    )
    exporting = commands.add_parser("export", help="write an archive of all databases")
    exporting.add_argument("target", metavar="FILE", help="the archive to write, or -")
    options = parser.parse_args(arguments)
    try:
        variables = config.environment()
        chosen = Path(options.databases).absolute() if options.databases else None
        folder = DatabaseFolder(chosen or config.databases_dir(variables))
        if options.command == "import":
            import_databases(folder, options.sources, _print)
        else:
            export_databases(folder, options.target, _print)
    except (StepError, config.ConfigError, OSError) as error:
        _print(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
