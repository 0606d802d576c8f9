import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.executor.callers import HEADERS, KEY, Caller
from tests.executor.conftest import caller_of
from tests.executor.fakes import FakeTools

UNKNOWN = "f" * 32
SLEEP = "time.sleep(600)"


def scan_of(job_id: str, *servers: str) -> dict[str, Any]:
    return {"job_id": job_id, "servers": list(servers or ("localhost",)), "scan_type": "fast"}


def test_every_call_needs_the_key(start: Callable[[], Flask]) -> None:
    app = start()
    paths = [
        (method, rule.rule.replace("<job_id>", UNKNOWN).replace("<int:number>", "0"))
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if rule.rule != "/health"
    ]

    answers = {
        (method, path, key): app.test_client().open(
            path, method=method, headers={} if key is None else {"X-API-Key": key}
        )
        for method, path in [*paths, ("GET", "/nowhere")]
        for key in (None, "", "wrong", KEY[:-1], KEY + "x", "é")
    }

    assert len(answers) > 40
    assert {answer.status_code for answer in answers.values()} == {401}
    assert {answer.mimetype for answer in answers.values()} == {"application/problem+json"}


def test_a_bare_health_says_ok_and_nothing_more(start: Callable[[], Flask]) -> None:
    answer = start().test_client().get("/health")

    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})


def test_health_with_a_key_describes_the_executor(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls()

    status, answer = call("GET", "/health")

    assert status == 200
    assert answer["engine"] == "local"
    assert set(answer["tools"]) == {"vuls", "gost", "goval-dictionary", "go-cve-dictionary"}
    assert answer["tools"]["gost"] is None
    assert answer["databases"] == {}


def test_health_with_a_wrong_key_is_refused(call: Caller) -> None:
    status, _ = call("GET", "/health", **{"X-API-Key": "wrong"})

    assert status == 401


def test_health_shows_the_profile_and_a_mismatch_with_vuls(
    variables: dict[str, str], start: Callable[[], Flask], fakes: FakeTools
) -> None:
    variables["EXECUTOR_PROFILE"] = "current"
    (fakes.folder / "current").mkdir()
    fakes.write("current/vuls", "#!/bin/sh\n")
    fakes.write("current/versions.json", '{"vuls": "v0.26.0"}')
    call = caller_of(start())

    _, health = call("GET", "/health")

    assert (health["profile"], list(health["tools"])) == ("current", ["vuls"])
    assert "Vuls v0.26.0 does not know its database, vuls2" in health["misfit"]
    assert call("POST", "/database/update", {"job_id": UNKNOWN, "database": "nvd"})[0] == 422


def test_while_a_key_is_replaced_both_are_valid(
    variables: dict[str, str], start: Callable[[], Flask]
) -> None:
    variables["EXECUTOR_API_KEY"] = f"{KEY},{'n' * 32}"
    call = caller_of(start())

    assert call("GET", "/jobs?ids=", **{"X-API-Key": "n" * 32})[0] == 200
    assert call("GET", "/jobs?ids=")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", "/scan", b"{not json", 400, None),
        ("POST", "/scan", b"\xff\xfe", 400, None),
        ("POST", "/scan", b"[" * 100_000, 400, None),
        ("POST", "/scan", b"", 400, None),
        ("POST", "/scan", b'{"a": "' + b"x" * 300_000 + b'"}', 413, None),
        ("POST", "/scan", [1], 422, "body"),
        ("POST", "/scan", {}, 422, "job_id"),
        ("POST", "/scan", scan_of("NOT-HEX"), 422, "job_id"),
        ("POST", "/scan", scan_of(UNKNOWN, "nosuch"), 422, "servers"),
        ("POST", "/scan", {**scan_of(UNKNOWN), "image": "x"}, 422, "image"),
        ("POST", "/database/update", {"job_id": UNKNOWN, "database": "x"}, 422, "database"),
        ("GET", "/jobs", None, 422, "ids"),
        ("GET", "/jobs?ids=" + ",".join([UNKNOWN] * 501), None, 422, "ids"),
        ("GET", f"/jobs/{UNKNOWN}", None, 404, None),
        ("GET", f"/jobs/{UNKNOWN}/logs", None, 404, None),
        ("GET", f"/jobs/{UNKNOWN}/results/0", None, 404, None),
        ("DELETE", f"/jobs/{UNKNOWN}", None, 404, None),
        ("GET", "/nowhere", None, 404, None),
        ("PUT", "/scan", None, 405, None),
    ],
)
def test_a_refused_request_is_answered_with_a_problem_document(
    call: Caller, method: str, path: str, body: Any, status: int, field: str | None
) -> None:
    answered, headers, data = call.send(method, path, body, HEADERS)
    _, problem = call(method, path, body)

    assert (answered, headers["Content-Type"]) == (status, "application/problem+json")
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"].endswith((".", "?"))
    assert problem.get("field") == field
    assert KEY.encode() not in data


@pytest.mark.parametrize(
    "job_id",
    [
        "..",
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e",
        ".pruned",
        "." + "a" * 31,
        "A" * 32,
        "a" * 33,
    ],
)
@pytest.mark.parametrize("rest", ["", "/logs", "/results/0"])
def test_an_invalid_job_id_is_not_found(call: Caller, data: Path, job_id: str, rest: str) -> None:
    (data / "log").write_text("secret")

    assert call("GET", f"/jobs/{job_id}{rest}")[0] == 404


@pytest.mark.parametrize("offset", ["-1", "x", "1.5", "", "9" * 40, "²"])
def test_an_offset_that_is_not_a_number_is_refused(call: Caller, fakes: FakeTools, offset: str) -> None:
    fakes.vuls(scan=SLEEP)
    job_id = call.submit_scan()

    status, problem = call("GET", f"/jobs/{job_id}/logs?offset={offset}")

    assert (status, problem["field"]) == (422, "offset")


def test_an_offset_beyond_the_end_is_refused(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls()
    job = call.finished(call.submit_scan())

    status, problem = call("GET", f"/jobs/{job['id']}/logs?offset={job['log_size'] + 1}")

    assert (status, problem["field"]) == (422, "offset")


def test_the_same_request_again_gives_the_same_job(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls()
    job_id = uuid.uuid4().hex

    first = call("POST", "/scan", scan_of(job_id))
    again = call("POST", "/scan", scan_of(job_id))
    ended = call.finished(job_id)
    long_after = call("POST", "/scan", scan_of(job_id))

    assert (first[0], again[0], long_after[0]) == (202, 200, 200)
    assert first[1]["id"] == again[1]["id"] == job_id
    assert long_after[1] == ended


def test_a_repeated_request_is_answered_even_when_its_server_is_gone(
    call: Caller, fakes: FakeTools, variables: dict[str, str]
) -> None:
    fakes.vuls()
    job_id = call.submit_scan("localhost")
    Path(variables["EXECUTOR_VULS_CONFIG"]).unlink()

    assert call("POST", "/scan", scan_of(job_id))[0] == 200
    status, problem = call("POST", "/scan", scan_of(UNKNOWN))

    assert (status, problem["field"]) == (422, "servers")
    assert "config.toml" in problem["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/scan", {"servers": ["web1"], "scan_type": "fast"}),
        ("/scan", {"servers": ["localhost"], "scan_type": "full"}),
        ("/database/update", {"database": "nvd"}),
    ],
)
def test_the_same_id_for_something_else_is_a_conflict(
    call: Caller, fakes: FakeTools, path: str, body: dict[str, Any]
) -> None:
    fakes.vuls()
    job_id = call.submit_scan("localhost")

    status, problem = call("POST", path, {"job_id": job_id, **body})

    assert (status, problem["title"]) == (409, "Conflict")


def test_identical_requests_at_once_make_one_job(
    call: Caller, fakes: FakeTools, variables: dict[str, str], data: Path
) -> None:
    fakes.vuls(scan='open(os.environ["HOME"] + "/scans", "a").write("x"); leave(*servers)')
    job_id = uuid.uuid4().hex
    gate = threading.Barrier(8)
    statuses: list[int] = []

    def submit() -> None:
        gate.wait()
        statuses.append(call("POST", "/scan", scan_of(job_id))[0])

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job = call.finished(job_id)

    assert sorted(statuses) == [200] * 7 + [202]
    assert job["status"] == "completed"
    assert (Path(variables["HOME"]) / "scans").read_text() == "x"


def test_many_jobs_are_shown_at_once_and_unknown_ones_left_out(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls()
    ids = [call.submit_scan("localhost"), call.submit_scan("web1")]

    _, answer = call("GET", f"/jobs?ids={ids[1]},{UNKNOWN},../x,{ids[0]},{ids[0]}")

    assert [job["id"] for job in answer["jobs"]] == [ids[1], ids[0]]


def test_a_job_has_exactly_the_fields_of_the_contract(call: Caller, fakes: FakeTools) -> None:
    fakes.vuls()

    job = call.finished(call.submit_scan())

    assert set(job) == {
        *("id", "kind", "status", "created_at", "started_at", "ended_at", "steps", "log_size"),
        *("error", "results", "databases", "tests", "position", "group", "interrupted", "profile"),
    }
    assert set(job["steps"][0]) == {
        *("name", "status", "started_at", "ended_at", "message", "done", "total", "unit", "expected")
    }
    assert job["created_at"].endswith("Z")
