"""Local images under the names of the real ones, for machines that reach no registry.

`python -m tests.images` builds them all. Their root is a small Debian, from wherever this machine's apt
gets its packages; Docker's own layers see to it that only the first build takes minutes.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests import needs
from tests.dockerd import Engine

HERE = Path(__file__).parent
SUITE = "bookworm"
ROOT = f"vulsweb-tests/debian:{SUITE}"
TOOLS_ROOT = "vulsweb-tests/tools"
TARGET = "vulsweb-tests/ssh-target"
TOOLS = ("vuls", "go-cve-dictionary", "goval-dictionary", "gost")
# What was put into a root; another line here builds it anew.
RECIPE = "1"


def build_tools(engine: Engine) -> dict[str, str]:
    """Build an image of each of the scanner's tools; return their names by tool."""
    return {tool: _tool_image(engine, tool) for tool in TOOLS}


def build_ssh_target(engine: Engine) -> str:
    """Build the image of a host to scan: sshd, and an account `vuls` that may use sudo.

    It lets in the key that is mounted at /etc/ssh/authorized_keys/vuls, or stands in AUTHORIZED_KEY.
    """
    return build(engine, TARGET, "ssh-target")


def build(engine: Engine, name: str, recipe: str, **arguments: str) -> str:
    """Build the image that `tests/images/RECIPE/Dockerfile` describes, on the Debian root."""
    debian_root(engine)
    build_from(engine, name, HERE / recipe, ROOT=ROOT, **arguments)
    return name


def build_from(engine: Engine, name: str, folder: Path, **arguments: str) -> None:
    """Build an image; the build reaches the network as this machine does."""
    words = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    engine.docker("build", "--network=host", f"--tag={name}", *words, str(folder), seconds=900)


def is_there(engine: Engine, name: str) -> bool:
    """Say whether the engine has an image of this name."""
    return bool(engine.docker("images", "--quiet", name))


def debian_root(engine: Engine) -> str:
    """Import a minimal Debian that gets packages and certificates the way this machine does."""
    if is_there(engine, ROOT):
        made = engine.docker("image", "inspect", "--format", '{{index .Config.Labels "recipe"}}', ROOT)
        if made == RECIPE:
            return ROOT
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        needs.lacking("The test images are built by root with debootstrap: apt-get install debootstrap.")
    with tempfile.TemporaryDirectory(prefix="vulsweb-root-") as name:
        root = Path(name, "root")
        _bootstrap(root)
        _pack(engine, root)
    return ROOT


def _bootstrap(root: Path) -> None:
    sources = _apt_sources()
    (mirror,) = {uri for uri, codename, _ in sources if codename == SUITE}
    words = ["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(root), mirror]
    ended = subprocess.run(words, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"debootstrap failed: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
    lines = [f"deb {uri} {codename} {component}\n" for uri, codename, component in sources]
    (root / "etc/apt/sources.list").write_text("".join(lines))
    (root / "etc/apt/apt.conf.d/90tests").write_text(_apt_settings())
    # Whoever stands between this machine and the registries signs for them.
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    shutil.copy(certificates, root / "etc/ssl/certs/ca-certificates.crt")
    for left in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
        shutil.rmtree(root / left)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True)


def _pack(engine: Engine, root: Path) -> None:
    words = ["tar", "--create", "--numeric-owner", "--exclude=./dev/*", f"--directory={root}", "."]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as tar:
        engine.docker("import", f"--change=LABEL recipe={RECIPE}", "-", ROOT, stdin=tar.stdout)
    if tar.returncode:
        raise RuntimeError("The Debian root could not be packed.")


def _apt_sources() -> list[tuple[str, str, str]]:
    """Return address, suite and component of each of Debian's own sources that this machine has."""
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]
    filters = ["Created-By: Packages", "Origin: Debian", f"Architecture: {_architecture()}"]
    said = subprocess.run([*words, *filters], check=True, capture_output=True, text=True).stdout
    found = [tuple(line.split()) for line in said.splitlines()]
    sources = [(uri, suite, part) for uri, suite, part in found if suite.split("-")[0] == SUITE]
    if SUITE not in {suite for _, suite, _ in sources}:
        needs.lacking(f"apt knows no packages of Debian {SUITE}, of which the test images are made.")
    return sources


def _architecture() -> str:
    words = ["dpkg", "--print-architecture"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def _apt_settings() -> str:
    said = subprocess.run(["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True)
    kept = ("Acquire::http", "Acquire::https", "Acquire::Check", "Acquire::Retries")
    lines = [line for line in said.stdout.splitlines() if line.startswith(kept)]
    return "".join(f"{line}\n" for line in lines)


def _tool_image(engine: Engine, tool: str) -> str:
    path = needs.tool(tool)
    version = json.loads((path.parent / "versions.json").read_text())[tool]
    name = f"vuls/{tool}:{version}"
    # On a machine with registries this may be the real one, which no test may replace.
    if is_there(engine, name) and not _is_local(engine, name):
        return name
    build(engine, TOOLS_ROOT, "tools")
    with tempfile.TemporaryDirectory(prefix="vulsweb-image-") as context:
        shutil.copy2(path, Path(context, "tool"))
        shutil.copy(HERE / "tool" / "Dockerfile", context)
        build_from(engine, name, Path(context), TOOL=tool)
    return name


def _is_local(engine: Engine, name: str) -> bool:
    words = ["image", "inspect", "--format", '{{index .Config.Labels "org.vulsweb.tests"}}', name]
    return engine.docker(*words) == "yes"


@pytest.fixture(scope="session")
def tool_images(docker_engine: Engine) -> dict[str, str]:
    """The names of the tools' images by tool."""
    return build_tools(docker_engine)


@pytest.fixture(scope="session")
def ssh_target(docker_engine: Engine) -> str:
    """The name of the image of a host to scan."""
    return build_ssh_target(docker_engine)
