"""Time zones that may be chosen."""

from zoneinfo import available_timezones

# A zone file, but unset (Factory), or another zone on each machine and missing on some (localtime).
_NOT_ZONES = {"Factory", "localtime", "posixrules"}
_COPIES = ("posix/", "right/")  # of all others; the second kind counts leap seconds
# Read once, because it reads the file system.
NAMES = tuple(sorted(name for name in available_timezones() - _NOT_ZONES if not name.startswith(_COPIES)))


def check(zone: str) -> str:
    """Return the zone, or raise ValueError if it may not be chosen."""
    if zone not in NAMES:
        raise ValueError(f"{zone!r} is not a time zone; write one like Europe/London or UTC.")
    return zone
