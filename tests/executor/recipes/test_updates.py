"""Database updates through the whole executor, with fake tools."""

from collections.abc import Callable
from pathlib import Path

import pytest

from executor.databases.catalogue import why_ended
from tests.executor.callers import Caller
from tests.executor.fakes import FakeTools
from tests.executor.processes import SLEEP, steps


def test_all_databases_are_fetched_even_if_some_fail(call: Caller, fakes: FakeTools) -> None:
    fakes.fetcher("go-cve-dictionary", 'print("Failed to HTTP GET."); sys.exit(1)')
    fakes.fetcher("gost", 'fill(sys.argv[2] + "_cves", 5)')

    job = call.finished(call.submit_update("all"))

    assert job["status"] == "completed"
    assert steps(job) == {
        **dict.fromkeys(("nvd", "ubuntu", "debian", "redhat", "amazon", "alpine"), "failed"),
        **dict.fromkeys(("gost_ubuntu", "gost_debian", "gost_redhat"), "completed"),
    }
    assert job["steps"][0]["message"] == "Failed to HTTP GET."
    assert "goval-dictionary was not found" in job["steps"][1]["message"]
    assert {name: database["rows"] for name, database in job["databases"].items()} == {
        "gost_ubuntu": 5,
        "gost_debian": 5,
        "gost_redhat": 5,
    }


def test_a_feed_that_has_ended_is_skipped_with_the_reason(call: Caller, fakes: FakeTools) -> None:
    fakes.fetcher("go-cve-dictionary", 'fill("nvds", 5)')
    fakes.fetcher("gost", 'fill(sys.argv[2] + "_cves", 5)')
    fakes.write("versions.json", '{"go-cve-dictionary": "v0.11.0", "gost": "v0.4.4"}')

    job = call.finished(call.submit_update("all"))
    alone = call.finished(call.submit_update("nvd"))

    assert job["status"] == "completed"
    assert steps(job) == {
        **dict.fromkeys(("nvd", "gost_redhat"), "skipped"),
        **dict.fromkeys(("ubuntu", "debian", "redhat", "amazon", "alpine"), "failed"),
        **dict.fromkeys(("gost_ubuntu", "gost_debian"), "completed"),
    }
    assert (alone["status"], alone["error"]) == ("failed", job["steps"][0]["message"])
    assert alone["error"] == (
        "Upstream has ended the feed that go-cve-dictionary v0.11.0 reads nvd from."
        " go-cve-dictionary v0.12.0 and later read another: run `make tools`, or take a newer image."
    )
    assert alone["error"] in call.log(alone["id"])
    assert set(call("GET", "/health")[1]["ended"]) == {"nvd", "gost_redhat"}


@pytest.mark.parametrize(
    ("version", "has_ended"),
    [
        ("v0.11.0", True),
        ("v0.11.99", True),
        ("0.9.2", True),
        ("v0.12.0", False),
        ("v0.12.1", False),
        ("v1.0.0", False),
        ("latest", False),
        ("sha256:" + "0" * 64, False),
        ("", False),
        (None, False),
    ],
)
def test_a_feed_has_ended_only_for_versions_before_the_one_that_reads_another(
    version: str | None, has_ended: bool
) -> None:
    assert bool(why_ended("nvd", version)) is has_ended
    assert why_ended("gost_debian", version) is None


def test_a_fetch_has_its_downloads_in_the_folder_of_its_job(
    call: Caller, fakes: FakeTools, data: Path
) -> None:
    names = '("TMPDIR", "XDG_CACHE_HOME")'
    fakes.fetcher("gost", f'print(*(os.environ[name] for name in {names})); fill("debian_cves", 5)')

    job = call.finished(call.submit_update("gost_debian"))

    folder = data / "jobs" / job["id"] / "work"
    assert f"{folder} {folder}" in call.log(job["id"])


def test_a_database_job_without_any_database_fails(call: Caller, fakes: FakeTools) -> None:
    fakes.fetcher("gost", 'open(path, "wb").write(b"half a fi"); print("fatal: no network"); sys.exit(1)')

    job = call.finished(call.submit_update("gost_debian"))

    assert (job["status"], job["error"], job["databases"]) == ("failed", "fatal: no network", {})


def test_a_failing_fetch_keeps_the_last_good_database_for_reports(
    call: Caller, fakes: FakeTools, data: Path
) -> None:
    fakes.vuls(report='print(pathlib.Path(options["config"]).read_text())\nlook_up()')
    fakes.fetcher("gost", 'fill("debian_cves", 10)')
    call.finished(call.submit_update("gost_debian"))
    fakes.fetcher("gost", 'fill("debian_cves", 2)')

    failed = call.finished(call.submit_update("gost_debian"))
    scan = call.finished(call.submit_scan())

    assert "shrink from 10 to 2" in failed["error"]
    assert scan["databases"]["gost_debian"]["rows"] == 10
    live, log = data / "databases" / "gost.sqlite3", call.log(scan["id"])
    assert f'SQLite3Path = "{live}"' in log
    assert f'SQLite3Path = "{data}/jobs/{scan["id"]}/work/servers/0/scratch/oval.sqlite3"' in log


def test_cancelling_a_fetch_leaves_nothing_behind(
    call: Caller, fakes: FakeTools, tool: Callable[[], int], data: Path
) -> None:
    fakes.fetcher("gost", 'fill("debian_cves", 3)\n' + SLEEP)
    job_id = call.submit_update("gost_debian")
    tool()

    call("DELETE", f"/jobs/{job_id}")
    job = call.finished(job_id)

    assert (job["status"], job["databases"]) == ("cancelled", {})
    assert list((data / "databases").glob("*.sqlite3*")) == []
    assert list((data / "databases" / "staging").iterdir()) == []


def test_updates_do_not_delay_a_scan(call: Caller, fakes: FakeTools, tool: Callable[[], int]) -> None:
    fakes.vuls()
    fakes.fetcher("gost", SLEEP)
    updates = [call.submit_update(name) for name in ("gost_debian", "gost_ubuntu", "gost_redhat")]
    tool()

    scan = call.finished(call.submit_scan())

    assert scan["status"] == "completed"
    assert call.job(updates[0])["status"] == "running"
    assert call.job(updates[2])["status"] == "queued"
