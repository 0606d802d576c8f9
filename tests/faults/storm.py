"""A storm: processes of a whole stack are killed in turn, and then the books are checked."""

import itertools
import json
import random
import shutil
import signal
import stat
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import redis
import requests

from tests.e2e.stack import Program, Stack, running
from tests.support.waiting import patience, wait_for

# Each fault once in this time: the supervisor ends a stack whose child it had to restart four times a minute.
EACH_SECONDS = 9
MINUTE = timedelta(minutes=1)
# A tool that takes some seconds and leaves a real document.
VULS = """#!{python} -SE
import json, pathlib, sys, time, tomllib
options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[2:])
if sys.argv[1] == "scan":
    time.sleep(5)
    folder = pathlib.Path(options["results-dir"], "2026-01-01T02-00-00+0000")
    folder.mkdir(parents=True)
    document = json.loads(pathlib.Path({document!r}).read_text())
    for name in tomllib.loads(pathlib.Path(options["config"]).read_text())["servers"]:
        (folder / (name + ".json")).write_text(json.dumps(document | dict(serverName=name)))
"""


@dataclass
class Books:
    """What came of every slot."""

    slots: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        ends = ", ".join(f"{name} {count}" for name, count in sorted(self.statuses.items()))
        lost, doubled, stuck = len(self.lost), len(self.doubled), len(self.stuck)
        return (
            f"faults: {faults}\nruns: {ends}\n"
            f"{self.slots} slots, {lost} lost, {doubled} doubled, {stuck} stuck"
        )


def storm(stack: Stack, minutes: int, tasks: int, seed: int) -> Books:
    """Run a stack for some minutes, with tasks due each minute and a fault every few seconds."""
    stack.data_dir.parent.mkdir(mode=0o755, exist_ok=True)
    tools = make_tools(stack.data_dir.parent / "tools")
    stack.environ["VULSWEB_TOOLS_DIR"] = str(tools)
    chance, books = random.Random(seed), Books()  # noqa: S311 - which process next
    with running(stack):
        program = Program(stack.url, stack.command("token", "create", "faults").strip())
        (host,) = program.get("/api/hosts")["items"]
        ids = [create(program, f"Task {number}", host["id"]) for number in range(tasks)]
        begun = datetime.now(UTC)
        end = time.monotonic() + minutes * 60
        kinds = itertools.cycle(chance.sample(FAULTS, len(FAULTS)))
        while time.monotonic() < end:
            time.sleep(EACH_SECONDS)
            name, fault = next(kinds)
            if fault(stack, chance):
                books.faults[name] += 1
        ended = quiet(program, ids)
        wait_for(lambda: not active(program), 180)
        books.stuck = [str(run) for run in active(program)]
        for task in ids:
            count(books, program, task, begun, ended)
    return books


def make_tools(folder: Path) -> Path:
    """Make a cheap Vuls."""
    folder.mkdir()
    folder.chmod(0o755)
    document = folder / "document.json"
    shutil.copy(Path(__file__).parents[1] / "data" / "scan_without_database.json", document)
    (folder / "vuls").write_text(VULS.format(python=sys.executable, document=str(document)))
    (folder / "vuls").chmod(stat.S_IRWXU)
    return folder


def create(program: Program, name: str, host_id: int) -> int:
    body = {
        "name": name,
        "task_type": "scan",
        "config": {"scan_type": "fast"},
        "host_id": host_id,
        "cron_expression": "* * * * *",
    }
    task: int = program.post("/api/scheduled-tasks/", body)["id"]
    return task


def quiet(program: Program, ids: list[int]) -> datetime:
    """Deactivate the tasks; return when the last slot could be."""

    def done() -> bool:
        with suppress(AssertionError, requests.RequestException):
            for task in ids:
                program.patch(f"/api/scheduled-tasks/{task}", {"is_active": False})
            return True
        return False

    before = datetime.now(UTC)
    wait_for(done, 120)
    return before


def active(program: Program) -> list[int]:
    """Return the ids of runs that have not ended; while nobody answers, a made-up one."""
    with suppress(AssertionError, requests.RequestException):
        states = "&".join(f"status={status}" for status in ("queued", "starting", "running"))
        return [run["id"] for run in program.get(f"/api/runs?{states}")["items"]]
    return [0]


def count(books: Books, program: Program, task: int, begun: datetime, ended: datetime) -> None:
    """Compare a task's runs with the minutes between two moments."""
    runs: list[dict[str, Any]] = []
    path: str | None = f"/api/scheduled-tasks/{task}/runs?per_page=100"
    while path:
        page = program.get(path)
        runs += page["items"]
        path = page["links"]["next"]
    books.statuses.update(run["status"] for run in runs)
    slots = Counter(datetime.fromisoformat(run["scheduled_for"]) for run in runs)
    books.doubled += [f"task {task} at {slot}" for slot, times in slots.items() if times > 1]
    slot = begun.replace(second=0, microsecond=0) + MINUTE
    while slot < ended:
        books.slots += 1
        if slot not in slots:
            books.lost.append(f"task {task} at {slot}")
        slot += MINUTE


def processes(stack: Stack, *words: str) -> Iterator[psutil.Process]:
    """Yield the stack's processes whose command lines have all these words."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if all(word in line for word in words) and belongs(process, stack):
                yield process


def belongs(process: psutil.Process, stack: Stack) -> bool:
    """Return whether a process is one of the stack's."""
    assert stack.process is not None
    with suppress(psutil.Error):
        if stack.process.pid in [parent.pid for parent in process.parents()]:
            return True
        # Runners and tools do not have it for a parent.
        return process.environ().get("EXECUTOR_DATA_DIR") == str(stack.data_dir / "executor") or str(
            stack.data_dir
        ) in " ".join(process.cmdline())
    return False


Fault = Callable[[Stack, random.Random], bool]


def kill(*words: str) -> Fault:
    """Return the fault that kills one of the processes with these words."""

    def fault(stack: Stack, chance: random.Random) -> bool:
        found: list[psutil.Process] = []
        # Runners and tools are there at the beginning of a minute only.
        deadline = time.monotonic() + 61
        while not found and time.monotonic() < deadline:
            found = list(processes(stack, *words))
            time.sleep(0.2)
        for process in chance.sample(found, min(1, len(found))):
            with suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
                return True
        return False

    return fault


def flush_redis(stack: Stack, chance: random.Random) -> bool:
    """Empty Redis: every message is lost."""
    del chance
    with suppress(OSError, redis.RedisError):
        settings = json.loads((stack.data_dir / "secrets" / "stack.json").read_text())
        with redis.Redis.from_url(settings["REDIS_URL"]) as client:
            client.flushall()
        return True
    return False


FAULTS: list[tuple[str, Fault]] = [
    ("worker", kill("celery", " worker ")),
    ("beat", kill("celery", " beat ")),
    ("web", kill("gunicorn", "wsgi:app")),
    ("executor", kill("gunicorn", "executor.application:create_app")),
    ("runner", kill("executor.runner")),
    ("tool", kill("tools/vuls", "scan")),
    ("redis", kill("valkey-server")),
    ("postgresql", kill("postgres", "-D")),
    ("database session", kill("postgres: postgres vulsweb")),
    ("flushall", flush_redis),
]


def print_books(books: Books) -> int:
    """Print what was counted; return the exit code."""
    for name in ("lost", "doubled", "stuck"):
        for each in getattr(books, name):
            print(f"{name}: {each}")
    print(books)
    return int(bool(books.lost or books.doubled or books.stuck))


def limit(minutes: int) -> float:
    """Return how many seconds a storm may take."""
    return minutes * 60 + patience(400)
