"""The production stack from `make up` to nothing left."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import images
from tests.docker.stack import DEBIAN, ROOT, ComposeStack
from tests.e2e.stack import Program, wait_for
from tests.mirror.documents import debian_tracker
from tests.mirror.expected import expected_findings
from tests.support.waiting import patience
from vulsweb.local import backups

pytestmark = pytest.mark.timeout(patience(900))

SERVICES = ("front", "web", "worker", "beat", "executor", "docker-proxy", "postgres", "redis")
ONE_SHOT = "migrate"


def test_the_first_start_made_a_person_who_can_sign_in(stack: ComposeStack) -> None:
    with requests.Session() as browser:
        page = browser.get(f"{stack.url}/sign-in", timeout=patience(30))
        (token,) = re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        form = {"csrf_token": token, "name": "admin", "password": stack.secret("admin_password")}
        landed = browser.post(f"{stack.url}/sign-in", data=form, timeout=patience(30))

    assert landed.ok
    assert "Sign out" in landed.text


def test_a_database_is_fetched_and_a_host_scanned_in_containers(
    stack: ComposeStack, program: Program, known_target: None
) -> None:
    wait_for(lambda: bool(program.get("/api/hosts")["items"]), seconds=60)
    (host,) = program.get("/api/hosts")["items"]
    update = program.post("/api/scheduled-tasks/", DEBIAN)
    scan = program.post(
        "/api/scheduled-tasks/",
        {
            "name": "the target",
            "task_type": "scan",
            "config": {"scan_type": "fast"},
            "host_id": host["id"],
            "cron_expression": "0 2 * * *",
        },
    )

    fetched = program.run_to_end(update["id"], seconds=240)
    scanned = program.run_to_end(scan["id"], seconds=240)
    (detection,) = program.get("/api/scheduled-tasks/?task_type=detection")["items"]
    again = program.run_to_end(detection["id"], seconds=240)

    assert host["hostname"] == stack.target
    assert (fetched["status"], fetched["error_message"]) == ("success", None)
    assert (scanned["status"], scanned["error_message"]) == ("success", None)
    found = {finding["cve_id"] for finding in program.findings(scanned["id"])}
    assert found == set(expected_findings(debian_tracker(), stack.installed_on_target()))
    assert found
    assert (again["status"], again["error_message"]) == ("success", None)
    said = again["result_data"]
    assert said["severity_counts"] == scanned["result_data"]["severity_counts"]
    assert (said["opened"], said["fixed"], said["host_counts"]["success"]) == (0, 0, 1)


def test_each_process_has_its_log_in_the_folder_that_the_page_reads(stack: ComposeStack) -> None:
    logs = {name: stack.inside("web", f"cat /app/logs/{name}.log") for name in ("web", "worker")}
    of_executor = stack.inside("web", "cat /app/logs/executor/executor.log")
    written = stack.inside("web", "touch /app/logs/executor/other.log || echo refused")

    assert "signed in: admin" in logs["web"]
    assert "run 1: started" in logs["worker"]
    assert ": completed after" in of_executor
    assert written.strip() == "refused"


def test_the_worker_can_ask_a_host_for_its_key(stack: ComposeStack) -> None:
    assert stack.compose("exec", "-T", "worker", "sh", "-c", "command -v ssh-keyscan").strip()


def test_no_tool_container_stays(stack: ComposeStack) -> None:
    listed = (
        "ps",
        "--all",
        "--quiet",
        "--filter=label=org.vulsweb.job",
        f"--filter=network={stack.tools_network}",
    )

    wait_for(lambda: not stack.engine.docker(*listed), seconds=60)


def test_config_toml_is_edited_as_the_documentation_says(
    stack: ComposeStack, program: Program, known_target: None, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "operations" / "install.md").read_text()
    (block,) = (found for found in re.findall(r"```bash\n(.*?)```", page, re.DOTALL) if "EDITOR" in found)
    # In a test there is no terminal.
    script = re.sub(r"(?<![/\w])config\.toml", str(tmp_path / "config.toml"), block).replace(
        "exec web", "exec -T web"
    )
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf \'\\n[servers.by-hand]\\nhost = "192.0.2.9"\\n\' >>"$1"\n')
    editor.chmod(0o755)
    before = stack.inside("web", "cat /data/config/config.toml")

    stack.run("env", f"EDITOR={editor}", "bash", "-euc", script)
    added = {host["name"]: host["hostname"] for host in program.get("/api/hosts")["items"]}
    (tmp_path / "before").write_text(f"{before}\n")
    stack.run(
        "bash", "-euc", f"deploy/compose exec -T web sh -c 'cat >/data/config/config.toml' <{tmp_path}/before"
    )
    stack.compose("exec", "-T", "web", "vulsweb", "hosts", "sync", "--yes")

    assert added["by-hand"] == "192.0.2.9"
    assert "by-hand" not in {host["name"] for host in program.get("/api/hosts?retired=false")["items"]}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_healthy(stack: ComposeStack, service: str) -> None:
    wait_for(lambda: stack.inspect(service)["State"]["Health"]["Status"] == "healthy", seconds=120)


@pytest.mark.parametrize("service", [*SERVICES, ONE_SHOT])
def test_a_container_can_do_no_more_than_it_must(stack: ComposeStack, service: str) -> None:
    described = stack.inspect(service)
    host, logs = described["HostConfig"], described["HostConfig"]["LogConfig"]

    assert described["Config"]["User"] not in ("", "0", "root")
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Privileged"] is False
    assert all(host[limit] for limit in ("Memory", "NanoCpus", "PidsLimit"))
    assert set(logs["Config"]) == {"max-size", "max-file"}
    assert host["RestartPolicy"]["Name"] == ("no" if service == ONE_SHOT else "unless-stopped")


def test_two_workers_share_the_work(stack: ComposeStack) -> None:
    stack.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "worker=2", "worker")

    asking = 'CELERY_BROKER_URL="$(cat $REDIS_URL_FILE)" celery inspect stats --json --timeout 5'

    def have_both_worked() -> bool:
        said = stack.run("deploy/compose", "exec", "-T", "worker", "sh", "-c", asking, check=False).stdout
        workers = json.loads(said) if said.startswith("{") else {}
        return len([name for name, stats in workers.items() if stats["total"]]) == 2

    try:
        wait_for(have_both_worked, seconds=90)
    finally:
        stack.compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "worker=1", "worker")


def test_only_the_proxy_has_dockers_socket_and_only_the_executor_reaches_it(stack: ComposeStack) -> None:
    described = {service: stack.inspect(service) for service in (*SERVICES, ONE_SHOT)}

    def with_network(network: str) -> set[str]:
        name = f"{stack.name}_{network}"
        return {one for one in described if name in described[one]["NetworkSettings"]["Networks"]}

    mounts = {one: [mount["Source"] for mount in described[one]["Mounts"]] for one in described}
    assert {one for one in mounts if str(stack.engine.socket) in mounts[one]} == {"docker-proxy"}
    assert with_network("docker") == {"docker-proxy", "executor"}
    assert with_network("jobs") == {"executor", "web", "worker"}
    assert with_network("outside") == {"front", "web", "worker"}


def test_a_tool_cannot_list_the_folders_of_the_jobs(stack: ComposeStack) -> None:
    words = ("run", "--rm", "--user=65534:65533", f"--volume={stack.name}-jobs:/data/jobs", images.TOOLS_ROOT)

    with pytest.raises(RuntimeError, match="Permission denied"):
        stack.engine.docker(*words, "ls", "/data/jobs")
    with pytest.raises(RuntimeError, match="Permission denied"):
        stack.engine.docker(*words, "touch", "/data/jobs/here")
    with pytest.raises(RuntimeError, match="Operation not permitted"):
        stack.engine.docker(*words, "chmod", "0777", "/data/jobs")


def test_only_the_front_is_published_and_only_on_this_machine(stack: ComposeStack) -> None:
    published = {
        service: ports
        for service in SERVICES
        if (ports := [p for p in stack.inspect(service)["NetworkSettings"]["Ports"].values() if p])
    }

    assert set(published) == {"front"}
    assert {one["HostIp"] for ports in published["front"] for one in ports} == {"127.0.0.1"}


def test_no_secret_is_in_an_environment_or_on_a_command_line(stack: ComposeStack) -> None:
    secrets = [secret.decode().strip() for secret in stack.all_secrets().values()]
    passwords = {found for secret in secrets for found in re.findall(r"[0-9a-f]{64}", secret)}

    for service in (*SERVICES, ONE_SHOT):
        described = json.dumps(stack.inspect(service))
        assert not [password for password in passwords if password in described], service
    assert len(passwords) == 6


def test_the_programs_own_one_database_and_nothing_more(stack: ComposeStack) -> None:
    asked = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'vulsweb'"
    words = ("exec", "-T", "postgres", "psql", "--username=vulsweb", "--tuples-only", "--no-align")

    assert stack.compose(*words, f"--command={asked}", "vulsweb").strip() == "f|f|f"


def test_an_upgrade_keeps_secrets_data_and_a_running_scan_and_leaves_a_backup(
    stack: ComposeStack, program: Program, known_target: None
) -> None:
    before = stack.all_secrets()
    (host,) = program.get("/api/hosts?search=target")["items"]
    scan = {"name": "Through the upgrade", "task_type": "scan", "config": {"scan_type": "fast"}}
    scan |= {"host_id": host["id"], "cron_expression": "0 2 * * *"}
    run = program.post(f"/api/scheduled-tasks/{program.post('/api/scheduled-tasks/', scan)['id']}/run")["id"]
    tasks = program.get("/api/scheduled-tasks/")["total"]
    wait_for(lambda: program.get(f"/api/runs/{run}")["status"] == "running", seconds=60)

    said = stack.run("deploy/upgrade").stdout

    assert stack.url in said
    assert stack.all_secrets() == before
    assert program.get("/api/scheduled-tasks/")["total"] == tasks
    assert stack.inspect(ONE_SHOT)["State"]["ExitCode"] == 0
    assert [path.stat().st_mode & 0o777 for path in stack.backups.iterdir()] == [0o600]
    ended = program.end_of(run, seconds=240)
    assert (ended["status"], ended["error_message"]) == ("success", None)


def test_an_earlier_schema_is_migrated_by_an_upgrade_and_by_the_restore_of_its_backup(
    stack: ComposeStack, program: Program
) -> None:
    in_migrate = ("deploy/compose", "run", "--rm", "--no-deps", "-T", "migrate")
    in_database = (*in_migrate, "python3", "-m", "flask", "--app", "wsgi", "db")

    def stored() -> list[list[dict[str, Any]]]:
        # The earlier schema does not know whose a severity is.
        lists = (program.get(path)["items"] for path in ("/api/scheduled-tasks/", "/api/findings"))
        # It does not know tasks that detect again either.
        kept = [[each for each in items if each.get("task_type") != "detection"] for items in lists]
        return [[{**each, "severity_source": ""} for each in items] for items in kept]

    tasks, findings = stored()
    stack.compose("stop", "web", "worker", "beat")
    stack.run(*in_database, "downgrade", "0008")

    stack.run("deploy/upgrade")
    upgraded = stack.run(*in_database, "current").stdout
    kept = stored()
    newest = max(stack.backups.iterdir(), key=lambda backup: backup.stat().st_mtime)
    stack.run("deploy/restore", str(newest), "--replace")
    restored = stack.run(*in_database, "current").stdout

    assert findings
    assert "(head)" in upgraded
    assert "(head)" in restored
    assert kept == [tasks, findings]
    assert stored() == kept


def test_the_executors_key_is_replaced_while_everything_runs(stack: ComposeStack, program: Program) -> None:
    ask = (
        "import sys, urllib.request as u;"
        "u.urlopen(u.Request('http://executor:8080/jobs?ids=', headers={'X-API-Key': sys.argv[1]}))"
    )

    def is_good(key: str) -> bool:
        words = ("deploy/compose", "exec", "-T", "web", "python3", "-c", ask, key)
        return stack.run(*words, check=False).returncode == 0

    old = stack.secret("executor_api_key")
    was_good = is_good(old)
    stack.run("deploy/rotate-executor-key")

    assert was_good
    assert (is_good(old), is_good(stack.secret("executor_api_key"))) == (False, True)
    (executor,) = (part for part in program.get("/api/system")["parts"] if part["name"] == "executor")
    assert executor["state"] == "ok"


@pytest.fixture(scope="module")
def backup(stack: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backup") / "backup.tar"
    stack.run("deploy/backup", str(file))
    return file


def test_a_backup_is_read_by_the_stack_on_one_machine_too(backup: Path, open_folder: Path) -> None:
    data = open_folder / "from-compose"

    backups.restore({"VULSWEB_DATA_DIR": str(data)}, backup, replace=False)

    assert "[servers." in (data / "config" / "config.toml").read_text()
    assert (data / "config" / "ssh" / "keys" / "target").stat().st_mode & 0o777 == 0o600


def test_a_damaged_backup_changes_nothing(
    stack: ComposeStack, program: Program, backup: Path, tmp_path: Path
) -> None:
    damaged = bytearray(backup.read_bytes())
    damaged[damaged.index(b"PGDMP") + 1000] ^= 1
    (tmp_path / "damaged.tar").write_bytes(damaged)
    tasks = program.get("/api/scheduled-tasks/")["total"]

    refused = stack.run("deploy/restore", str(tmp_path / "damaged.tar"), "--replace", check=False)

    assert refused.returncode != 0
    assert program.get("/api/scheduled-tasks/")["total"] == tasks


def test_a_backup_is_not_put_over_what_is_there_unasked(stack: ComposeStack, backup: Path) -> None:
    refused = stack.run("deploy/restore", str(backup), check=False)

    assert refused.returncode == 1
    assert "--replace" in refused.stderr


def test_a_backup_takes_the_place_of_what_is_there_when_asked_to(
    stack: ComposeStack, program: Program, backup: Path
) -> None:
    tasks = program.get("/api/scheduled-tasks/")["total"]
    program.post("/api/scheduled-tasks/", DEBIAN | {"name": "later"})
    stack.compose("exec", "-T", "web", "sh", "-c", "rm /data/ssh/keys/target; echo later >/data/config/later")

    stack.run("deploy/restore", str(backup), "--replace")

    assert program.get("/api/scheduled-tasks/")["total"] == tasks
    listed = stack.compose(
        "exec", "-T", "web", "sh", "-c", "ls /data/config; stat -c %a /data/ssh/keys/target"
    )
    assert listed.split() == ["ca.pem", "config.toml", "600"]


def test_the_images_to_carry_are_those_of_the_stack_and_of_the_tools(
    stack: ComposeStack, tool_images: dict[str, str]
) -> None:
    ours = {"vulsweb/vulsweb:local", "vulsweb/executor:local"}
    servers = {images.POSTGRES, images.REDIS, images.NGINX}

    assert set(stack.run("deploy/images", "list").stdout.split()) == ours | servers | set(
        tool_images.values()
    )
