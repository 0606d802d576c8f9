"""How much of a request is missing: never too much, and nothing of a whole one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vulsweb.api.whole_requests import expects_continue, missing_bytes

HEAD = b"POST /x HTTP/1.1\r\nHost: v\r\n"
BODIES = st.binary(max_size=40)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a whole request: without a body, with a length, or in chunks."""
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    if kind == "none":
        return HEAD + b"\r\n"
    if kind == "length":
        body = draw(BODIES)
        name = draw(st.sampled_from([b"Content-Length:", b"content-length: ", b"CONTENT-LENGTH:\t"]))
        return HEAD + name + str(len(body)).encode() + b"\r\n\r\n" + body
    chunks = draw(st.lists(BODIES.filter(bool), max_size=4))
    extension = draw(st.sampled_from([b"", b";a=b"]))
    trailer = draw(st.sampled_from([b"", b"X: y\r\n"]))
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    return HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n" + trailer + b"\r\n"


@settings(max_examples=200, deadline=None)
@given(request=requests(), data=st.data())
def test_of_a_part_something_is_missing_and_never_more_than_the_rest(
    request: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(request) - 1))

    missing = missing_bytes(request[:cut])

    assert 0 < missing <= len(request) - cut
    assert missing_bytes(request) == 0
    assert missing_bytes(request + b"GET / HT") == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_odd_bytes_break_nothing(odd: bytes) -> None:
    for beginning in (odd, HEAD + odd, HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + odd):
        assert missing_bytes(beginning) >= 0
        assert expects_continue(beginning) in (True, False)


@pytest.mark.parametrize(
    ("head", "expects"),
    [
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nEXPECT:100-Continue\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nX: expect: 100-continue\r\n\r\n", False),
        (b"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n\r\nexpect: 100-continue", False),
    ],
)
def test_a_client_that_waits_is_known_by_its_headers(head: bytes, expects: bool) -> None:
    assert expects_continue(head) is expects
