import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import pytest
import requests

from tests.mirror.server import Fault, Mirror, Request, mirror
from tests.support.waiting import patience

FEED = "https://feed.example/data/json"
LARGE = b"0123456789abcdef" * 40_000
DOCUMENTS = {FEED: LARGE, "https://other.example/list": b"other", "http://plain.example/list": b"plain"}


@pytest.fixture
def served() -> Iterator[Mirror]:
    with mirror(DOCUMENTS) as server:
        yield server


@pytest.fixture
def client(served: Mirror) -> Iterator[requests.Session]:
    with requests.Session() as session:
        # The machine's own proxy settings must not decide where a test connects to.
        session.trust_env = False
        session.proxies = {"https": served.proxy_url, "http": served.proxy_url}
        session.verify = str(served.ca_file)
        yield session


def test_a_document_is_served_under_its_hosts_real_name(client: requests.Session, served: Mirror) -> None:
    answer = client.get(FEED, timeout=patience(10))

    assert (answer.status_code, answer.content) == (HTTPStatus.OK, LARGE)
    assert served.requests == [Request("GET", FEED)]


def test_a_document_over_plain_http_is_served_too(client: requests.Session) -> None:
    answer = client.get("http://plain.example/list", timeout=patience(10))

    assert answer.content == b"plain"


def test_a_head_request_learns_the_size_without_the_body(client: requests.Session) -> None:
    answer = client.head(FEED, timeout=patience(10))

    assert answer.headers["Content-Length"] == str(len(LARGE))
    assert answer.content == b""


@pytest.mark.parametrize(
    "url", ["https://feed.example/other", "https://unknown.example/", "http://feed.example/"]
)
def test_whatever_is_not_registered_is_404_and_never_fetched_elsewhere(
    client: requests.Session, url: str
) -> None:
    answer = client.get(url, timeout=patience(10))

    assert answer.status_code == HTTPStatus.NOT_FOUND


def test_one_connection_carries_several_requests(client: requests.Session, served: Mirror) -> None:
    sizes = [len(client.get(FEED, timeout=patience(10)).content) for _ in range(3)]

    assert sizes == [len(LARGE)] * 3
    assert served.connected == ["feed.example"]


def test_many_clients_are_served_at_once(client: requests.Session, served: Mirror) -> None:
    urls = [FEED, "https://other.example/list"] * 10

    with ThreadPoolExecutor(max_workers=8) as pool:
        bodies = list(pool.map(lambda url: client.get(url, timeout=patience(30)).content, urls))

    assert bodies == [DOCUMENTS[url] for url in urls]
    assert len(served.requests) == len(urls)


def test_a_client_without_the_ca_does_not_trust_the_mirror(client: requests.Session, served: Mirror) -> None:
    client.verify = True

    with pytest.raises(requests.exceptions.SSLError):
        client.get(FEED, timeout=patience(10))

    assert served.requests == []


def test_a_server_error_can_be_switched_on_and_off(client: requests.Session, served: Mirror) -> None:
    served.fault = Fault.ERROR
    failed = client.get(FEED, timeout=patience(10))
    served.fault = Fault.NONE
    mended = client.get(FEED, timeout=patience(10))

    assert (failed.status_code, mended.status_code) == (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.OK)


def test_a_connection_can_be_cut_in_the_middle_of_the_body(client: requests.Session, served: Mirror) -> None:
    served.fault = Fault.CUT

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get(FEED, timeout=patience(10))


def test_a_stalled_body_goes_on_when_the_fault_is_taken_back(
    client: requests.Session, served: Mirror
) -> None:
    served.fault = Fault.STALL

    with client.get(FEED, timeout=patience(10), stream=True) as answer:
        first_half = answer.raw.read(len(LARGE) // 2)
        served.fault = Fault.NONE
        second_half = answer.raw.read()

    assert first_half + second_half == LARGE


def test_hosts_can_be_out_of_reach(client: requests.Session, served: Mirror) -> None:
    served.fault = Fault.AWAY

    with pytest.raises(requests.exceptions.ProxyError, match="502"):
        client.get(FEED, timeout=patience(10))


def test_a_closing_mirror_waits_for_no_client(client: requests.Session) -> None:
    before = set(threading.enumerate())

    with mirror(DOCUMENTS) as server:
        server.fault = Fault.STALL
        client.proxies, client.verify = {"https": server.proxy_url}, str(server.ca_file)
        client.get(FEED, timeout=patience(10), stream=True)

    assert set(threading.enumerate()) <= before
