"""Containers that scans find, stored as hosts."""

import re
from collections.abc import Collection
from datetime import datetime

from vulsweb.extensions import db
from vulsweb.hosts import pauses
from vulsweb.models import Host

NAME_LENGTH = 253
# A limit per host, since the scanned host chooses the names of its containers.
MOST_CONTAINERS = 200
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)


class Containers:
    """The containers on the hosts of one scan.

    Each container is a host with its own packages and findings.
    """

    def __init__(self, known: dict[str, Host], now: datetime) -> None:
        self._known = known
        self._now = now
        self._changed = False

    def add_host(self, document: str) -> Host | None:
        """Add a host for a document named container@host.

        Return None for any other name, for an unknown host, and for a host with too many containers.
        """
        name, _, parent_name = document.partition("@")
        parent = self._known.get(parent_name)
        if parent is None or parent.parent_id is not None or not _CONTAINER.fullmatch(name):
            return None
        siblings = sum(host.parent_id == parent.id for host in self._known.values())
        if siblings >= MOST_CONTAINERS or len(document) > NAME_LENGTH:
            return None
        container = Host(
            name=document,
            entry=parent.entry,
            parent_id=parent.id,
            hostname=parent.hostname,
            connection=parent.connection,
            scan_modes=parent.scan_modes,
            vuls_config={},
            created_at=self._now,
            synced_at=self._now,
        )
        db.session.add(container)
        db.session.flush()
        self._known[document] = container
        return container

    def retire_absent(self, *, reported: Collection[str], scanned: Collection[str]) -> None:
        """Retire containers that are gone, and restore those that are back.

        A container is gone if a scan of its host no longer reports it. `reported` names the hosts with any
        result, `scanned` those whose scan did not fail.
        """
        names = {host.id: host.name for host in self._known.values()}
        for host in self._known.values():
            if host.parent_id is None:
                continue
            if host.name in reported and host.retired_at is not None:
                host.retired_at, self._changed = None, True
            elif (
                host.name not in reported and host.retired_at is None and names.get(host.parent_id) in scanned
            ):
                host.retired_at, self._changed = self._now, True
        if self._changed:
            pauses.update_pauses(self._now)
