"""A real registry on loopback, which Docker asks without TLS, and one that hangs."""

import fcntl
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests

from tests.support.dockerd import cache_folder
from tests.support.needs import lacking
from tests.support.waiting import patience, wait_for

VERSION = "v3.0.0"
MODULE = "github.com/distribution/distribution/v3/cmd/registry"
CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def registry(folder: Path, port: int) -> Iterator[str]:
    """Yield the address of an empty registry that keeps its images in `folder`."""
    program = build_registry()
    config = folder / "config.yml"
    config.write_text(CONFIG.format(folder=folder / "images", port=port))
    with (folder / "log").open("wb") as log:
        # It would send traces to a collector otherwise.
        environ = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log, env=environ)
    address = f"127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(address), seconds=30)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


@contextmanager
def hanging_registry() -> Iterator[str]:
    """Yield the address of a registry that says it is one and then nothing more."""
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/v2/":
                ended.wait()
                return
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815 (the name is http.server's)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def build_registry() -> Path:
    """Return the registry's program, which is built once for this machine, in about a minute."""
    program = cache_folder() / f"registry-{VERSION}"
    program.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with program.with_suffix(".lock").open("w") as building:
        fcntl.flock(building, fcntl.LOCK_EX)
        if not program.exists():
            if shutil.which("go") is None:
                lacking("Go is missing, with which the tests build a registry.")
            bin_folder = program.with_suffix(".bin")
            environ = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(bin_folder)}
            words = ["go", "install", "-trimpath", "-ldflags=-s -w", f"{MODULE}@{VERSION}"]
            subprocess.run(words, check=True, env=environ, capture_output=True, timeout=patience(600))
            (bin_folder / "registry").replace(program)
            bin_folder.rmdir()
    return program


def _answers(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/v2/", timeout=patience(5)).ok
    except requests.ConnectionError:
        return False
