"""The whole stack with EXECUTOR_PROFILE=current: one database, which a newer Vuls fetches and reads."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import vuls2
from tests.e2e.browsing import sign_in
from tests.e2e.stack import Program, Stack
from tests.mirror.__main__ import settings
from tests.mirror.server import Mirror, mirror


@pytest.fixture
def feeds(tmp_path: Path) -> Iterator[Mirror]:
    """The registry, with a small database of the real tool's."""
    path = tmp_path / "vuls2.db"
    vuls2.make(vuls2.tools_folder() / "vuls2", path, vuls2.FLAWS)
    with mirror(vuls2.registry(path.read_bytes(), vuls2.SCHEMA)) as server:
        yield server


@pytest.fixture
def stack(feeds: Mirror, tmp_path: Path, open_folder: Path) -> Stack:
    """A stack of the current profile, on a machine that says it is Ubuntu."""
    environ = {
        "EXECUTOR_PROFILE": "current",
        "VULSWEB_TOOLS_DIR": str(vuls2.tools_folder()),
        "PATH": f"{vuls2.pretend_ubuntu(tmp_path / 'ubuntu')}:{os.environ['PATH']}",
        **settings(feeds),
    }
    return Stack(open_folder / tmp_path.name / "data", environ)


def test_a_scan_finds_what_the_one_database_holds_and_the_nine_are_refused(
    program: Program, started: Stack, page: Page, pictures: Path
) -> None:
    (host,) = program.get("/api/hosts")["items"]
    (daily,) = program.get("/api/scheduled-tasks/?task_type=db_update")["items"]
    (detection,) = program.get("/api/scheduled-tasks/?task_type=detection")["items"]
    body = {
        "name": "this machine",
        "task_type": "scan",
        "config": {"scan_type": "fast"},
        "host_id": host["id"],
    }
    scan = program.post("/api/scheduled-tasks/", body | {"cron_expression": "0 2 * * *"})

    blind = program.run_to_end(scan["id"])
    program.patch(f"/api/scheduled-tasks/{detection['id']}", {"is_active": False})
    update = program.run_to_end(daily["id"])
    again = program.run_to_end(detection["id"])
    seeing = program.run_to_end(scan["id"])

    assert (daily["name"], daily["cron_expression"]) == ("Daily Database Update", "0 2 * * *")
    assert blind["status"] == "partial"
    assert "There is no vuls2 database yet" in str(blind["steps"])
    assert (update["status"], [step["name"] for step in update["steps"]]) == ("success", ["vuls2"])
    for run in (again, seeing):
        assert run["status"] == "success", run["error_message"]
        assert {finding["cve_id"] for finding in program.findings(run["id"])} == vuls2.FOUND
    (stamp,) = seeing["result_data"]["detected_by"]
    (vuls2_stamp,) = stamp["databases"]
    assert stamp["profile"] == "current"
    assert vuls2_stamp["made_at"] <= vuls2_stamp["fetched_at"]
    assert len(vuls2_stamp["digest"]) == 16
    assert (again["result_data"]["opened"], seeing["result_data"]["opened"]) == (len(vuls2.FOUND), 0)

    sign_in(page, started.url)
    page.goto(f"{started.url}/databases/")
    expect(page.locator("#database-vuls2")).to_contain_text("Used")
    expect(page.locator("#database-nvd")).to_contain_text("has no effect")
    page.screenshot(path=pictures / "databases-current.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=pictures / "databases-current-phone.png", full_page=True)
    page.goto(f"{started.url}/system/")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.screenshot(path=pictures / "system-current.png", full_page=True)
    page.goto(f"{started.url}/tasks/new?type=db_update&database=nvd")
    expect(page.locator("#database_type-hint")).to_contain_text("Its Vuls does not read NVD")
    page.screenshot(path=pictures / "form-current.png", full_page=True)
