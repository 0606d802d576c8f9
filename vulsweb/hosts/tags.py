"""Host tags: how they are written, and which hosts have them."""

import unicodedata
from collections.abc import Collection

from sqlalchemy import ColumnElement, String, any_, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from vulsweb.extensions import db
from vulsweb.models import Host

TAG_LENGTH = 32


def has_tag(tag: str) -> ColumnElement[bool]:
    """Return the condition that a host is active and has the tag."""
    return Host.retired_at.is_(None) & Host.tags.contains([tag])


def host_counts(tags: Collection[str] | None = None) -> dict[str, int]:
    """Count the active hosts by tag.

    `tags` limits the count to these tags; None counts all of them.
    """
    unnested = select(func.unnest(Host.tags).label("tag")).where(Host.retired_at.is_(None))
    if tags is not None:
        unnested = unnested.where(Host.tags.overlap(list(tags)))
    found = unnested.subquery()
    counted = select(found.c.tag, func.count()).group_by(found.c.tag).order_by(found.c.tag)
    if tags is not None:
        counted = counted.where(found.c.tag == any_(literal(list(tags), ARRAY(String))))
    return {tag: count for tag, count in db.session.execute(counted)}  # noqa: C416 - dict() loses the types


def normalize(text: str) -> str:
    """Return a tag in lower case with hyphens for spaces.

    Raise ValueError if it is not valid; the message is a sentence for users.
    """
    word = "-".join(unicodedata.normalize("NFKC", text).casefold().split())
    if not word:
        raise ValueError("A tag cannot be empty.")
    if len(word) > TAG_LENGTH:
        raise ValueError(f"A tag has at most {TAG_LENGTH} characters; {word[:TAG_LENGTH]!r}... is longer.")
    if not word[0].isalnum() or not all(c.isalnum() or c in "-_.:" for c in word):
        raise ValueError(
            f"{word!r} is not a valid tag. Use letters, digits and - _ . : and begin with a letter or digit."
        )
    return word
