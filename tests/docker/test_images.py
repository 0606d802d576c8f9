"""The local images are to the executor what the real ones are."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.dockerd import Engine
from tests.support.waiting import patience

# The first of them may have to build the images.
pytestmark = pytest.mark.timeout(patience(900))

SCAN = """
ssh-keyscan -T 20 "$TARGET" >/etc/ssh/ssh_known_hosts 2>/dev/null || exit 1
cat >config.toml <<END
[servers.target]
host = "$TARGET"
port = "22"
user = "vuls"
keyPath = "/key"
END
vuls scan -config=config.toml -results-dir=/results >&2 && cat /results/*/target.json
"""


def test_each_tool_is_the_entry_point_of_its_image(
    docker_engine: Engine, tool_images: dict[str, str]
) -> None:
    said = {tool: docker_engine.docker("run", "--rm", name, "help") for tool, name in tool_images.items()}

    assert "report" in said.pop("vuls")
    assert all("fetch" in help_text for help_text in said.values())


def test_vuls_scans_a_target_over_ssh(
    docker_engine: Engine, tool_images: dict[str, str], ssh_target: str, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with target(docker_engine, ssh_target, (tmp_path / "key.pub").read_text().strip()) as address:
        document = docker_engine.docker(
            "run", "--rm", "--interactive", f"--volume={key}:/key:ro", f"--env=TARGET={address}",
            "--entrypoint=sh", tool_images["vuls"], "-c", SCAN,
        )  # fmt: skip

    found = json.loads(document)
    assert (found["family"], found["errors"]) == ("debian", [])
    assert "openssh-server" in found["packages"]


@contextmanager
def target(engine: Engine, image: str, key: str) -> Iterator[str]:
    """Yield the address of a running target that lets in `key`."""
    name = f"vulsweb-tests-{uuid.uuid4().hex[:8]}"
    engine.docker("run", "--detach", f"--name={name}", f"--env=AUTHORIZED_KEY={key}", image)
    try:
        yield engine.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
    finally:
        engine.docker("rm", "--force", "--volumes", name)
