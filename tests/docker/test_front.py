"""The front of the production stack: slow and silent connections stop nobody else."""

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests
import trustme

from tests.docker.stack import ComposeStack
from tests.images import NGINX
from tests.support.waiting import patience, wait_for
from vulsweb.local.valkey import free_port

# The first of them may have to build the images.
pytestmark = pytest.mark.timeout(patience(900))

DEPLOY = Path(__file__).parents[2] / "deploy"
CONNECTIONS = 200
BEGINNINGS = {
    "silent": b"",
    "half a line": b"GET / HT",
    "half the headers": b"GET /sign-in HTTP/1.1\r\nHost: vuls\r\nX-Slow: ",
    "half a body": b"POST /sign-in HTTP/1.1\r\nHost: vuls\r\nContent-Length: 1000\r\n\r\nname=",
    "half a chunk": b"POST /sign-in HTTP/1.1\r\nHost: vuls\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nname=",
}


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)
def test_pages_answer_beside_two_hundred_slow_connections(stack: ComposeStack, beginning: bytes) -> None:
    address = ("127.0.0.1", int(stack.environ["VULSWEB_PORT"]))
    with ExitStack() as opened:
        for _ in range(CONNECTIONS):
            slow = opened.enter_context(closing(socket.create_connection(address, timeout=patience(10))))
            slow.sendall(beginning)

        # Each of them would hold one of the web's eight threads.
        answers = [requests.get(f"{stack.url}/sign-in", timeout=patience(10)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3


def test_a_reader_that_takes_nothing_holds_no_thread_of_the_web(stack: ComposeStack) -> None:
    address = ("127.0.0.1", int(stack.environ["VULSWEB_PORT"]))
    request = b"GET /static/vendor/swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: vuls\r\n\r\n"
    with ExitStack() as opened:
        for _ in range(40):
            slow = opened.enter_context(closing(socket.socket()))
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(address)
            slow.sendall(request)

        answer = requests.get(f"{stack.url}/sign-in", timeout=patience(10))

    assert answer.status_code == 200


def test_the_web_knows_who_asks_and_believes_no_other_word_of_it(stack: ComposeStack) -> None:
    browser = requests.Session()
    browser.headers["X-Forwarded-For"] = "203.0.113.9"
    page = browser.get(f"{stack.url}/sign-in", timeout=patience(30)).text
    (token,) = set(re.findall(r'name="csrf_token"\s+value="([^"]+)"', page))
    form = {"name": "front-test", "password": "not the password", "csrf_token": token}
    browser.post(f"{stack.url}/sign-in", data=form, timeout=patience(30))

    def lines() -> list[str]:
        return [line for line in stack.compose("logs", "web").splitlines() if "front-test" in line]

    wait_for(lines, seconds=30)
    assert "sign-in refused: front-test, from " in lines()[0]
    assert "203.0.113.9" not in lines()[0]
    (front,) = {
        network["IPAddress"] for network in stack.inspect("front")["NetworkSettings"]["Networks"].values()
    }
    assert front not in lines()[0]


def test_while_the_web_is_away_a_sentence_says_so(stack: ComposeStack) -> None:
    stack.compose("stop", "web")
    try:
        answer = requests.get(f"{stack.url}/sign-in", timeout=patience(30))
    finally:
        stack.compose("start", "web")
        stack.wait_for_healthy("web")

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.text == "Vuls Web is starting or being updated. Try again in a moment.\n"
    wait_for(lambda: requests.get(f"{stack.url}/sign-in", timeout=patience(30)).ok, seconds=60)


@pytest.fixture
def tls(stack: ComposeStack, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Another front of the stack, with a certificate: its address, and whom to trust."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "certificate.pem").write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(tmp_path / "private_key.pem")
    for path in (tmp_path, *tmp_path.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    name, port = f"{stack.name}-tls", free_port()
    mounts = {
        DEPLOY / "front.conf": "/etc/nginx/front.conf",
        DEPLOY / "front-listen-tls.conf": "/etc/nginx/front-listen.conf",
        tmp_path / "certificate.pem": "/run/secrets/certificate",
        tmp_path / "private_key.pem": "/run/secrets/private_key",
    }
    stack.engine.docker(
        *("run", "--detach", f"--name={name}", f"--network={stack.name}_outside", "--user=101:101"),
        *("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", f"--publish=127.0.0.1:{port}:8080"),
        *(f"--volume={path}:{place}:ro" for path, place in mounts.items()),
        *("--entrypoint=nginx", NGINX, "-c", "/etc/nginx/front.conf"),
    )
    yield f"https://127.0.0.1:{port}", tmp_path / "ca.pem"
    stack.engine.docker("rm", "--force", name)


def test_with_a_certificate_it_speaks_tls_and_sends_others_there(tls: tuple[str, Path]) -> None:
    address, authority = tls

    def answers() -> bool:
        try:
            return requests.get(f"{address}/healthz", verify=str(authority), timeout=patience(10)).ok
        except requests.ConnectionError:
            return False

    wait_for(answers, seconds=30)
    plain = requests.get(
        address.replace("https", "http") + "/runs/?page=2", allow_redirects=False, timeout=patience(10)
    )

    assert (plain.status_code, plain.headers["Location"]) == (301, f"{address}/runs/?page=2")


def test_compose_reads_the_overlay_for_tls(stack: ComposeStack) -> None:
    environ = {**stack.environ, "COMPOSE_FILE": "docker-compose.yml:docker-compose.tls.yml"}
    words = ("docker-compose", "config")

    said = subprocess.run(
        words, cwd=DEPLOY.parent, env=environ, capture_output=True, text=True, check=True
    ).stdout

    assert said.count("/etc/nginx/front-listen.conf") == 1
    assert 'VULSWEB_HTTPS: "yes"' in said
