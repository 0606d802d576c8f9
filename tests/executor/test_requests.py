from typing import Any

import pytest

from executor.requests import InvalidError, database_request, scan_request

JOB_ID = "0" * 32
SCAN = {"job_id": JOB_ID, "servers": ["localhost"], "scan_type": "fast"}
UPDATE = {"job_id": JOB_ID, "database": "nvd"}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"job_id": "A" * 32}, "job_id"),
        ({"job_id": "0" * 31}, "job_id"),
        ({"job_id": "0" * 32 + "\n"}, "job_id"),
        ({"job_id": "../" + "0" * 29}, "job_id"),
        ({"job_id": 7}, "job_id"),
        ({"servers": []}, "servers"),
        ({"servers": "localhost"}, "servers"),
        ({"servers": [1]}, "servers"),
        ({"servers": ["a", "a"]}, "servers"),
        ({"servers": ["../a"]}, "servers"),
        ({"servers": [".."]}, "servers"),
        ({"servers": ["a\x00"]}, "servers"),
        ({"servers": ["\ud800"]}, "servers"),
        ({"servers": ["a" * 201]}, "servers"),
        ({"scan_type": "deep"}, "scan_type"),
        ({"scan_type": ["fast"]}, "scan_type"),
        ({"extra": 1}, "extra"),
        ({"group": "run 7"}, "group"),
        ({"group": ""}, "group"),
        ({"group": "0" * 31 + "A"}, "group"),
        ({"group": 7}, "group"),
    ],
)
def test_an_invalid_scan_request_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        scan_request({**SCAN, **change})

    assert refused.value.field == field


@pytest.mark.parametrize("name", ["job_id", "servers", "scan_type"])
def test_a_missing_field_is_named(name: str) -> None:
    body = {key: value for key, value in SCAN.items() if key != name}

    with pytest.raises(InvalidError) as refused:
        scan_request(body)

    assert refused.value.field == name


@pytest.mark.parametrize("database", ["", "oval", "gost_alpine", None, ["nvd"], {"a": 1}])
def test_an_unknown_database_is_refused(database: Any) -> None:
    with pytest.raises(InvalidError) as refused:
        database_request({**UPDATE, "database": database})

    assert refused.value.field == "database"


def test_all_stands_for_the_nine_databases() -> None:
    request = database_request({**UPDATE, "database": "all"})

    assert request.steps == (
        ["nvd", "ubuntu", "debian", "redhat", "amazon", "alpine", "gost_ubuntu", "gost_debian", "gost_redhat"]
    )


def test_all_stands_for_vuls2_alone_under_the_current_profile() -> None:
    assert database_request({**UPDATE, "database": "all"}, "current").steps == ["vuls2"]


@pytest.mark.parametrize(("database", "profile"), [("nvd", "current"), ("vuls2", "classic")])
def test_a_database_of_the_other_profile_is_refused(database: str, profile: str) -> None:
    with pytest.raises(InvalidError, match=f"profile is {profile}, whose Vuls does not read {database}"):
        database_request({**UPDATE, "database": database}, profile)


def test_a_connection_test_has_one_step() -> None:
    request = scan_request({**SCAN, "scan_type": "configtest"})

    assert request.steps == ["configtest"]
