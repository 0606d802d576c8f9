"""What Vuls v0.26.0 asks of a server's values, beyond their types.

`own` and `default` are the options of the server and of [default], by name in lower case.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vulsweb.vuls import cpe, go_regexps
from vulsweb.vuls.server_options import OptionError, printable, values

Values = Mapping[str, Any]

_DEPTHS = ("fast", "fast-root", "deep")
_MODULES = ("ospkg", "wordpress", "lockfile", "port")
_REPOSITORIES = ("base", "updates")
_TECHNIQUES = ("ss", "st", "sa", "sw", "sm", "sn", "sf", "sx")
_PORT = re.compile(r"[+-]?[0-9]{1,18}")


def check(own: Values, default: Values) -> None:
    """Raise OptionError for a value that Vuls would refuse."""
    for name in inherited(own, default, "cpenames"):
        if problem := cpe.problem(name):
            raise OptionError(f"cpeNames: Vuls cannot read {printable(name)!r}: {problem}.")
    _check_expressions(
        "ignorePkgsRegexp", [*_texts(own, "ignorepkgsregexp"), *_texts(default, "ignorepkgsregexp")]
    )
    for name, container in _tables(own, "containers").items():
        expressions = _texts(values(container), "ignorepkgsregexp")
        _check_expressions(f"containers.{name}.ignorePkgsRegexp", expressions)
    for name, repository in _tables(own, "githubs").items():
        if name.count("/") != 1:
            raise OptionError(f'githubs: write "OWNER/REPOSITORY", not {printable(name)!r}.')
        if not values(repository).get("token"):
            raise OptionError(f"githubs: {printable(name)} needs a token.")
    _check_words("enablerepo", inherited(own, default, "enablerepo"), _REPOSITORIES)
    modules = [module.lower() for module in inherited(own, default, "scanmodules")]
    _check_words("scanModules", modules, _MODULES)
    if "port" in modules and "ospkg" not in modules:
        raise OptionError("scanModules needs ospkg for port.")
    if "port" in (modules or _MODULES):
        _check_port_scan(values(_pointed(own, default, "portscan")))
        selection = values(_pointed(own, default, "windows")).get("serverselection", 0)
        if selection not in range(4):
            raise OptionError(f"windows.serverSelection can be 0 to 3, not {selection}.")


def inherited(own: Values, default: Values, name: str) -> Sequence[str]:
    """Return a list of the server, or else that of [default]."""
    return _texts(own, name) or _texts(default, name)


def scan_modes(own: Values, default: Values) -> tuple[str, ...]:
    """Return the scan modes; raise OptionError for wrong ones."""
    words = tuple(dict.fromkeys(mode.lower() for mode in inherited(own, default, "scanmode") or ["fast"]))
    _check_words("scanMode", words, (*_DEPTHS, "offline"))
    if {"deep", "offline"} <= set(words):
        raise OptionError("scanMode cannot have both deep and offline.")
    if len(set(words) & set(_DEPTHS)) > 1:
        raise OptionError("scanMode can have only one of fast, fast-root and deep.")
    return words


def _check_words(option: str, words: Sequence[str], known: Sequence[str]) -> None:
    for word in words:
        if word not in known:
            choice = f"{', '.join(known[:-1])} or {known[-1]}"
            raise OptionError(f"{option} can be {choice}, not {printable(word)!r}.")


def _check_expressions(option: str, expressions: Sequence[str]) -> None:
    for expression in expressions:
        if problem := go_regexps.problem(expression):
            said = f"{printable(expression)!r} is no regular expression for Vuls: {printable(problem)}"
            raise OptionError(f"{option}: {said}.")


def _check_port_scan(scan: Values) -> None:
    """Raise OptionError unless Vuls can scan ports with this section.

    Whether the scanner exists is left to Vuls: it is on the executor's machine.
    """
    techniques = [technique.lower() for technique in _texts(scan, "scantechniques")]
    source, is_root = scan.get("sourceport", ""), scan.get("hasprivileged", False)
    if not scan.get("scannerbinpath"):
        if techniques or source or is_root:
            raise OptionError("portscan needs scannerBinPath, such as /usr/bin/nmap.")
        return
    if unknown := [technique for technique in techniques if technique not in _TECHNIQUES]:
        raise OptionError(f"portscan: Vuls does not know the technique {printable(unknown[0])!r}.")
    if len(techniques) > 1:
        raise OptionError("portscan: scanTechniques can have only one.")
    if not is_root and techniques not in ([], ["st"]):
        raise OptionError('portscan: without hasPrivileged = true, scanTechniques can only be ["sT"].')
    if source and techniques == ["st"]:
        raise OptionError("portscan: sourcePort does not go with sT.")
    if source and not (_PORT.fullmatch(source) and 0 < int(source) < 65536):
        raise OptionError("portscan: sourcePort can be 1 to 65535.")


def _texts(section: Values, name: str) -> Sequence[str]:
    found: Sequence[str] = section.get(name, [])
    return found


def _tables(section: Values, name: str) -> Mapping[str, Any]:
    found = section.get(name)
    return found if isinstance(found, dict) else {}


def _pointed(own: Values, default: Values, name: str) -> Mapping[str, Any]:
    """Return the server's table, even an empty one, or that of [default]."""
    return _tables(own if name in own else default, name)
