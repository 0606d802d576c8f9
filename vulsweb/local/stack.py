"""The complete stack on one machine, from the first folder to the last line on the terminal."""

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis
import sqlalchemy

from vulsweb.accounts.access import PEOPLE_ALREADY
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
    """Run the complete stack until Ctrl-C; return the exit code, having said why when it is 1."""
    try:
        wanted = settings.read(environ)
        with open_folder(wanted.data_dir) as folder:
            _run(wanted, folder)
    except StackError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    say("Stopped.")
    return 0


def say(line: str) -> None:
    """Print a line for the person at the terminal, who may have closed it."""
    with suppress(OSError):
        print(line, flush=True)


@contextmanager
def stopping_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` for Ctrl-C, a plain `kill` and a closed terminal."""
    earlier = {number: signal.signal(number, lambda *_: stop()) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _run(wanted: Settings, folder: DataFolder) -> None:
    supervisor = Supervisor(folder.logs, say, inherited=[folder.family.fileno()])
    with stopping_on_signals(supervisor.request_stop), suppress(StopRequested), ExitStack() as held:
        # Bound before anything starts, so that a port in use costs nothing.
        web_socket = held.enter_context(listen(wanted.host, wanted.port))
        executor_socket = held.enter_context(listen("127.0.0.1", 0))
        say(f"Vuls Web is starting; its data and logs are in {folder.path}.")
        # Entered first, so done last: by then nobody is left to start another job.
        held.callback(end_jobs, folder.path / "executor")
        database_url, redis_url = start_servers(wanted, folder, supervisor, held)
        apps = Apps(wanted, folder, database_url, redis_url, web_socket, executor_socket)
        _tell_commands(apps, held)
        password = _prepare(apps, supervisor)
        supervisor.start(apps.executor(), apps.web(), apps.worker(), apps.beat())
        _welcome(wanted, password)
        supervisor.watch()


def start_servers(
    wanted: Settings, folder: DataFolder, supervisor: Supervisor, held: ExitStack
) -> tuple[str, str]:
    """Start the servers that nobody named a URL for; return the URLs of both."""
    database_url, redis_url, servers = wanted.database_url, wanted.redis_url, []
    if database_url is None:
        cluster = held.enter_context(open_cluster(folder.path / "postgres", folder.path / "run"))
        servers.append(cluster.child())
    # Entered after what the children use, so that they are gone before it goes.
    held.enter_context(supervisor)
    held.callback(_announce_stop, folder)
    if redis_url is None:
        password = folder.secret_file("redis_password").read_text()
        valkey = Valkey(folder.path / "redis", free_port(), password)
        servers.append(valkey.child())
        redis_url = valkey.url
    supervisor.start(*servers)
    if database_url is None:
        cluster.create_database()
        database_url = cluster.url
    _check_named_servers(wanted)
    return database_url, redis_url


def _tell_commands(apps: Apps, held: ExitStack) -> None:
    """Say to `vulsweb` commands, for as long as the stack runs, where its servers are."""
    told = apps.folder.path / STACK_FILE
    write_private(told, json.dumps(apps.addresses()))
    held.callback(told.unlink, missing_ok=True)


def _announce_stop(folder: DataFolder) -> None:
    folder.mark_stopping()
    say("Stopping.")


def _check_named_servers(wanted: Settings) -> None:
    try:
        if wanted.database_url:
            sqlalchemy.create_engine(wanted.database_url).connect().close()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise StackError(f"The server that DATABASE_URL names does not answer: {reason}") from error
    try:
        if wanted.redis_url:
            redis.Redis.from_url(wanted.redis_url).ping()
    except (redis.RedisError, ValueError) as error:
        raise StackError(f"The server that REDIS_URL names does not answer: {error}") from error


def _prepare(apps: Apps, supervisor: Supervisor) -> str:
    """Bring the database up to date; return what to say of the admin's password."""
    folder, given = apps.folder, apps.settings.admin_password
    done, file = folder.path / "prepared", folder.path / "secrets" / "admin_password"
    # A start that was killed half way leaves the file, which then has the password that holds.
    first = not done.exists() and not file.exists()
    environ, password = {}, "as chosen at the first start"
    if done.exists():
        if file.exists():
            environ, password = {"VULSWEB_ADMIN_PASSWORD_FILE": str(file)}, f"in {file}"
    elif given and not file.exists():
        environ, password = {"VULSWEB_ADMIN_PASSWORD": given}, "the one in VULSWEB_ADMIN_PASSWORD"
    else:
        folder.secret_file(file.name, length=15)
        environ, password = {"VULSWEB_ADMIN_PASSWORD_FILE": str(file)}, file.read_text()
    if supervisor.finish(apps.prepare(environ)) != 0:
        raise StackError(_why_not_prepared(folder.logs / "prepare.log"))
    done.touch()
    if first and PEOPLE_ALREADY in (folder.logs / "prepare.log").read_text(errors="replace"):
        file.unlink(missing_ok=True)
        return "as in that database; `vulsweb user password admin` gives a new one"
    return password


def _why_not_prepared(log: Path) -> str:
    last = log.read_text(errors="replace").rstrip().rpartition("\n")[2]
    if last.startswith("Error: "):
        return last.removeprefix("Error: ")
    return f"The database could not be prepared; the log is {log}."


def _welcome(wanted: Settings, password: str) -> None:
    host = f"[{wanted.host}]" if ":" in wanted.host else wanted.host
    say(f"Vuls Web is ready: http://{host}:{wanted.port}")
    say("  name      admin")
    say(f"  password  {password}")
    if line := tools.advice(wanted):
        say(line)
    say("Press Ctrl-C to stop.")
