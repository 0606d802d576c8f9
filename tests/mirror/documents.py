"""What the mirror ships: real documents, under the addresses from which the real tools fetch them."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from tests.mirror.lists import lists, tar_gz
from tests.mirror.nvd import nvd_artifact
from tests.mirror.registry import artifact

DEBIAN_TRACKER = "https://security-tracker.debian.org/tracker/data/json"
DATA = Path(__file__).parent / "data"
TRACKER_FILE = DATA / "debian-tracker.json"
TRIVY_LAYER = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"


class Release(TypedDict, total=False):
    """What the tracker says of one CVE in one source package of one Debian release."""

    status: str
    repositories: dict[str, str]
    fixed_version: str
    urgency: str


class Entry(TypedDict):
    """What the tracker says of one CVE in one source package."""

    releases: dict[str, Release]


# Source package -> CVE -> entry.
Tracker = dict[str, dict[str, Entry]]


def shipped_documents() -> dict[str, bytes]:
    """Return every shipped document by its URL."""
    # One year more than today's: the tool may run past midnight, or in another zone.
    until_year = datetime.now(UTC).year + 1
    return {
        DEBIAN_TRACKER: TRACKER_FILE.read_bytes(),
        **trivy_db(),
        **lists(),
        **nvd_artifact(until_year),
    }


def trivy_db() -> dict[str, bytes]:
    """Return the artifact from which gost takes the Debian releases that the tracker has dropped."""
    database = gzip.decompress((DATA / "trivy.db.gz").read_bytes())
    return artifact("aquasecurity/trivy-db", "latest", TRIVY_LAYER, tar_gz("trivy.db", database))


def debian_tracker() -> Tracker:
    """Read the shipped Debian security-tracker document."""
    tracker: Tracker = json.loads(TRACKER_FILE.read_bytes())
    return tracker
