"""One tool container: what it gets, its start and its outcome."""

import os
import shutil
import stat
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from docker.models.containers import Container
from docker.types import LogConfig, Mount
from docker.utils import parse_bytes

from executor.config import DockerSettings, Settings
from executor.engines import Command, Outcome

EXECUTOR_LABEL = "org.vulsweb.executor"
JOB_LABEL = "org.vulsweb.job"
COMMAND_LABEL = "org.vulsweb.command"
# What each container is kept to. The proxy before Docker demands it too.
DROPPED = ["ALL"]
SECURITY = ["no-new-privileges:true"]
TMPFS = {"/tmp": "size=256m,mode=1777"}  # noqa: S108 (the container's own)
MAX_PROCESSES = 256
KILLED = 128 + 9  # as Docker reports SIGKILL
OOM_SECONDS = 1.0
# Far more than a job's log holds; Docker keeps it until the container is removed.
DOCKER_LOG = LogConfig(type="json-file", config={"max-size": "64m", "max-file": "1"})


def options(settings: Settings, docker: DockerSettings, command: Command, folder: Path) -> dict[str, Any]:
    """Return the options to create a command's container with.

    Each volume is mounted at the executor's own path. Only a fetch gets the proxy and its password.
    """
    mounts = [Mount(str(settings.work_dir), docker.jobs_volume, "volume")]
    # A download may be larger than memory, so it goes to the disk; Vuls' sockets need a short path.
    home = str(folder) if command.fetches else "/tmp"  # noqa: S108 (the container's own)
    environment = {"HOME": home, "TMPDIR": home, "LANG": "C.UTF-8"}
    if command.fetches:
        if settings.https_proxy:
            # The last is an option of the fetching tools; see LocalEngine.environment.
            names = ("HTTP_PROXY", "HTTPS_PROXY", "HTTP-PROXY")
            environment |= dict.fromkeys(names, settings.https_proxy)
        if settings.ca_bundle:
            copy = folder / "ca.pem"
            shutil.copyfile(settings.ca_bundle, copy)
            environment |= dict.fromkeys(("SSL_CERT_FILE", "GIT_SSL_CAINFO"), str(copy))
    elif command.tool == "vuls" and command.arguments[0] == "report":
        path = str(settings.databases_dir)
        mounts.append(Mount(path, docker.databases_volume, "volume", read_only=True))
    elif command.tool == "vuls" and docker.ssh_volume:
        mounts.append(Mount(str(docker.ssh_dir), docker.ssh_volume, "volume", read_only=True))
    return {
        "environment": environment,
        "working_dir": str(folder),
        "user": docker.user,
        "mounts": mounts,
        "network": docker.network,
        "cap_drop": DROPPED,
        "security_opt": SECURITY,
        "read_only": True,
        "tmpfs": TMPFS,
        "mem_limit": docker.memory,
        "memswap_limit": docker.memory,
        "nano_cpus": nano_cpus(docker),
        "pids_limit": MAX_PROCESSES,
        "log_config": DOCKER_LOG,
    }


def nano_cpus(docker: DockerSettings) -> int:
    """Return the processor time of a container, in billionths of a processor."""
    return int(docker.cpus * 10**9)


def memory_bytes(docker: DockerSettings) -> int:
    """Return the memory of a container, in bytes."""
    return int(parse_bytes(docker.memory))


def give_to_tools(settings: Settings, docker: DockerSettings, folder: Path) -> None:
    """Make the tools' user the owner of the job's folder.

    This has an effect only if the executor is root. Otherwise the tools run as the same user already. The
    tools may enter the folder of all jobs but not list it, so that no job finds the files of another.
    """
    if os.geteuid() != 0 or settings.work_dir is None:
        return
    settings.work_dir.chmod(0o711)
    user, _, group = docker.user.partition(":")
    job_folder = settings.work_dir / folder.relative_to(settings.work_dir).parts[0]
    for parent, folders, files in os.walk(job_folder):
        for path in (parent, *(os.path.join(parent, name) for name in (*folders, *files))):  # noqa: PTH118
            os.chown(path, int(user), int(group), follow_symlinks=False)


def start_once(container: Container) -> float:
    """Start a container unless it was started, and return its start time.

    The time is in seconds since 1970.
    """
    container.reload()
    if container.status == "created":
        container.start()
        container.reload()
    # Docker's time, because an earlier runner may have started it.
    return datetime.fromisoformat(container.attrs["State"]["StartedAt"][:19] + "+00:00").timestamp()


def outcome(container: Container, tail: bytes, memory: str) -> Outcome | None:
    """Return how a container ended; None if it still runs."""
    container.reload()
    state = container.attrs["State"]
    if state["Running"]:
        return None
    code = int(state["ExitCode"])
    if code == KILLED and not state.get("OOMKilled"):
        # Docker hears of the kernel's decision apart from the end of the process, sometimes later.
        time.sleep(OOM_SECONDS)
        container.reload()
        state = container.attrs["State"]
    if state.get("OOMKilled"):
        return Outcome(code, tail, f"it needed more than the {memory} of memory it may use")
    if state.get("Error"):
        return Outcome(code, tail, f"Docker says: {state['Error']}")
    # Docker reports a signal as a shell does, as 128 plus its number.
    return Outcome(128 - code if code > 128 else code, tail)


def remove_special_files(folder: Path) -> None:
    """Remove everything but files and folders.

    The executor reads what a tool leaves, and a symbolic link would lead it elsewhere.
    """
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*files, *links):
            path = Path(parent, name)
            if not stat.S_ISREG(path.lstat().st_mode):
                path.unlink()
