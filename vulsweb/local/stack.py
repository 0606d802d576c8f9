"""Starts and stops the complete stack on one machine."""

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

import redis
import sqlalchemy

from vulsweb.accounts.users import USERS_EXIST
from vulsweb.config import STACK_FILE
from vulsweb.local import settings, tools
from vulsweb.local.apps import Apps, end_jobs, listen
from vulsweb.local.cluster import open_cluster
from vulsweb.local.errors import StackError, StopRequested
from vulsweb.local.folder import DataFolder, open_folder, write_private
from vulsweb.local.settings import Settings
from vulsweb.local.supervisor import Supervisor
from vulsweb.local.valkey import Valkey, free_port

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(environ: Mapping[str, str]) -> int:
    """Run the stack until Ctrl-C; print errors and return the exit code."""
    try:
        found = settings.read(environ)
        with open_folder(found.data_dir) as folder:
            _run(found, folder)
    except StackError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    say("Stopped.")
    return 0


def say(line: str) -> None:
    """Print a line; the terminal may have been closed."""
    with suppress(OSError):
        print(line, flush=True)


@contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on Ctrl-C, `kill` or a closed terminal."""
    earlier = {number: signal.signal(number, lambda *_: stop()) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _run(found: Settings, folder: DataFolder) -> None:
    supervisor = Supervisor(folder.logs, say, inherited=[folder.children_lock.fileno()])
    with stopping_on_signals(supervisor.request_stop), suppress(StopRequested), ExitStack() as cleanup:
        # Bound first, so that a port in use fails before anything has started.
        web_socket = cleanup.enter_context(listen(found.host, found.port))
        executor_socket = cleanup.enter_context(listen("127.0.0.1", 0))
        say(f"Starting Vuls Web. Its data and logs are in {folder.path}.")
        # Registered first, so called last: by then no program can start another job.
        cleanup.callback(end_jobs, folder.path / "executor")
        database_url, redis_url = start_servers(found, folder, supervisor, cleanup)
        apps = Apps(found, folder, database_url, redis_url, web_socket, executor_socket)
        # While the stack is running, this file tells `vulsweb` commands the URLs of the servers.
        stack_file = folder.path / STACK_FILE
        write_private(stack_file, json.dumps(apps.addresses()))
        cleanup.callback(stack_file.unlink, missing_ok=True)
        password = _prepare(apps, supervisor)
        supervisor.start(apps.executor(), apps.web(), apps.worker(), apps.beat())
        say(f"Vuls Web is ready: {found.address}")
        say("  name      admin")
        say(f"  password  {password}")
        if line := tools.advice(found):
            say(line)
        say("Press Ctrl-C to stop.")
        supervisor.watch()


def start_servers(
    found: Settings, folder: DataFolder, supervisor: Supervisor, cleanup: ExitStack
) -> tuple[str, str]:
    """Start PostgreSQL and Valkey unless their URLs are set; return both URLs."""
    database_url, redis_url, servers = found.database_url, found.redis_url, []
    if database_url is None:
        cluster = cleanup.enter_context(open_cluster(folder.path / "postgres", folder.path / "run"))
        servers.append(cluster.child())
    # Entered after the folders that the children use, so that the children stop before those are removed.
    cleanup.enter_context(supervisor)
    cleanup.callback(say, "Stopping.")
    cleanup.callback(folder.mark_stopping)
    if redis_url is None:
        password = folder.secret_file("redis_password").read_text()
        valkey = Valkey(folder.path / "redis", free_port(), password)
        servers.append(valkey.child())
        redis_url = valkey.url
    supervisor.start(*servers)
    if database_url is None:
        cluster.create_database()
        database_url = cluster.url
    try:
        if found.database_url:
            sqlalchemy.create_engine(found.database_url).connect().close()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise StackError(f"The server in DATABASE_URL does not answer: {reason}") from error
    try:
        if found.redis_url:
            redis.Redis.from_url(found.redis_url).ping()
    except (redis.RedisError, ValueError) as error:
        raise StackError(f"The server in REDIS_URL does not answer: {error}") from error
    return database_url, redis_url


def _prepare(apps: Apps, supervisor: Supervisor) -> str:
    """Run `vulsweb prepare`; return the admin's password, or where to find it."""
    folder, chosen = apps.folder, apps.settings.admin_password
    done, file = folder.path / "prepared", folder.path / "secrets" / "admin_password"
    # If an earlier first start was killed, the file is there and has the valid password.
    first = not done.exists() and not file.exists()
    environ, password = {}, "as set at the first start"
    if done.exists():
        if file.exists():
            environ, password = {"VULSWEB_ADMIN_PASSWORD_FILE": str(file)}, f"in {file}"
    elif chosen and not file.exists():
        environ, password = {"VULSWEB_ADMIN_PASSWORD": chosen}, "the one in VULSWEB_ADMIN_PASSWORD"
    else:
        folder.secret_file(file.name, length=15)
        environ, password = {"VULSWEB_ADMIN_PASSWORD_FILE": str(file)}, file.read_text()
    log = folder.logs / "prepare.log"
    if supervisor.finish(apps.prepare(environ)) != 0:
        last = log.read_text(errors="replace").rstrip().rpartition("\n")[2]
        if last.startswith("Error: "):
            raise StackError(last.removeprefix("Error: "))
        raise StackError(f"The database could not be prepared; the log is {log}.")
    done.touch()
    if first and USERS_EXIST in log.read_text(errors="replace"):
        file.unlink(missing_ok=True)
        return "unchanged in that database; `vulsweb user password admin` sets a new one"
    return password
