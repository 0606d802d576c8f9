"""Which time zones may be chosen."""

from zoneinfo import ZoneInfo

import pytest

from tests.conftest import NOW
from vulsweb import cron
from vulsweb.accounts import users
from vulsweb.accounts.credentials import AccessError
from vulsweb.models import User
from vulsweb.tasks import editing as task_editing

REFUSED = [
    "Factory",
    "localtime",
    "posixrules",
    "posix/Europe/London",
    "right/UTC",
    "Mars/Base",
    "Europe",
    "utc",
]


def test_all_offered_zones_are_known_and_can_be_chosen() -> None:
    assert {"UTC", "Europe/London", "Asia/Kolkata", "America/Argentina/Ushuaia"} <= set(cron.ZONES)
    for zone in cron.ZONES:
        assert ZoneInfo(cron.check_zone(zone)).utcoffset(NOW) is not None
        assert cron.next_slot("0 2 * * *", zone, NOW) > NOW


@pytest.mark.parametrize("zone", REFUSED)
def test_what_is_not_one_place_on_every_machine_is_refused_everywhere(zone: str, admin: User) -> None:
    said = f"{zone!r} is not a time zone; write one like Europe/London or UTC."

    with pytest.raises(AccessError) as by_user:
        users.change_timezone(admin, zone)
    with pytest.raises(task_editing.InvalidTask) as by_task:
        task_editing.create({"timezone": zone}, NOW)

    assert zone not in cron.ZONES
    assert (str(by_user.value), by_task.value.errors["timezone"]) == (said, said)
