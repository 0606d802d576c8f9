"""The form of tags, and their hosts."""

from collections.abc import Callable

import pytest
from flask import Flask

from tests.conftest import NOW
from vulsweb.hosts import tags
from vulsweb.models import Host

MakeHost = Callable[..., Host]


@pytest.mark.parametrize(
    ("typed", "tag"),
    [
        ("web", "web"),
        (" Web  Tier ", "web-tier"),
        ("ÜBER", "über"),
        ("team:a/".rstrip("/"), "team:a"),
        ("7", "7"),
    ],
)
def test_a_tag_has_one_form(typed: str, tag: str) -> None:
    assert tags.normalize(typed) == tag


@pytest.mark.parametrize("typed", ["", "  ", "-web", "a/b", "a,b", "x" * 33, "a\x00", "\u202eweb", "<b>"])
def test_an_invalid_tag_is_rejected(typed: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        tags.normalize(typed)


def test_tags_are_counted_over_active_hosts(app: Flask, make_host: MakeHost) -> None:
    make_host("a", tags=["web", "db"])
    make_host("b", tags=["web"])
    make_host("gone", tags=["web", "old"], retired_at=NOW)

    assert tags.host_counts() == {"db": 1, "web": 2}
    assert tags.host_counts(["web", "none"]) == {"web": 2}
