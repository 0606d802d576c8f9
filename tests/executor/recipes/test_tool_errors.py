import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.recipes.tool_errors import MAX_LENGTH, last_error

STACK = (
    r":\n    github.com/future-architect/vuls/scanner.(*debian).checkDeps\n        /go/scanner/debian.go:219"
)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            'time="x" level=error msg="Error on a, err: [debian-goodies is not installed' + STACK + ']"\n'
            'time="x" level=info msg="Checking sudo settings..." \n'
            'time="x" level=error msg="Failed to configtest: No scannable servers' + STACK + '"',
            "Error on a: debian-goodies is not installed",
        ),
        (
            'time="x" level=error msg="(1/1) Failed: web1, err: [Failed to ssh-keyscan. cmd: ssh-keyscan, err'
            + STACK
            + r'\n  - exit status 1]"',
            "(1/1) Failed: web1: Failed to ssh-keyscan. cmd: ssh-keyscan, err: exit status 1",
        ),
        ('time="x" level=error msg="nosuch is not in config" ', "nosuch is not in config"),
        (
            "Failed to fetch. err: HTTP error. url: https://a/json, err: %!w([]error=[0xc0003959b0])\n",
            "Failed to fetch. err: HTTP error. url: https://a/json",
        ),
        (
            'time="x" level=error msg="Failed to detect Pkg CVE'
            + STACK
            + r"\n  - Failed to detect CVE with Vuls2"
            + STACK
            + r"\n  - Failed to get new db connection. err: Failed to fetch vuls2 db. err: no such host"
            + '"',
            "Failed to fetch vuls2 db. err: no such host",
        ),
        (" 10 / 300 [=>__] 3%\r 300 / 300 [====] 100%\n", "300 / 300 [====] 100%"),
        ("\x1b[31mFailed\x1b[0m to \x1b]0;title\x07open \x00it\n", "Failed to open it"),
        ("\n \n", None),
    ],
)
def test_the_last_error_that_names_a_cause_becomes_the_sentence(output: str, sentence: str | None) -> None:
    assert last_error(output.encode()) == sentence


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_give_one_printable_line_of_bounded_length(output: bytes) -> None:
    sentence = last_error(output) or ""

    assert len(sentence) <= MAX_LENGTH
    assert not any(ord(character) < 32 or character == "\x7f" for character in sentence)


@pytest.mark.parametrize("piece", ["/a.", "%!w(", "\x1b]", 'level=error msg="\\', "level=error ", ": [err"])
def test_a_hostile_endless_line_is_read_quickly(piece: str) -> None:
    began = time.monotonic()

    last_error(("Failed " + piece * 65536)[:65536].encode())

    assert time.monotonic() - began < 20  # with a step for each pair of its letters it would be minutes
