"""Finds processes of the executor, and scripts of tools that only sleep."""

from pathlib import Path
from typing import Any

# Writes its process id, then sleeps.
SLEEP = """
open(os.environ["HOME"] + "/tool.new", "w").write(str(os.getpid()))
os.rename(os.environ["HOME"] + "/tool.new", os.environ["HOME"] + "/tool")
time.sleep(600)
"""
SLEEP_AFTER_OUTPUT = f'print("working", flush=True)\n{SLEEP}'


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def runners(data: Path) -> list[int]:
    """The runners of this test's executor."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                b"executor.runner" in (process / "cmdline").read_bytes()
                and (process / "cwd").readlink() == data
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def steps(job: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["status"] for step in job["steps"]}
