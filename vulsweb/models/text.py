"""Free text that users write, checked before it is stored."""


def plain_text(value: object, limit: int) -> str:
    """Return the text without outer whitespace; raise ValueError with a sentence."""
    # PostgreSQL stores neither NUL nor half of a surrogate pair. JSON can carry both.
    if not isinstance(value, str) or any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("Use plain text only.")
    if len(value) > limit:
        raise ValueError(f"Use at most {limit} characters; this text has {len(value)}.")
    return value.strip()
