"""An executor on a machine of its own, beside the production stack."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker.stack import ROOT, ComposeStack, Zone
from tests.e2e.stack import Program, wait_for
from tests.mirror.documents import debian_tracker
from tests.mirror.expected import expected_findings
from tests.support.waiting import patience

pytestmark = pytest.mark.timeout(patience(600))

NIGHTLY = {"cron_expression": "0 2 * * *"}
DEBIAN = NIGHTLY | {"task_type": "db_update", "config": {"database_type": "gost_debian"}}
SCAN = NIGHTLY | {"task_type": "scan", "config": {"scan_type": "fast"}}


@pytest.fixture(scope="module")
def zone(
    stack: ComposeStack, program: Program, known_target: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Zone]:
    """It answers and has what it scans by. `inner` is a host there; all hosts have a tag in common."""
    made = Zone(stack, tmp_path_factory.mktemp("zone"))
    try:
        made.begin()
        made.add_target(program, "inner")
        wait_for(lambda: len(hosts(program)) == 2, seconds=60)
        for name, host in hosts(program).items():
            tags = ["both", "dmz"] if name == "inner" else ["both"]
            program.patch(f"/api/hosts/{host['id']}", {"tags": tags})
        made.receive(carried(stack))
        yield made
    finally:
        made.end()


def hosts(program: Program) -> dict[str, Any]:
    return {host["name"]: host for host in program.get("/api/hosts?retired=false")["items"]}


def carried(stack: ComposeStack) -> bytes:
    """Return what deploy/carry writes, which is no text."""
    command = [ROOT / "deploy" / "carry"]
    return subprocess.run(command, env=stack.environ, check=True, capture_output=True).stdout


def files(zone: Zone) -> set[str]:
    """Return the files that its executor scans by: path, mode, and when each was written."""
    find = "find /data/config /data/ssh -name .new -prune -o -type f -printf '%P %m %T@\\n'"
    return set(zone.inside("executor", find).splitlines())


def test_a_host_with_its_tag_is_scanned_from_the_zone(
    stack: ComposeStack, program: Program, zone: Zone
) -> None:
    update = program.post("/api/scheduled-tasks/", DEBIAN | {"name": "Debian in all zones"})
    inner = hosts(program)["inner"]["id"]
    scan = program.post("/api/scheduled-tasks/", SCAN | {"name": "inner", "host_id": inner})

    fetched = program.run_to_end(update["id"], seconds=240)
    scanned = program.run_to_end(scan["id"], seconds=240)

    assert (fetched["status"], fetched["error_message"]) == ("success", None)
    assert {step["executor"] for step in fetched["steps"]} == {"main", "dmz"}
    assert (scanned["status"], scanned["error_message"]) == ("success", None)
    assert {step["executor"] for step in scanned["steps"]} == {"dmz"}
    found = {finding["cve_id"] for finding in program.findings(scanned["id"])}
    assert found == set(expected_findings(debian_tracker(), zone.installed_on_target()))


def test_what_is_cut_short_on_its_way_changes_nothing(stack: ComposeStack, zone: Zone) -> None:
    whole, before = carried(stack), files(zone)

    refused = [zone.receive(piece, check=False).returncode for piece in (b"", whole[: len(whole) // 2])]

    assert all(refused)
    assert files(zone) == before


def test_a_key_that_is_gone_goes_from_the_zone_too(stack: ComposeStack, zone: Zone) -> None:
    def keys() -> set[str]:
        return {" ".join(file.split()[:2]) for file in files(zone) if file.startswith("keys/")}

    before = keys()
    stack.inside("web", "umask 077; echo key >/data/ssh/keys/unused")
    zone.receive(carried(stack))
    came = keys() - before
    stack.inside("web", "rm /data/ssh/keys/unused")

    zone.receive(carried(stack))

    assert came == {"keys/unused 600"}
    assert keys() == before


def test_its_machine_shows_one_port_and_that_by_tls(stack: ComposeStack, zone: Zone) -> None:
    running = zone.compose("ps", "--services", "--filter", "status=running").split()
    described = {one: zone.inspect(one) for one in ("executor", "docker-proxy")}
    (published,) = [place for place in described["executor"]["NetworkSettings"]["Ports"].values() if place]
    ask = "import urllib.request as u; u.urlopen('{}://{}:{}/health')"

    assert set(running) == set(described)
    assert published == [{"HostIp": zone.address, "HostPort": str(zone.port)}]
    assert not any(described["docker-proxy"]["NetworkSettings"]["Ports"].values())
    assert all(one["HostConfig"]["ReadonlyRootfs"] for one in described.values())
    for scheme, message in (("http", "RemoteDisconnected"), ("https", "CERTIFICATE_VERIFY_FAILED")):
        with pytest.raises(RuntimeError, match=message):
            stack.inside("worker", f'python3 -c "{ask.format(scheme, zone.address, zone.port)}"')


def test_while_it_is_down_the_others_do_their_part(program: Program, zone: Zone) -> None:
    scan = program.post(
        "/api/scheduled-tasks/", {**SCAN, "name": "both", "host_tag": "both", "absence": "wait"}
    )
    zone.compose("stop", "executor")

    run = program.post(f"/api/scheduled-tasks/{scan['id']}/run")
    system = {part["name"]: part["state"] for part in program.get("/api/system")["parts"]}

    def outcomes() -> dict[str, str | None]:
        items = program.get(f"/api/runs/{run['id']}/hosts")["items"]
        return {host["name"]: host["outcome"] for host in items}

    wait_for(lambda: outcomes().get("target") is not None, seconds=120)
    assert (system["executor"], system["executor-dmz"]) == ("ok", "failed")
    assert outcomes() == {"target": "success", "inner": None}
    assert program.get(f"/api/runs/{run['id']}")["status"] == "running"
