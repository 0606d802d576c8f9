"""Properties of the ssh_config parser: it agrees with OpenSSH, and accepted files are harmless.

VULSWEB_EXAMPLES is the number of generated files. Only files that `check` accepts reach ssh.
"""

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from tests.support import needs
from vulsweb.vuls.ssh import config
from vulsweb.vuls.ssh.blocks import is_ambiguous
from vulsweb.vuls.ssh.options import SPELLING, seconds

EXAMPLES = int(os.environ.get("VULSWEB_EXAMPLES", "300"))
MANY = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
KEYS = ["k1", "k2"]
ALIASES = ["web1", "web2", "Web1", "db1", "a", "b.example.com"]
PATTERNS = [*ALIASES, "*", "web*", "w?b?", "*.example.com", "*1", "!web1", "!db*", "!w*", "b*e*m"]
SSM = "aws ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p"
VALUES = {
    "HostName": ["192.0.2.1", "%h.example.net", "Upper.example.com", "2001:db8::1", "%h", "fe80::1%%eth0"],
    "User": ["alice", "bob", "d_1.x", r"DOMAIN\me", "D\\new.x", "u" * 255],
    "Port": ["22", "2222", "65535"],
    "IdentityFile": ["k1", "k2", "none"],
    "ConnectTimeout": ["5", "60", "none", "10s", "1m30", "2M1s", "0"],
    "ServerAliveInterval": ["0", "7", "none", "1m", "0h10M1s"],
    "ServerAliveCountMax": ["0", "3", "100"],
    "BindAddress": ["192.0.2.100", "fe80::2%eth0", "scan.example.com"],
    "BindInterface": ["eth0", "eth0.1"],
    "Compression": ["yes", "no"],
    "HostKeyAlias": ["kept", "other"],
    "ProxyJump": [
        "none",
        "bastion",
        "u@bastion:2200",
        "u@first,second:22",
        "[2001:db8::2]:22",
        "ssh://u@bastion:22",
        "%r@bastion",
    ],
    "ProxyCommand": ["none", "NONE", SSM, "cloudflared access ssh --hostname %h"],
}
RAW = ("ProxyJump", "ProxyCommand")
TIMES = ("connecttimeout", "serveraliveinterval")
DEFAULTS = {
    "connecttimeout": "none",
    "serveraliveinterval": "0",
    "serveralivecountmax": "3",
    "compression": "no",
    "port": "22",
}
# A comment can have anything that can be typed.
COMMENTS = [" # said", " #", '\t# "grün', "  #it's \\"]


@st.composite
def _spelled(draw: st.DrawFn, keyword: str, values: list[str], *, raw: bool) -> str:
    """One line in one of the many ways in which it can be written."""
    keyword = draw(st.sampled_from([keyword, keyword.lower(), keyword.upper()]))
    between = draw(st.sampled_from([" ", "\t", "=", " = ", "\t=\t", "  \t ", "= "]))
    if not raw:
        values = [f'"{value}"' if draw(st.booleans()) else value for value in values]
    # The comment of a ProxyCommand is the shell's: ssh -G shows it. One behind none is refused.
    comments = [] if keyword.lower() == "proxycommand" or (raw and values == ["none"]) else COMMENTS
    behind = draw(st.sampled_from(["", " ", "\t", *comments]))
    return draw(st.sampled_from(["", "  ", "\t"])) + keyword + between + " ".join(values) + behind


def _option() -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(VALUES)).flatmap(
        lambda keyword: st.sampled_from(VALUES[keyword]).flatmap(
            lambda value: _spelled(keyword, [value], raw=keyword in RAW)
        )
    )


def _host() -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4).flatmap(
        lambda patterns: _spelled("Host", patterns, raw=False)
    )


LINE = st.one_of(_option(), _option(), _option(), _host(), st.sampled_from(["", "# Host no", "   ", "\t#x"]))
FILES = st.lists(LINE, max_size=18).map("\n".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("ssh") is None:
        needs.lacking("ssh is missing: the package is openssh-client.")
    return tmp_path_factory.mktemp("managed")


def _ssh(path: Path, text: str, alias: str) -> dict[str, list[str]]:
    """Return the options that the real ssh uses: the keywords with their values."""
    path.write_text(text)
    done = subprocess.run(["ssh", "-G", "-F", str(path), "--", alias], capture_output=True, text=True)
    assert done.returncode == 0, (done.stderr, text)
    answers: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        answers.setdefault(keyword, []).append(value)
    return answers


def _expected(used: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return our options as ssh prints them."""
    expected = (
        {keyword: [default] for keyword, default in DEFAULTS.items()} | {"user": [getpass.getuser()]} | used
    )
    for time in TIMES:
        read = seconds(expected[time][0])
        expected[time] = [expected[time][0] if read is None else str(read)]
    for proxy in ("proxyjump", "proxycommand"):
        if expected.get(proxy, [""])[0].lower() == "none":
            del expected[proxy]
    if "proxyjump" in expected:
        expected["proxyjump"] = [expected["proxyjump"][0].removeprefix("ssh://")]
    return expected | {"hostname": [expected["hostname"][0].lower()]}


# Why lines that are allowed are refused together.
BETWEEN_LINES = ("through itself", "put the ProxyCommand above", "lose the backslash")


@MANY
@given(content=FILES, alias=st.sampled_from([*ALIASES, "elsewhere"]))
@example(content="Host *\nUser a\nHost web1\nUser b\nIdentityFile k1\nIdentityFile k1", alias="web1")
@example(content="ProxyJump none\nProxyCommand none\nProxyJump bastion", alias="web1")
@example(content=f"ProxyJump none\nProxyCommand {SSM}\nProxyJump bastion", alias="web1")
@example(content="Host web1 !web1\nPort 2222", alias="web1")
@example(content="ConnectTimeout none\nConnectTimeout 5", alias="web1")
@example(content="ServerAliveInterval none\nServerAliveInterval 5", alias="web1")
def test_options_are_found_as_openssh_finds_them(folder: Path, content: str, alias: str) -> None:
    reasons = [refusal.reason for refusal in config.check(content, keys=KEYS)]
    assert all(any(known in reason for known in BETWEEN_LINES) for reason in reasons)

    theirs = _ssh(folder / "theirs", content, alias)
    effective = config.effective_options(content, alias)
    ours = _expected(effective)

    compared = {name.lower() for name in VALUES} - ({"identityfile"} - ours.keys())
    if is_ambiguous(effective):
        # Patch levels of OpenSSH 9.2 differ in whether they drop this ProxyCommand; we refuse such a host.
        compared -= {"proxycommand"}
        assert theirs.get("proxycommand") in (ours["proxycommand"], None)
    assert {name: ours.get(name) for name in compared} == {name: theirs.get(name) for name in compared}


@MANY
@given(content=FILES)
def test_the_generated_file_means_the_same_as_the_written_one(folder: Path, content: str) -> None:
    assume(not config.check(content, keys=KEYS))

    text = config.render(content, keys=KEYS, folder=folder)

    for host in config.read(content, keys=KEYS):
        theirs = _ssh(folder / "ssh_config", text, host.alias)

        assert theirs["hostname"] == [host.hostname]
        assert theirs["user"] == [host.user or getpass.getuser()]
        assert theirs["port"] == [str(host.port)]
        assert theirs.get("proxyjump", [""]) == [host.proxy_jump]
        assert theirs.get("proxycommand", [""]) == [host.proxy_command]
        effective = config.effective_options(content, host.alias)
        for option in ("serveralivecountmax", "bindaddress", "bindinterface"):
            assert option not in effective or theirs[option] == effective[option]
        for option, endless in (("connecttimeout", 300), ("serveraliveinterval", 0)):
            if option in effective:
                assert theirs[option] == [str(seconds(effective[option][0]) or endless)]
            elif "serveralivecountmax" not in effective:
                assert theirs[option] == ["15"]
        keys = [Path(name).name for name in theirs["identityfile"] if name != "none"]
        assert tuple(keys) == host.identity_files


NASTY = [
    *(
        "exec /bin/sh",
        "|sh",
        ";id",
        "$(id)",
        "`id`",
        "${HOME}",
        "~/x",
        "/etc/passwd",
        "../x",
        "-oProxyCommand=id",
    ),
    *(
        "%h",
        "%%",
        "%d",
        "%r",
        "%p",
        "none",
        "yes",
        "no",
        "ask",
        "22",
        "k1",
        "*",
        "!*",
        '"',
        "'",
        "\\",
        "#",
        "=",
    ),
    *(
        "nc %h %p",
        "exec nc %h %p",
        f"exec {SSM}",
        f"AWS_PROFILE=x {SSM}",
        f"{SSM} # it",
        "ssh -p2222 -lme -W %h:%p %r@b",
        "ssh -qoProxyCommand=id -W %h:%p b",
        r"DOMAIN\me",
        "D\\$x",
        "fe80::1%%eth0",
        "fe80::1%eth0",
        "ssh -W %h:%p b",
        "ssh -oX=y -W %h:%p b",
        "ssh -W %h:%p -F x b",
        "a@b:1,c",
        "web1",
        "\\\n",
        "&",
    ),
    *(
        "file:///etc/passwd",
        "--cli-input-json",
        "--config",
        "--ssh-flag=-oProxyCommand=id",
        "-- -W %h:%p",
        "--",
    ),
    *("\x00", "\r", "\x0b", "\x0c", "\x1b[2J", "\u2028", "\x85", "\ufeff", "é", "\ud800", SSM),
    *(
        "aws ssm start-session",
        "gcloud compute ssh web1",
        "gcloud compute start-iap-tunnel %h %p --listen-on-stdin",
    ),
    *("cloudflared access ssh --hostname", "aws ec2-instance-connect open-tunnel --instance-id %h", "sh -c"),
]
DANGEROUS = [
    *(
        "Match",
        "Include",
        "LocalCommand",
        "PermitLocalCommand",
        "KnownHostsCommand",
        "RemoteCommand",
        "SetEnv",
    ),
    *("PKCS11Provider", "SecurityKeyProvider", "XAuthLocation", "ControlPath", "IdentityAgent", "SendEnv"),
    *("CertificateFile", "UserKnownHostsFile", "GlobalKnownHostsFile", "RevokedHostKeys", "LocalForward"),
    *("Tunnel", "Tag", "IgnoreUnknown", "ProxyUseFdpass"),
]
WORDS = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=6)), min_size=1, max_size=3)
NASTY_LINE = st.builds(
    lambda keyword, between, words: f"{keyword}{between}{' '.join(words)}",
    st.one_of(st.sampled_from(sorted(SPELLING.values())), st.sampled_from(DANGEROUS), st.text(max_size=8)),
    st.sampled_from([" ", "=", "\t", "", " = ", "=="]),
    WORDS,
)
ANY_FILE = st.lists(st.one_of(LINE, NASTY_LINE, st.text(max_size=20)), max_size=4).map("\n".join)
PROGRAMS = ("aws ", "gcloud ", "cloudflared ")


@settings(MANY, max_examples=EXAMPLES * 3)
@given(content=ANY_FILE)
@example(content="Host a\nProxyCommand ssh -W %h:%p b\nHost b\nProxyJump a")
@example(content="HostName 2001:db8::1\nHost web1")
@example(content="Host *\nUser EXAMPLE\\me\nProxyJump %r@bastion")
@example(content="User EXAMPLE\\me\nProxyJump %r@bastion")
def test_accepted_files_are_harmless(folder: Path, content: str) -> None:
    if config.check(content, keys=KEYS):
        return

    text = config.render(content, keys=KEYS, folder=folder, sockets=Path("/s"))

    for alias in [host.alias for host in config.read(content, keys=KEYS)] or ["elsewhere"]:
        harmless(_ssh(folder / "ssh_config", text, alias), folder)


def harmless(options: dict[str, list[str]], folder: Path) -> None:
    """Fail if ssh would run or read anything outside the managed folder."""
    first = {keyword: values[0] for keyword, values in options.items()}
    assert first["stricthostkeychecking"] == "true"
    assert first["batchmode"] == "yes"
    assert first["permitlocalcommand"] == "no"
    assert first["userknownhostsfile"] == str(folder / "known_hosts")
    assert first["globalknownhostsfile"] == "/dev/null"
    assert first["forwardagent"] == "no"
    assert first["identityagent"] == "none"
    assert first["securitykeyprovider"] == "internal"
    assert first["hostbasedauthentication"] == "no"
    assert first.get("controlpath", "/s/").startswith("/s/")
    for runs in ("localcommand", "remotecommand", "knownhostscommand", "pkcs11provider", "certificatefile"):
        assert runs not in first
    for forwards in (
        "localforward",
        "remoteforward",
        "dynamicforward",
        "sendenv",
        "setenv",
        "revokedhostkeys",
    ):
        assert forwards not in first
    for name in options["identityfile"]:
        assert name in ("none", str(folder / "keys" / "k1"), str(folder / "keys" / "k2"))
    command = first.get("proxycommand", "aws ")
    assert command.startswith(PROGRAMS)
    assert not set(command) & set(";|&$`<>(){}[]*?~#!\\'\"\n")
    assert not set(first["hostname"] + first["user"]) & set(";|&$`<>(){} '\"/")
    # A shell, which %r goes through, would take the backslash out.
    assert "\\" not in first["hostname"]
    assert "\\" not in first["user"] or "%r" not in command + first.get("proxyjump", "")
    assert not first["hostname"].startswith("-")
