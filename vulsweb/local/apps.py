"""The programs of Vuls Web: executor, web, worker and beat."""

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
    """The programs' settings, servers, sockets and secrets."""

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
        """Return the variables that the stack itself sets."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "SECRET_KEY_FILE": str(self.folder.secret_file("secret_key")),
            "EXECUTOR_API_KEY_FILE": str(self.folder.secret_file("executor_api_key")),
            "EXECUTOR_URL": f"http://127.0.0.1:{self.executor_socket.getsockname()[1]}",
            "VULSWEB_VULS_CONFIG": str(self._vuls_config()),
            "VULSWEB_LOG_DIR": str(self.folder.logs),
        }

    def executor(self) -> Child:
        """Return the executor, the only program that gets the EXECUTOR_ settings."""
        return Child(
            name="executor",
            command=_gunicorn(
                "executor.application:create_app()", self.executor_socket, workers=1, threads=8
            ),
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
            command=[
                *_gunicorn("wsgi:app", self.web_socket, workers=2, threads=4),
                *("--worker-class", "vulsweb.api.gunicorn_worker.Worker"),
            ],
            environ={**self.environ(), "VULSWEB_PROCESS": "web"},
            folder=HOME,
            ready=lambda: _answers(self.web_socket, "/healthz"),
            listener=self.web_socket,
        )

    def worker(self) -> Child:
        """Return the Celery worker."""
        # The port makes the name unique: other stacks may share an external Redis.
        name = f"local-{self.settings.port}@{socket.gethostname()}"
        client = Celery(broker=self.redis_url, set_as_current=False)
        client.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0}
        options = ["--queues", "celery,periodic", "--concurrency", "2", "--hostname", name]
        options += ["--without-mingle", "--without-gossip"]

        def answers() -> bool:
            try:
                return bool(client.control.ping(destination=[name], timeout=0.2))
            except OperationalError:
                return False

        return Child(
            name="worker",
            command=_celery("worker", *options),
            environ={**self.environ(), "VULSWEB_PROCESS": "worker"},
            folder=HOME,
            ready=answers,
        )

    def beat(self) -> Child:
        """Return Celery beat."""
        schedule = self.folder.subfolder("beat") / "schedule"
        return Child(
            name="beat",
            command=_celery("beat", "--schedule", str(schedule)),
            environ={**self.environ(), "VULSWEB_PROCESS": "beat"},
            folder=HOME,
        )

    def prepare(self, password: Mapping[str, str]) -> Child:
        """Return `vulsweb prepare`; `password` is the variable with a new admin password."""
        return Child(
            name="prepare",
            command=[sys.executable, "-m", "vulsweb", "prepare"],
            # Without any configuration, the first host to scan is this machine.
            environ={
                "VULSWEB_SEED_LOCALHOST": "yes",
                "EXECUTOR_PROFILE": self.settings.executor["EXECUTOR_PROFILE"],
                **self.environ(),
                **password,
            },
            folder=HOME,
        )

    def _vuls_config(self) -> Path:
        return self.folder.subfolder("config") / "config.toml"


def listen(host: str, port: int) -> socket.socket:
    """Bind a socket to inherit; it reserves the port during restarts."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family)
    except PermissionError as error:
        raise StackError(f"Only root may use port {port}; set VULSWEB_PORT to 1024 or higher.") from error
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise StackError(f"{host!r} is not an address of this machine; change VULSWEB_HOST.") from error
        raise StackError(f"Port {port} on {host} is in use; set VULSWEB_PORT to another.") from error


def end_jobs(executor_data: Path) -> None:
    """End running jobs, which otherwise survive a restart of the executor."""
    runners = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            data_dir = process.environ().get("EXECUTOR_DATA_DIR")
            if data_dir == str(executor_data) and "executor.runner" in process.cmdline():
                runners.append(process)
    for runner in runners:
        with suppress(psutil.NoSuchProcess):
            runner.terminate()
    _, left = psutil.wait_procs(runners, timeout=JOB_ENDING_SECONDS)
    for runner in left:
        with suppress(psutil.NoSuchProcess):
            runner.kill()


def _gunicorn(app: str, listener: socket.socket, *, workers: int, threads: int) -> list[str]:
    options = ["--bind", f"fd://{listener.fileno()}", "--workers", str(workers), "--threads", str(threads)]
    # Keep-alive is longer than the polling of pages: closing a connection that is just being reused fails.
    options += ["--graceful-timeout", "10", "--keep-alive", "30", "--no-control-socket"]
    return [sys.executable, "-m", "gunicorn", app, *options]


def _celery(command: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "wsgi:celery", command, "--loglevel", "INFO", *options]


def _answers(listener: socket.socket, path: str) -> bool:
    host, port = listener.getsockname()[:2]
    # A server that listens on all addresses is asked on the loopback address.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    connection = http.client.HTTPConnection(host, port, timeout=0.5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
