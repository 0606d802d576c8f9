"""Our own programs: the executor, the web, the worker and beat."""

import errno
import http
import http.client
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from celery import Celery
from kombu.exceptions import OperationalError

from vulsweb.local.children import Child
from vulsweb.local.errors import StackError
from vulsweb.local.folder import DataFolder
from vulsweb.local.settings import Settings

HOME = Path(__file__).parents[2]  # where wsgi.py and migrations/ are

JOB_ENDING_SECONDS = 10


@dataclass(frozen=True)
class Apps:
    """Where our programs find each other, the servers and their secrets."""

    settings: Settings
    folder: DataFolder
    database_url: str
    redis_url: str
    web_socket: socket.socket
    executor_socket: socket.socket

    def environ(self) -> Mapping[str, str]:
        """Return the environment of web, worker, beat and the `vulsweb` command."""
        return {**self.settings.shared, **self.addresses()}

    def addresses(self) -> Mapping[str, str]:
        """Return the part of that which the stack itself has decided."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "SECRET_KEY_FILE": str(self.folder.secret_file("secret_key")),
            "EXECUTOR_API_KEY_FILE": str(self.folder.secret_file("executor_api_key")),
            "EXECUTOR_URL": f"http://127.0.0.1:{self.executor_socket.getsockname()[1]}",
            "VULSWEB_VULS_CONFIG": str(self._vuls_config()),
        }

    def executor(self) -> Child:
        """Return the executor, the only one to be given the proxy and the mirror's certificate."""
        return Child(
            name="executor",
            command=_gunicorn("executor:create_app()", self.executor_socket, workers=1, threads=8),
            environ={
                **self.settings.shared,
                **self.settings.executor,
                "EXECUTOR_API_KEY_FILE": str(self.folder.secret_file("executor_api_key")),
                "EXECUTOR_DATA_DIR": str(self.folder.subfolder("executor")),
                "EXECUTOR_VULS_CONFIG": str(self._vuls_config()),
                "VULSWEB_TOOLS_DIR": str(self.settings.tools_dir),
            },
            folder=HOME,
            ready=lambda: _answers(self.executor_socket, "/health"),
            listener=self.executor_socket,
        )

    def web(self) -> Child:
        """Return the web application."""
        return Child(
            name="web",
            command=_gunicorn("wsgi:app", self.web_socket, workers=2, threads=4),
            environ=self.environ(),
            folder=HOME,
            ready=lambda: _answers(self.web_socket, "/healthz"),
            listener=self.web_socket,
        )

    def worker(self) -> Child:
        """Return the Celery worker."""
        # Named by its port: other stacks may share an external Redis.
        name = f"local-{self.settings.port}@{socket.gethostname()}"
        client = Celery(broker=self.redis_url, set_as_current=False)
        client.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0}
        words = ["--concurrency", "2", "--hostname", name, "--without-mingle", "--without-gossip"]
        return Child(
            name="worker",
            command=_celery("worker", *words),
            environ=self.environ(),
            folder=HOME,
            ready=lambda: _worker_answers(client, name),
        )

    def beat(self) -> Child:
        """Return Celery beat."""
        schedule = self.folder.subfolder("beat") / "schedule"
        return Child(
            name="beat",
            command=_celery("beat", "--schedule", str(schedule)),
            environ=self.environ(),
            folder=HOME,
        )

    def prepare(self, password: Mapping[str, str]) -> Child:
        """Return the command that brings the database up to date; `password` is the admin's, if new."""
        return Child(
            name="prepare",
            command=[sys.executable, "-m", "vulsweb", "prepare"],
            # A single machine with nothing configured scans itself first.
            environ={"VULSWEB_SEED_LOCALHOST": "yes", **self.environ(), **password},
            folder=HOME,
        )

    def _vuls_config(self) -> Path:
        return self.folder.subfolder("config") / "config.toml"


def listen(host: str, port: int) -> socket.socket:
    """Bind the socket of a web server, which inherits it: the port stays ours between restarts."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family)
    except PermissionError as error:
        raise StackError(f"Port {port} is for root alone; set VULSWEB_PORT to 1024 or above.") from error
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise StackError(f"{host!r} is not an address of this machine; correct VULSWEB_HOST.") from error
        raise StackError(f"Port {port} on {host} is in use; set VULSWEB_PORT to another.") from error


def end_jobs(executor_data: Path) -> None:
    """End the jobs that outlive the executor, as they are meant to where it alone is restarted."""
    runners = [process for process in psutil.process_iter() if _runs_jobs_of(process, executor_data)]
    for runner in runners:
        with suppress(psutil.NoSuchProcess):
            runner.terminate()
    _, left = psutil.wait_procs(runners, timeout=JOB_ENDING_SECONDS)
    for runner in left:
        with suppress(psutil.NoSuchProcess):
            runner.kill()


def _runs_jobs_of(process: psutil.Process, executor_data: Path) -> bool:
    with suppress(psutil.Error):
        ours = process.environ().get("EXECUTOR_DATA_DIR") == str(executor_data)
        return ours and "executor.runner" in process.cmdline()
    return False


def _gunicorn(app: str, listener: socket.socket, *, workers: int, threads: int) -> list[str]:
    words = ["--bind", f"fd://{listener.fileno()}", "--workers", str(workers), "--threads", str(threads)]
    # Longer than the pages' polling: a connection that ends just as it is used again is an error.
    words += ["--graceful-timeout", "10", "--keep-alive", "30", "--no-control-socket"]
    return [sys.executable, "-m", "gunicorn", app, *words]


def _celery(command: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "wsgi:celery", command, "--loglevel", "INFO", *words]


def _worker_answers(client: Celery, name: str) -> bool:
    try:
        return bool(client.control.ping(destination=[name], timeout=0.2))
    except OperationalError:
        return False


def _answers(listener: socket.socket, path: str) -> bool:
    host, port = listener.getsockname()[:2]
    # A server that listens everywhere is asked at home.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    connection = http.client.HTTPConnection(host, port, timeout=0.5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
