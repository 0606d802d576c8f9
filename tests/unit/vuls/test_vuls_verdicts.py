"""The sync refuses in config.toml what the real Vuls refuses.

Where they differ on purpose:

- Whether keyPath and scannerBinPath exist is left to Vuls: they are on the executor's machine.
- A host has at most 253 printable characters, and its section's name can be the name of a file.
- port = "local" needs this machine as its host; Vuls would run ssh with that port.
- A network has at most 65,536 addresses; Vuls has no limit, but no memory for more either.
- An option or section that is there twice, in another case, is refused; Vuls takes either, at random.
- Of the names of Unicode scripts in a regular expression, only the form is checked.
"""

import itertools
import json
import sys
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import vuls_config
from vulsweb.vuls import cpe, go_regexps, server_options, servers
from vulsweb.vuls.config_toml import ConfigTomlError
from vulsweb.vuls.server_options import FLAG, NUMBER, TEXT, TEXTS, Kind, Map, Type

HOST = 'host = "192.0.2.1"\n'
VALUES = ('"x"', '""', "1", "-1", str(2**63), "1.5", "true", "2026-01-01", '["x"]', "[1]", '["x", 1]', "[]")
TABLES = ('{ x = "y" }', "{}", '[{ x = "y" }]', f"{{ x = {2**63} }}")
ABOUT_THE_EXECUTOR = ("not exists", "getcap", "apabilit")
GO_TYPES = {"string": TEXT, "[]string": TEXTS, "bool": FLAG, "int": NUMBER}


def ours(text: str) -> str:
    """Return why the sync refuses `text`, empty if it does not."""
    try:
        parsed = servers.read(text)
    except ConfigTomlError as error:
        return str(error)
    return parsed.no_server or " ".join(error.message for error in parsed.errors)


def of_vuls(texts: Sequence[str]) -> list[str]:
    """Return why Vuls refuses each text, wherever its executor is."""
    found = []
    for reason in vuls_config.reasons(texts):
        lines = reason.removeprefix("invalid: ").splitlines()
        found.append(
            "\n".join(line for line in lines if not any(word in line for word in ABOUT_THE_EXECUTOR))
        )
    return found


def differences(texts: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return the texts that only one of both refuses, with its reason."""
    texts = list(texts)
    verdicts = [(text, theirs, ours(text)) for text, theirs in zip(texts, of_vuls(texts), strict=True)]
    return [verdict for verdict in verdicts if bool(verdict[1]) != bool(verdict[2])]


def known_options(kind: Kind, path: str) -> dict[str, Type]:
    """Return the options of our table in the form of Vuls'."""
    if isinstance(kind, Type):
        return {path: kind}
    inner = {"*": kind.values} if isinstance(kind, Map) else kind
    return {
        key: value for name in inner for key, value in known_options(inner[name], f"{path}.{name}").items()
    }


def test_the_table_has_every_option_of_vuls_with_its_type() -> None:
    ours = known_options(server_options.SERVER, "server")
    ours |= known_options(server_options.DEFAULT, "default")
    ours |= known_options(server_options.WHOLE_FILE["wpscan"], "wpscan")

    theirs = vuls_config.options()

    # Anything can be under `optional`.
    assert {path for path, kind in theirs.items() if kind not in GO_TYPES} == {
        "default.optional.*",
        "server.optional.*",
    }
    assert ours == {path: GO_TYPES[kind] for path, kind in theirs.items() if kind in GO_TYPES}


def test_values_of_every_type_get_the_verdict_of_vuls() -> None:
    paths = {
        path
        for option in vuls_config.options()
        for path in itertools.accumulate(option.split("."), "{}.{}".format)
    }
    paths |= {f"{section}.{name}" for section in ("server", "default") for name in ("unknown", "serverName")}
    texts = []
    for path, value in itertools.product(sorted(paths - {"server", "server.host"}), VALUES + TABLES):
        key = path.replace("*", '"o/r"').replace("server.", "servers.a.", 1)
        texts.append(f"servers.a.{HOST}{key} = {value}\n")
    texts += [f"servers.a.host = {value}\n" for value in VALUES + TABLES]
    texts += [f"servers.a = {value}\n" for value in VALUES + TABLES]
    texts += [f"version = {value}\n[servers.a]\n{HOST}" for value in VALUES + TABLES]

    assert differences(texts) == []


def lists(words: Sequence[str], longest: int = 3) -> list[str]:
    """Return lists of the words, as TOML."""
    lengths = range(longest + 1)
    return [json.dumps(each) for length in lengths for each in itertools.combinations(words, length)]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("scanMode", ["fast", "FAST-ROOT", "deep", "offline", "quick"]),
        ("scanModules", ["ospkg", "WordPress", "lockfile", "port", "os"]),
        ("enablerepo", ["base", "updates", "Base", "epel", ""]),
        ("cpeNames", ["cpe:/a:b:c", "cpe:2.3:a:b:c:*:*:*:*:*:*:*:*", "CPE:/a:b:c", "x", ""]),
        ("ignorePkgsRegexp", ["^kernel", "", "*", "(?!a)", "a**"]),
    ],
)
def test_lists_of_a_server_and_of_the_defaults_get_the_verdict_of_vuls(option: str, words: list[str]) -> None:
    texts = [
        f"[default]\n{option} = {default}\n[servers.a]\n{HOST}{option} = {own}\n"
        for own, default in itertools.product(lists(words), lists(words, 2))
    ]

    assert differences(texts) == []


HOSTS = (
    *("192.0.2.1", "web", "", "2001:db8::1", "2001:DB8::1"),
    *("192.0.2.0/30", "192.0.2.1/32", "2001:db8::/126", "::ffff:192.0.2.0/30"),
    *("192.0.2.0/33", "192.0.2.0/x", "web/24", "192.0.2.0/"),
)
IGNORED = (
    *("192.0.2.1", "192.0.2.2", "192.0.2.0/24", "192.0.2.0/31", "web", "", "x/24", "192.0.2.0/40"),
    *("2001:db8::/64", "2001:db8::/120", "2001:db8::1", "fe80::1%eth0"),
)


def test_hosts_and_what_they_ignore_get_the_verdict_of_vuls() -> None:
    texts = [
        f"[servers.a]\n{type_}host = {json.dumps(host)}\nignoreIPAddresses = {each}\n"
        for type_, host, each in itertools.product(("", 'type = "pseudo"\n'), HOSTS, lists(IGNORED, 2))
    ]

    assert differences(texts) == []


def test_port_scans_get_the_verdict_of_vuls() -> None:
    texts = []
    for scanner, root, techniques, port, modules, place in itertools.product(
        ("", sys.executable),
        ("true", "false"),
        ([], ["sT"], ["SS"], ["sX", "sT"], ["sU"]),
        ("", "53", "0", "+1", "65536", "-1", "x", " 1", "9" * 30),
        ([], ["ospkg"], ["ospkg", "port"]),
        ("servers.a", "default"),
    ):
        scan = f"scanTechniques = {json.dumps(techniques)}\nscannerBinPath = {json.dumps(scanner)}\n"
        scan += f"hasPrivileged = {root}\nsourcePort = {json.dumps(port)}\n"
        texts.append(
            f"[servers.a]\n{HOST}scanModules = {json.dumps(modules)}\n[{place}.portscan]\n{scan}"
            f"[{place}.windows]\nserverSelection = {len(techniques)}\n"
        )
    texts += [f"[servers.a]\n{HOST}windows.serverSelection = {each}\n" for each in range(-1, 6)]
    texts += [f"default.portscan.sourcePort = '1'\n[servers.a]\n{HOST}portscan = {{}}\n"]

    assert differences(texts) == []


@pytest.mark.parametrize(
    "text",
    [
        '[servers.a]\ntype = "pseudo"\n',
        f'[servers.a]\n{HOST}[servers.a.githubs."o/r"]\ntoken = "x"\n',
        f'[servers.a]\n{HOST}[servers.a.githubs."o/r"]\nTOKEN = "x"\n',
        f'[servers.a]\n{HOST}[servers.a.githubs."o/r"]\n',
        f'[servers.a]\n{HOST}[servers.a.githubs."o/r/s"]\ntoken = "x"\n',
        f'[servers.a]\n{HOST}[servers.a.githubs.o]\ntoken = "x"\n',
        f"[default.githubs.o]\n[servers.a]\n{HOST}",
        f'[servers.a]\n{HOST}[servers.a.containers.web]\nIGNOREPKGSREGEXP = ["*"]\n',
        f'[default.containers.web]\nignorePkgsRegexp = ["*"]\n[servers.a]\n{HOST}',
        f"\ufeff[servers.a]\n{HOST}",
        f"[servers.a]\n{HOST}[SERVERS.b]\n{HOST}",
        f"[servers.a]\n{HOST}[SERVERS.b]\nuser = 'x'\n",
        f"[Default]\nport = '1'\n[default]\nuser = 'x'\n[servers.a]\n{HOST}",
        f"[Default]\nport = '1'\n[default]\nuser = 1\n[servers.a]\n{HOST}",
        "[servers.192.0.2.10]\nhost = '192.0.2.10'\n",
        "[servers.web.example.com]\nhost = 'web.example.com'\n",
        f"[[default]]\n[servers.a]\n{HOST}",
        f"[[servers.a]]\n{HOST}",
    ],
)
def test_sections_get_the_verdict_of_vuls(text: str) -> None:
    assert differences([text]) == []


CPE_PIECES = (
    *("a", "o", "h", "x", "A", "1", "foo", "é", " ", ".", "_", "+", "$", "!", "/"),
    *("-", "*", "**", "?", "??", "\\", "\\:", "\\-", "\\?"),
    *("%", "%0", "%01", "%02", "%2a", "%2F", "%zz", "~", "~~~~", "~a~b~c~d~e"),
)
CPE_PARTS = st.lists(st.sampled_from(CPE_PIECES), max_size=4).map("".join)
CPE_NAMES = st.one_of(
    st.tuples(st.sampled_from("aohA*"), st.lists(CPE_PARTS | st.just("foo"), min_size=9, max_size=11)).map(
        lambda name: ":".join(["cpe:2.3", name[0], *name[1]])
    ),
    st.tuples(st.sampled_from("aohA*"), st.lists(CPE_PARTS | st.just("foo"), max_size=7)).map(
        lambda name: ":".join([f"cpe:/{name[0]}", *name[1]])
    ),
)
EXPRESSION_PIECES = (
    *("a", "b", "kernel", "é", "-", "^", "$", ".", "|", "*", "+", "?"),
    *("{2}", "{2,}", "{3,2}", "{1000}", "{1001}", "{0}", "{03}", "{,5}", "{", "}"),
    *("(", ")", "(?:", "(?i)", "(?i:", "(?-i)", "(?i-)", "(?P<n>", "(?<n>", "(?<n-x>", "(?=", "(?!", "(?<="),
    *("[", "]", "[a-z]", "[z-a]", "[^", "[[:alpha:]]", "[[:foo:]]", "[:"),
    *(
        "\\",
        "\\d",
        "\\b",
        "\\Q",
        "\\E",
        "\\1",
        "\\12",
        "\\8",
        "\\0",
        "\\-",
        "\\C",
        "\\z",
        "\\Z",
        "\\_",
        "\\é",
    ),
    *("\\x", "\\x4", "\\x41", "\\x{41}", "\\x{110000}"),
    *("\\p", "\\pL", "\\pX", "\\p{Greek}", "\\p{Lu}", "\\p{^Lu}"),
)
EXPRESSIONS = st.lists(st.sampled_from(EXPRESSION_PIECES), max_size=7).map("".join)
# Vuls judges a hundred at once.
MANY = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(st.lists(CPE_NAMES, min_size=100, max_size=100))
def test_cpe_names_get_the_verdict_of_vuls(names: list[str]) -> None:
    theirs = of_vuls([f"[servers.a]\n{HOST}cpeNames = [{json.dumps(name)}]\n" for name in names])

    wrong = [
        name for name, their in zip(names, theirs, strict=True) if bool(their) != bool(cpe.problem(name))
    ]
    assert wrong == []


@MANY
@given(st.lists(EXPRESSIONS, min_size=100, max_size=100))
def test_regular_expressions_get_the_verdict_of_vuls(expressions: list[str]) -> None:
    theirs = of_vuls(
        [f"[servers.a]\n{HOST}ignorePkgsRegexp = [{json.dumps(each)}]\n" for each in expressions]
    )

    wrong = [
        each
        for each, their in zip(expressions, theirs, strict=True)
        if bool(their) != bool(go_regexps.problem(each))
    ]
    assert wrong == []
