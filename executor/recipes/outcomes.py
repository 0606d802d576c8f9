"""What a job's commands came to, kept until the job ends: a runner that takes it up runs none twice."""

import json
import shutil
from pathlib import Path

from executor.engines import Command, Outcome


class Journal:
    """Outcomes as files in a folder that no tool gets to see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, command: Command) -> Outcome | None:
        """Return what the command came to, or None where it has not ended."""
        try:
            document = json.loads(self._path(command).read_bytes())
        except FileNotFoundError:
            return None
        # Latin-1 has a character for every byte.
        return Outcome(document["exit_code"], document["tail"].encode("latin-1"), document["because"])

    def keep(self, command: Command, outcome: Outcome) -> None:
        """Put an outcome on disk as a whole."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        document = {
            "exit_code": outcome.exit_code,
            "tail": outcome.tail.decode("latin-1"),
            "because": outcome.because,
        }
        making = self._path(command).with_suffix(".new")
        making.write_text(json.dumps(document))
        making.replace(self._path(command))

    def clear(self) -> None:
        """Forget all: the job has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, command: Command) -> Path:
        return self.folder / f"{command.key}.json"
