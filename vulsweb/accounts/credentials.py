"""What a name and a password have to be like."""

import unicodedata

from zxcvbn import zxcvbn

NAME_LENGTH = 80
MINIMUM_PASSWORD_LENGTH = 12
# Of 0 to 4: "safely unguessable: moderate protection from offline slow-hash scenario" (zxcvbn's README).
LEAST_SCORE = 3
# Its work grows with the length; what comes later only makes a password better.
_SCORED_LENGTH = 72
# These scripts are written together.
_JAPANESE = {"CJK", "HIRAGANA", "KATAKANA"}


class AccessError(ValueError):
    """Invalid data for a user or a token; the message says why."""


def check_name(name: str) -> None:
    """Raise AccessError for a name that could be taken for another."""
    if not name.strip() or not name.isprintable() or len(name) > NAME_LENGTH or name != name.strip():
        raise AccessError(f"A name has 1 to {NAME_LENGTH} printable characters.")
    if unicodedata.normalize("NFKC", name) != name:
        raise AccessError("This name has letters that look like others. Write it with plain letters.")
    scripts = {unicodedata.name(letter, "?").split()[0] for letter in name if letter.isalpha()}
    if len(scripts) > 1 and not scripts <= _JAPANESE:
        found = " and ".join(sorted(script.capitalize() for script in scripts))
        raise AccessError(f"This name mixes {found} letters, so it could look like another name.")


def check_password(password: str, name: str) -> None:
    """Raise AccessError for a password that is short, common or easily guessed."""
    if len(password) < MINIMUM_PASSWORD_LENGTH:
        raise AccessError(f"A password has at least {MINIMUM_PASSWORD_LENGTH} characters.")
    found = zxcvbn(password[:_SCORED_LENGTH], user_inputs=[name, "vuls", "vulsweb", "vuls web"])
    if found["score"] < LEAST_SCORE:
        reason = str(found["feedback"]["warning"]).rstrip(".")
        raise AccessError(
            f"This password is easily guessed{f': {reason[0].lower()}{reason[1:]}' if reason else ''}."
            " Use several words that do not belong together."
        )
