"""`/system/logs`: the logs of the processes, for admins."""

import os
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.conftest import NOW
from tests.support.sessions import sign_in
from tests.views.conftest import HOSTILE, MakeRun, asked_again
from vulsweb.accounts import users
from vulsweb.extensions import db
from vulsweb.models import Role
from vulsweb.system import log_files


@pytest.fixture
def folder(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "executor").mkdir()
    (tmp_path / "web.log").write_text("one\ntwo\n")
    (tmp_path / "worker.log").write_text("run 12: started\nrun 123: started\nRUN 12: success\n")
    (tmp_path / "executor" / "executor.log").write_text("job 7\n")
    monkeypatch.setitem(app.config, "LOG_DIR", tmp_path)
    return tmp_path


def test_the_last_lines_of_each_process_are_shown_and_come_anew(signed_in: FlaskClient, folder: Path) -> None:
    page = signed_in.get("/system/logs/").text
    address = asked_again(page, "log-web")

    same = signed_in.get(address)
    with (folder / "web.log").open("a") as file:
        file.write("three\n")
    new = signed_in.get(address)

    assert [name in page for name in ("one\ntwo", "job 7", "run 12: started")] == [True] * 3
    assert (same.status_code, new.status_code) == (204, 200)
    assert "two\nthree" in new.text


@pytest.mark.parametrize(
    ("query", "found", "absent"),
    [
        ("search=run+12:", ["run 12: started", "RUN 12: success"], ["run 123", "job 7"]),
        ("process=web&search=run", ["No matching lines", "in the log of web"], ["run 12:"]),
        ("process=web", ["one"], ["job 7"]),
        ("process=../../etc/passwd", [], ["root:"]),
        ("search=%00nothing", ["No matching lines"], []),
    ],
)
def test_lines_are_searched(
    signed_in: FlaskClient, folder: Path, query: str, found: list[str], absent: list[str]
) -> None:
    page = signed_in.get(f"/system/logs/?{query}").text

    assert [text for text in found if text not in page] == []
    assert [text for text in absent if text in page] == []


def test_a_log_is_downloaded(signed_in: FlaskClient, folder: Path) -> None:
    answer = signed_in.get("/system/logs/worker/download")

    assert answer.text == (folder / "worker.log").read_text()
    assert answer.headers["Content-Disposition"] == "attachment; filename=worker.log"
    answer.close()
    assert signed_in.get("/system/logs/none/download").status_code == 404


def test_links_and_pipes_in_the_folder_are_not_read(signed_in: FlaskClient, folder: Path) -> None:
    (folder / "passwd.log").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.log")
    (folder / "web.log").unlink()
    (folder / "web.log").symlink_to("/etc/passwd")

    page = signed_in.get("/system/logs/?search=root").text

    assert "root:" not in page
    assert signed_in.get("/system/logs/passwd/download").status_code == 404
    assert signed_in.get("/system/logs/web/download").status_code == 404


def test_a_large_log_with_long_lines_makes_a_small_page(
    signed_in: FlaskClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "LARGEST_READ", 100_000)
    (folder / "web.log").write_text("old needle\n" + "x" * 5000 + "\n" + f"{HOSTILE}\n" * 20_000)

    tail = signed_in.get("/system/logs/").text
    found = signed_in.get("/system/logs/?search=script").text
    old = signed_in.get("/system/logs/?search=needle").text

    assert max(len(tail), len(found)) < 200_000
    assert "<script>alert" not in tail + found
    assert "The last matching lines." in found
    assert "No matching lines" in old


@pytest.mark.parametrize("path", ["/system/logs/", "/system/logs/web/tail", "/system/logs/web/download"])
def test_they_are_for_admins_alone(app: Flask, folder: Path, path: str) -> None:
    user = users.create_user("otto", "lantern otter quartz meadow", Role.OPERATOR, NOW)
    db.session.commit()

    assert sign_in(app.test_client(), user).get(path).status_code == 403


def test_without_a_folder_the_page_says_what_to_set(signed_in: FlaskClient) -> None:
    assert "Set <code>VULSWEB_LOG_DIR</code>" in signed_in.get("/system/logs/").text


def test_the_page_of_a_run_leads_to_its_lines(signed_in: FlaskClient, make_run: MakeRun) -> None:
    run = make_run()

    assert f'href="/system/logs/?search=run+{run.id}:"' in signed_in.get(f"/runs/{run.id}").text
