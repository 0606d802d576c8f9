"""Saves the outcomes of a job's commands.

So a later runner does not run the commands again.
"""

import json
import shutil
from pathlib import Path

from executor.engines import Command, Outcome


class OutcomeStore:
    """Outcomes as files in a folder that no tool can see."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, command: Command) -> Outcome | None:
        """Return the command's outcome, or None if it has not ended."""
        try:
            document = json.loads(self._path(command).read_bytes())
        except FileNotFoundError:
            return None
        # Latin-1 has a character for every byte.
        return Outcome(document["exit_code"], document["tail"].encode("latin-1"), document["because"])

    def save(self, command: Command, outcome: Outcome) -> None:
        """Write an outcome; a reader sees the whole file or none."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        document = {
            "exit_code": outcome.exit_code,
            "tail": outcome.tail.decode("latin-1"),
            "because": outcome.reason,
        }
        draft = self._path(command).with_suffix(".new")
        draft.write_text(json.dumps(document))
        draft.replace(self._path(command))

    def clear(self) -> None:
        """Remove all outcomes, once the job has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, command: Command) -> Path:
        return self.folder / f"{command.key}.json"
