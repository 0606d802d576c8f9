"""Build all images of the tests, in the engine that they would use, and a registry."""

from tests import images
from tests.support.dockerd import engine
from tests.support.registry import build_registry

print(build_registry(), flush=True)
with engine() as found:
    images.build_servers(found)
    images.build_ours(found)
    images.build_mirror(found)
    for name in (
        *images.build_tools(found).values(),
        images.build_ssh_target(found),
        images.build_python(found),
        images.build_newer_vuls(found),
    ):
        print(name, flush=True)
