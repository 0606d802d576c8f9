"""The managed ssh_config: its hosts, and the file generated for ssh."""

from pathlib import PurePosixPath

import pytest

from vulsweb.vuls.ssh import config
from vulsweb.vuls.ssh.config import SshConfigError, SshHost, check, effective_options, read, render
from vulsweb.vuls.ssh.proxy import SshConnection

FOLDER = PurePosixPath("/var/lib/vulsweb/ssh")
SSM = "aws ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p"

# As the documentation of AWS has it.
DOCUMENTED = (
    'sh -c "aws ssm start-session --target %h --document-name AWS-StartSSHSession'
    " --parameters 'portNumber=%p'\""
)


def hosts(content: str, *keys: str) -> dict[str, SshHost]:
    return {host.alias: host for host in read(content, keys=keys)}


def written(content: str, *keys: str, sockets: str = "") -> str:
    folder = PurePosixPath(sockets) if sockets else None
    return render(content, keys=keys, folder=FOLDER, sockets=folder)


@pytest.mark.parametrize(("label", "text"), config.TEMPLATES)
def test_each_template_is_accepted_and_has_its_connection(label: str, text: str) -> None:
    assert check(text, keys=()) == []
    assert read(text, keys=())[-1].connection.label == label


@pytest.mark.parametrize(
    ("connection", "modes"),
    [
        (SshConnection.AWS_SSM, ("fast",)),
        (SshConnection.GCP_IAP, ("fast",)),
        (SshConnection.CLOUDFLARE, ("offline",)),
        (SshConnection.JUMP, ("fast", "offline")),
        (SshConnection.DIRECT, ("fast", "offline")),
    ],
)
def test_the_connection_determines_the_scan_modes(connection: SshConnection, modes: tuple[str, ...]) -> None:
    assert connection.scan_modes == modes


def test_each_name_without_wildcards_is_a_host_in_the_order_of_the_file() -> None:
    found = hosts("Host b a\nHost web-* !x\nHost c\nHost a\nHost *\nUser u")

    assert [(host.alias, host.line, host.user) for host in found.values()] == [
        ("b", 1, "u"),
        ("a", 1, "u"),
        ("c", 3, "u"),
    ]


def test_a_name_negated_on_its_own_line_is_not_a_host() -> None:
    assert list(hosts("Host a b !a")) == ["b"]


def test_the_first_value_wins_and_key_files_are_collected() -> None:
    text = "Host a\nUser first\nIdentityFile k1\nHost *\nUser second\nIdentityFile k2\nIdentityFile k1"
    (host,) = read(f"{text}\nPort 2222", keys=("k1", "k2"))

    assert (host.user, host.port, host.identity_files) == ("first", 2222, ("k1", "k2"))


def test_defaults_that_come_first_also_win() -> None:
    assert hosts("User everyone\nHost a\nUser own")["a"].user == "everyone"


def test_the_hostname_defaults_to_the_alias() -> None:
    found = hosts("Host a\nHost b\nHostName %h.Example.com\nHost c\nHostName 192.0.2.1")

    assert [host.hostname for host in found.values()] == ["a", "b.example.com", "192.0.2.1"]


def test_effective_options_are_returned_by_keyword() -> None:
    used = effective_options('Host a\n\tport = "2222" # said\n  ServerAliveInterval 5', "a")

    assert used == {"port": ["2222"], "serveraliveinterval": ["5"], "hostname": ["a"]}


@pytest.mark.parametrize(
    ("options", "known_as"),
    [
        ("HostName Web.example.com", "web.example.com"),
        ("HostName 192.0.2.1\nPort 2222", "[192.0.2.1]:2222"),
        ("HostName 192.0.2.1\nPort 2222\nHostKeyAlias web", "web"),
    ],
)
def test_a_hosts_key_is_looked_up_by_the_right_name(options: str, known_as: str) -> None:
    assert hosts(f"Host a\n{options}")["a"].known_as == known_as


@pytest.mark.parametrize(
    ("command", "connection", "made"),
    [
        (SSM, SshConnection.AWS_SSM, SSM),
        (DOCUMENTED, SshConnection.AWS_SSM, SSM),
        (f"/usr/local/bin/{SSM} --region=eu-west-1 --profile p", SshConnection.AWS_SSM, None),
        (f"aws --region eu-west-1 {SSM[4:]}", SshConnection.AWS_SSM, None),
        (
            "aws ec2-instance-connect open-tunnel --instance-id %h --remote-port %p",
            SshConnection.AWS_SSM,
            "aws ec2-instance-connect open-tunnel --instance-id %h --remote-port %p",
        ),
        ("gcloud compute start-iap-tunnel %h %p --listen-on-stdin --zone=a-b", SshConnection.GCP_IAP, None),
        (
            "gcloud compute ssh %r@web-1 --tunnel-through-iap --zone a-b --project p -- -W localhost:22",
            SshConnection.GCP_IAP,
            "gcloud compute ssh %r@web-1 --tunnel-through-iap --zone a-b --project p -- -W localhost:22",
        ),
        ("/usr/local/bin/cloudflared access ssh --hostname %h", SshConnection.CLOUDFLARE, None),
        (
            "cloudflared access ssh --hostname %h --service-token-id a.access --service-token-secret 0f",
            SshConnection.CLOUDFLARE,
            None,
        ),
    ],
)
def test_each_allowed_proxy_command_is_recognised(
    command: str, connection: SshConnection, made: str | None
) -> None:
    host = hosts(f"Host a\nProxyCommand {command}")["a"]

    assert host.connection == connection
    assert host.proxy_command == made or (made is None and "/" not in host.proxy_command)


@pytest.mark.parametrize(
    ("option", "jump"),
    [
        ("ProxyJump bastion", "bastion"),
        ("ProxyJump me@bastion:2222,second", "me@bastion:2222,second"),
        ("ProxyJump ssh://me@bastion:2222/", "me@bastion:2222"),
        ("ProxyJump [2001:db8::1]:22", "[2001:db8::1]:22"),
        ("ProxyCommand ssh -W %h:%p bastion", "bastion"),
        ("ProxyCommand ssh -q -W [%h]:%p -p 2222 -l me bastion", "me@bastion:2222"),
        ("ProxyCommand ssh me@bastion -W %h:%p", "me@bastion"),
    ],
)
def test_a_jump_host_is_recognised_in_every_notation(option: str, jump: str) -> None:
    host = hosts(f"Host a\n{option}")["a"]

    assert (host.connection, host.proxy_jump, host.proxy_command) == (SshConnection.JUMP, jump, "")


def test_ssh_as_a_proxy_becomes_a_jump_host_of_this_file() -> None:
    # The ssh that ProxyCommand starts would read the configuration of whoever scans.
    text = written("Host a\nProxyCommand ssh -W %h:%p me@bastion")

    assert "ProxyJump me@bastion" in text
    assert "ProxyCommand" not in text


def test_the_first_of_proxyjump_and_proxycommand_wins() -> None:
    found = hosts(
        f"Host a\nProxyCommand none\nHost b\nProxyJump x\nHost a b\nProxyCommand {SSM}\nProxyJump y"
    )

    assert [host.connection for host in found.values()] == [SshConnection.DIRECT, SshConnection.JUMP]


def test_a_proxy_that_ssh_versions_read_differently_is_refused() -> None:
    (refusal,) = check(f"Host b\nHost a\nProxyJump none\nProxyCommand {SSM}", keys=())

    assert (refusal.line, refusal.reason.split(";")[0]) == (2, "a has both ProxyJump none and a ProxyCommand")


def test_enforced_options_come_first_and_defaults_last() -> None:
    text = written("User u\nHost a\nConnectTimeout 60")

    places = [text.index(part) for part in ("StrictHostKeyChecking yes", "User u", "60", "ConnectTimeout 15")]
    assert places == sorted(places)
    assert f"UserKnownHostsFile {FOLDER}/known_hosts" in text


def test_redundant_options_are_accepted_but_not_generated() -> None:
    text = written("Host a\nStrictHostKeyChecking YES\nCheckHostIP yes\nGSSAPIAuthentication no\nUser u")

    assert "YES" not in text
    assert "CheckHostIP no" in text
    assert "GSSAPI" not in text


def test_keys_are_files_of_the_managed_folder() -> None:
    assert f"IdentityFile {FOLDER}/keys/web-key\n" in written("Host a\nIdentityFile web-key", "web-key")


def test_the_generated_file_has_only_parsed_text() -> None:
    text = written("# Hello ${HOME}\nHost a # there\n\tUSER\t=\t'u'".replace("'", '"'))

    assert "Host a\n    User u\n" in text
    assert "Hello" not in text


def test_connections_are_shared_if_there_is_a_folder_for_sockets() -> None:
    first = written("Host a\nHost b\nProxyJump a", sockets="/s")
    other = written("Host a\nHost b\nProxyJump a\nPort 2222", sockets="/s")

    # Not for the jump host: what is behind it can be reached in more than one way.
    assert first.count("ControlMaster auto") == 1
    assert "Host b\n    ControlMaster auto\n    ControlPath /s/" in first
    assert _socket(first) != _socket(other)


def test_connections_are_not_shared_if_the_socket_path_is_too_long() -> None:
    assert "ControlMaster auto" not in written("Host a", sockets="/" + "s" * 70)


def _socket(text: str) -> str:
    return text.split("ControlPath ", 1)[1].split("\n", 1)[0]


@pytest.mark.parametrize("folder", ["/with space", "/semi;colon", "relative", "/per%cent", "/~x", "/$HOME"])
def test_a_folder_with_characters_special_to_a_shell_is_refused(folder: str) -> None:
    with pytest.raises(SshConfigError, match="choose another"):
        render("Host a", keys=(), folder=PurePosixPath(folder))


@pytest.mark.parametrize("use", [lambda text: read(text, keys=()), lambda text: written(text)])
def test_a_wrong_file_is_neither_read_nor_generated(use: object) -> None:
    assert callable(use)
    with pytest.raises(SshConfigError) as refused:
        use("Host a\nMatch all\nLocalCommand id")

    assert [refusal.line for refusal in refused.value.refusals] == [2, 3]
    assert "line 2: Match" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "Host a\nProxyJump b\nHost b\nProxyJump a",
        "Host *\nProxyJump bastion\nHost web",
        "Host a\nProxyCommand ssh -W %h:%p a",
        "Host a\nProxyJump b,c\nHost b\nProxyJump x\nHost x\nProxyJump b",
    ],
)
def test_a_jump_host_that_is_reached_through_itself_is_refused(text: str) -> None:
    assert "through itself" in check(text, keys=())[0].reason


def test_a_jump_host_for_all_hosts_needs_a_block_of_its_own() -> None:
    text = "Host bastion\nProxyJump none\nHost web\nHost *\nProxyJump bastion"

    assert [host.connection for host in read(text, keys=())] == [SshConnection.DIRECT, SshConnection.JUMP]


def test_windows_line_ends_are_accepted() -> None:
    assert hosts("Host a\r\n  User u\r\n")["a"].user == "u"


def test_many_hosts_are_read_quickly() -> None:
    text = (
        "\n".join(f"Host web-{number}\n  HostName 192.0.2.1" for number in range(5000)) + "\nHost *\nUser u"
    )

    assert len(read(text, keys=())) == 5000


MARKED = """\
Host bastion
Host inner
    ProxyJump bastion
Host other-bastion
    # vulsweb: scan
Host further
    ProxyJump other-bastion
    #VulsWeb:  no   SCAN
"""


def test_jump_hosts_are_not_scanned_and_a_comment_decides() -> None:
    hosts = {host.alias: host.scanned for host in read(MARKED, keys=[])}

    assert hosts == {"bastion": None, "inner": True, "other-bastion": True, "further": False}
    assert "vulsweb:" not in render(MARKED, keys=[], folder=FOLDER).lower()


def test_a_misspelt_mark_is_refused() -> None:
    (refusal,) = check("Host a\n    # vulsweb: skan\n", keys=[])

    assert (refusal.line, refusal.reason) == (2, "Write `# vulsweb: scan` or `# vulsweb: no scan`.")
