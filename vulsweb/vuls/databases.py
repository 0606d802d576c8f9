"""The catalogue of vulnerability databases: what they are called and whom they serve."""

import enum


class DatabaseType(enum.StrEnum):
    """A database that can be updated, or all of them."""

    ALL = "all"
    NVD = "nvd"
    UBUNTU = "ubuntu"
    DEBIAN = "debian"
    REDHAT = "redhat"
    AMAZON = "amazon"
    ALPINE = "alpine"
    GOST_UBUNTU = "gost_ubuntu"
    GOST_DEBIAN = "gost_debian"
    GOST_REDHAT = "gost_redhat"

    @property
    def label(self) -> str:
        """Return the name that people read."""
        return _LABELS[self]


_LABELS = {
    DatabaseType.ALL: "All Databases",
    DatabaseType.NVD: "NVD Database",
    DatabaseType.UBUNTU: "Ubuntu OVAL",
    DatabaseType.DEBIAN: "Debian OVAL",
    DatabaseType.REDHAT: "Red Hat OVAL",
    DatabaseType.AMAZON: "Amazon Linux OVAL",
    DatabaseType.ALPINE: "Alpine OVAL",
    DatabaseType.GOST_UBUNTU: "GOST Ubuntu",
    DatabaseType.GOST_DEBIAN: "GOST Debian",
    DatabaseType.GOST_REDHAT: "GOST Red Hat",
}

# Which database detects for which family (result field `family`), from Vuls' detector at v0.26:
# Debian and Ubuntu are matched by gost alone, the rest by OVAL.
_DETECTS = {
    "debian": DatabaseType.GOST_DEBIAN,
    "raspbian": DatabaseType.GOST_DEBIAN,
    "ubuntu": DatabaseType.GOST_UBUNTU,
    "redhat": DatabaseType.REDHAT,
    "centos": DatabaseType.REDHAT,
    "alma": DatabaseType.REDHAT,
    "rocky": DatabaseType.REDHAT,
    "amazon": DatabaseType.AMAZON,
    "alpine": DatabaseType.ALPINE,
}


def detecting(family: str) -> DatabaseType | None:
    """Return the database without which Vuls finds nothing for `family`; None when we know of none."""
    return _DETECTS.get(family)
