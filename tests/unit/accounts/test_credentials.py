"""Names and passwords that are refused."""

import pytest

from vulsweb.accounts import credentials
from vulsweb.accounts.credentials import AccessError


@pytest.mark.parametrize(
    "name", ["admin", "Jörg", "anna.müller@example.org", "Иван Петров", "山田はな", "o'neill", "x1"]
)
def test_ordinary_names_are_taken(name: str) -> None:
    credentials.check_name(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "1 to 80"),
        (" admin", "1 to 80"),
        ("a" * 81, "1 to 80"),
        ("ad\u200bmin", "1 to 80"),
        ("ad\nmin", "1 to 80"),
        ("\u0410dmin", "mixes Cyrillic and Latin"),  # its first letter is Cyrillic
        ("\u0391dmin", "mixes Greek and Latin"),
        ("\uff41dmin", "look like others"),  # fullwidth
        ("\U0001d41admin", "look like others"),  # mathematical
        ("o\ufb03ce", "look like others"),  # a ligature
    ],
)
def test_a_name_that_could_be_taken_for_another_is_refused(name: str, says: str) -> None:
    with pytest.raises(AccessError, match=says):
        credentials.check_name(name)


@pytest.mark.parametrize(
    "password", ["correct horse battery", "x7Gh2kQ9mLp4", "ein Satz mit sieben wirklich einfachen Wörtern"]
)
def test_passwords_that_are_hard_to_guess_are_taken(password: str) -> None:
    credentials.check_password(password, "admin")


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "password12345",
        "Passw0rd!2026",
        "qwertyuiop123",
        "letmeinletmein",
        "aaaaaaaaaaaa",
        "123456789012",
        "iloveyou1234",
        "vulswebvulsweb",
        "margarethe12",  # with the name of the user
    ],
)
def test_passwords_that_are_tried_first_are_refused(password: str) -> None:
    with pytest.raises(AccessError):
        credentials.check_password(password, "margarethe")


def test_a_very_long_password_is_judged_in_little_work() -> None:
    credentials.check_password("correct horse battery staple " * 1000, "admin")
    with pytest.raises(AccessError, match="easily guessed: repeats like"):
        credentials.check_password("a" * 100_000, "admin")
