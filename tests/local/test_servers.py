import os
import stat
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
import redis as redis_client
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.local.conftest import ask
from tests.support.needs import lacking
from vulsweb.local import postgres, redis
from vulsweb.local.errors import StackError


def socket_folder(url: str) -> Path:
    return Path(parse_qs(urlsplit(url).query)["host"][0])


def test_postgresql_keeps_its_rows_between_starts(place: Path) -> None:
    with postgres(place / "data") as url:
        ask(url, "CREATE TABLE hosts AS SELECT 'web01' AS name")

    with postgres(place / "data") as url:
        assert ask(url, "SELECT name FROM hosts") == "web01"


def test_postgresql_is_only_reachable_through_a_private_socket(place: Path) -> None:
    with postgres(place / "data", durable=False) as url:
        folder = socket_folder(url)
        pid = int((place / "data" / "postmaster.pid").read_text().splitlines()[0])
        listening = [item for item in psutil.Process(pid).net_connections("inet") if item.status == "LISTEN"]

        assert listening == []
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == psutil.Process(pid).uids().effective != 0


def test_a_long_path_gets_a_short_folder_for_the_socket(place: Path) -> None:
    long = place / ("a" * 60) / ("b" * 60)

    with postgres(long / "data", durable=False) as url:
        folder = socket_folder(url)
        assert ask(url, "SELECT 1") == 1

    assert len(str(folder)) < 60
    assert not folder.exists()


def test_folder_names_may_have_commas_spaces_and_quotes(place: Path) -> None:
    for name in ("a,b", 'say "a b"', "100%"):
        with postgres(place / name / "data", durable=False) as url:
            assert ask(url, "SELECT 1") == 1


def test_postgresql_starts_although_another_program_has_its_old_process_id(
    place: Path,
) -> None:
    with postgres(place / "data", durable=False):
        left_behind = (place / "data" / "postmaster.pid").read_text().splitlines()
    left_behind[0] = str(os.getpid())
    (place / "data" / "postmaster.pid").write_text("\n".join(left_behind))

    with postgres(place / "data", durable=False) as url:
        assert ask(url, "SELECT 1") == 1


def test_an_interrupted_first_start_begins_again(place: Path) -> None:
    (place / "data.new").mkdir()
    (place / "data.new" / "PG_VERSION").touch()

    with postgres(place / "data", durable=False) as url:
        assert ask(url, "SELECT 1") == 1


def test_a_closed_folder_above_is_named_and_left_closed(place: Path) -> None:
    if os.geteuid() != 0:
        lacking("Root is missing: only then does PostgreSQL run as a second user.")
    closed = place / "closed"
    closed.mkdir(mode=0o700)

    with pytest.raises(StackError) as caught, postgres(closed / "data"):
        pass

    assert str(caught.value) == (
        f"PostgreSQL does not run as root, and its own user cannot enter {closed}; "
        "move Vuls Web to a folder that every user can enter, such as /opt, or start it as another user."
    )
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_redis_requires_its_password_and_hides_it_from_other_users(place: Path) -> None:
    with redis(place / "data") as url:
        password = urlsplit(url).password or ""
        command_lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
        with (
            redis_client.Redis(port=urlsplit(url).port or 0, retry=Retry(NoBackoff(), 0)) as stranger,
            pytest.raises(redis_client.AuthenticationError),
        ):
            stranger.ping()

    assert password not in command_lines.stdout
    assert stat.S_IMODE((place / "data" / "valkey.conf").stat().st_mode) == 0o600


def test_redis_keeps_its_keys_between_starts(place: Path) -> None:
    with redis(place / "data") as url, redis_client.Redis.from_url(url) as client:
        client.set("name", "web01")

    with redis(place / "data") as url, redis_client.Redis.from_url(url) as client:
        assert client.get("name") == b"web01"
