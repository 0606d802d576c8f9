"""Images carried to a machine without registries: saved, removed, and there again."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import images
from tests.support.dockerd import Engine
from tests.support.waiting import patience

# The first of them may have to build the images.
pytestmark = pytest.mark.timeout(patience(900))

ROOT = Path(__file__).parents[2]
TOOLS = ("VULS", "GOST", "GO_CVE_DICTIONARY", "GOVAL_DICTIONARY")
SERVERS = ("POSTGRES", "REDIS", "NGINX")


class Carrying:
    """The stack's settings, each image of which is a small stand-in but the executor's, which is asked."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.name = f"vulsweb-{uuid.uuid4().hex[:8]}"
        self.file = folder / "images.tar"
        servers = {f"{server}_IMAGE": f"{self.name}/{server.lower()}:1" for server in SERVERS}
        tools = {f"EXECUTOR_{tool}_IMAGE": f"{self.name}/{tool.lower()}:1" for tool in TOOLS}
        self.environ = {
            **engine.environ,
            **servers,
            **tools,
            "COMPOSE_PROJECT_NAME": self.name,
            "VULSWEB_STACK": self.name,
            "VULSWEB_EXECUTOR_CONTAINER": f"{self.name}-executor",
            "VULSWEB_SECRETS": str(folder / "secrets"),
            "VULSWEB_VERSION": self.name,
            "VULSWEB_BUILD": "no",
        }
        self.images = {*servers.values(), *tools.values()}
        self.images |= {f"vulsweb/{ours}:{self.name}" for ours in ("vulsweb", "executor")}
        for image in self.images:
            self._make(image, folder)

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the administrator's."""
        environ = {**os.environ, **self.environ, **settings}
        return subprocess.run(
            words, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=patience(300)
        )

    def ids(self) -> dict[str, str]:
        """Return the ids of the images that are there."""
        return {image: found for image in self.images if (found := self._id(image))}

    def end(self) -> None:
        """Remove all that was made for it."""
        self.run("deploy/compose", "down", "--volumes", DOCKER_GID="0")
        if present := self.ids():
            self.engine.docker("rmi", "--force", *present)

    def _make(self, image: str, folder: Path) -> None:
        # Of an id of its own, so that removing it takes more than its name.
        base = "vulsweb/executor:local" if image.startswith("vulsweb/executor") else "scratch"
        text = f"FROM {base}\nCOPY Dockerfile /carried-{self.name}\nLABEL name={image}\n"
        context = folder / image.replace("/", "-").replace(":", "-")
        context.mkdir()
        (context / "Dockerfile").write_text(text)
        self.engine.docker("build", f"--tag={image}", str(context))

    def _id(self, image: str) -> str:
        return self.engine.docker("images", "--no-trunc", "--quiet", image)


@pytest.fixture
def carrying(docker_engine: Engine, tmp_path: Path) -> Iterator[Carrying]:
    images.build_ours(docker_engine)
    made = Carrying(docker_engine, tmp_path)
    yield made
    made.end()


def test_images_are_carried_as_they_are(carrying: Carrying) -> None:
    before = carrying.ids()

    saved = carrying.run("make", "images-export", f"FILE={carrying.file}")
    carrying.engine.docker("rmi", "--force", *before)
    between = carrying.ids()
    loaded = carrying.run(sys.executable, "-m", "vulsweb", "images", "import", str(carrying.file))

    assert (saved.returncode, loaded.returncode) == (0, 0), saved.stderr + loaded.stderr
    assert set(before) == carrying.images
    assert between == {}
    assert carrying.ids() == before


def test_images_by_digest_are_refused_since_docker_would_forget_their_names(carrying: Carrying) -> None:
    pinned = f"{carrying.name}/vuls@sha256:{'0' * 64}"

    refused = carrying.run("deploy/images", "export", str(carrying.file), EXECUTOR_VULS_IMAGE=pinned)

    assert refused.returncode == 1
    assert pinned in refused.stderr
    assert not carrying.file.exists()


def test_a_file_that_is_damaged_is_refused(carrying: Carrying) -> None:
    carrying.run("deploy/images", "export", str(carrying.file))
    content = bytearray(carrying.file.read_bytes())
    content[content.index(f"carried-{carrying.name}".encode())] ^= 1
    carrying.file.write_bytes(content)
    carrying.engine.docker("rmi", "--force", *carrying.ids())

    refused = carrying.run("deploy/images", "import", str(carrying.file))

    assert refused.returncode != 0
    assert "images.tar: FAILED" in refused.stdout + refused.stderr
    assert carrying.ids() == {}
