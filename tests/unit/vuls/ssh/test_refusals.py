"""What is never allowed in the managed ssh_config, with line and reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vulsweb.vuls.ssh.config import check, without_refused
from vulsweb.vuls.ssh.lines import LONGEST_FILE, LONGEST_LINE, MOST_REFUSALS

SSM = "aws ssm start-session --target %h --document-name AWS-StartSSHSession"
IAP = "gcloud compute start-iap-tunnel %h %p --listen-on-stdin"
CF = "cloudflared access ssh --hostname %h"
RUNS = "can run a program"
ALLOWED = "A ProxyCommand can be aws ssm"
SHELL = "run by a shell"
FLAG = "The flag"
KNOWN = "Vuls Web manages host keys"
KEY = "There is no key"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        # Programs.
        ('Match exec "id"', "Match can run programs"),
        ("Match host x exec id", "Match can run programs"),
        ("match all", "Match can run programs"),
        ("MATCH=all", "Match can run programs"),
        ("LocalCommand id", RUNS),
        ("PermitLocalCommand yes", RUNS),
        ("KnownHostsCommand /bin/sh", RUNS),
        ("PKCS11Provider /tmp/x.so", RUNS),
        ("SmartcardDevice /tmp/x.so", RUNS),
        ("SecurityKeyProvider /tmp/x.so", RUNS),
        ("XAuthLocation /tmp/x", RUNS),
        ("EnableSSHKeysign yes", RUNS),
        ("ProxyUseFdpass yes", RUNS),
        ("RemoteCommand id", "its own commands"),
        # Files.
        ("Include /etc/ssh/ssh_config", "paste that file's content"),
        ("Include managed", "paste that file's content"),
        ("IdentityFile ~/.ssh/id_rsa", KEY),
        ("IdentityFile /keys/web-key", "Write the bare name of the key: IdentityFile web-key."),
        ("IdentityFile ../keys/web-key", "Write the bare name"),
        ("IdentityFile ${HOME}/x", KEY),
        ("IdentityFile %d/x", KEY),
        ("IdentityFile other-key", KEY),
        ("IdentityFile web-key other", "takes one value"),
        ("CertificateFile web-key", "Certificates are not supported"),
        ("UserKnownHostsFile /dev/null", KNOWN),
        ("GlobalKnownHostsFile /dev/null", KNOWN),
        ("NoHostAuthenticationForLocalhost yes", KNOWN),
        ("RevokedHostKeys /etc/passwd", "outside the managed folder"),
        ("ControlPath /tmp/x", "where connections are shared"),
        ("ControlMaster auto", "when connections are shared"),
        ("IdentityAgent /tmp/agent", "can only be none"),
        ("IdentityAgent SSH_AUTH_SOCK", "can only be none"),
        # Host keys.
        ("StrictHostKeyChecking no", "Host keys are always checked"),
        ("StrictHostKeyChecking accept-new", "Host keys are always checked"),
        ("StrictHostKeyChecking=ask", "Host keys are always checked"),
        ("VerifyHostKeyDNS yes", "can only be no"),
        ("UpdateHostKeys yes", "can only be no"),
        ("HostKeyAlias $(id)", "plain name"),
        # What leaves the machine.
        ("SendEnv *", "is not sent to hosts"),
        ("SetEnv A=b", "leave it out"),
        ("ForwardAgent yes", "no forwarding"),
        ("ForwardAgent /tmp/agent", "no forwarding"),
        ("ForwardX11 yes", "no forwarding"),
        ("LocalForward 8080 localhost:80", "no forwarding"),
        ("RemoteForward 8080 localhost:80", "no forwarding"),
        ("DynamicForward 1080", "no forwarding"),
        ("Tunnel yes", "no forwarding"),
        ("PasswordAuthentication yes", "can only be no"),
        ("GSSAPIAuthentication yes", "can only be no"),
        ("HostbasedAuthentication yes", "can only be no"),
        ("BatchMode no", "can only be yes"),
        # What makes one line mean another.
        ("IgnoreUnknown *", "misspelt"),
        ("CanonicalizeHostname yes", "can only be no"),
        ("Tag x", "option is not allowed"),
        ("NoSuchOption x", "option is not allowed"),
        ("LogLevel DEBUG3", "quiet or fatal"),
        ("Ciphers none", "not an algorithm"),
        ("Ciphers ++aes128-cbc", "not an algorithm"),
        ("KexAlgorithms +curve25519-sha256,", "not an algorithm"),
        ("MACs *", "not an algorithm"),
        ("HostKeyAlgorithms +ssh-dss", "not an algorithm"),
        # Names.
        ("HostName -oProxyCommand=id", "plain host name"),
        ("HostName a;id", "plain host name"),
        ("HostName `id`", "plain host name"),
        ("HostName $(id)", "plain host name"),
        ("HostName %n", "plain host name"),
        ("HostName a/24", "plain host name"),
        ('HostName "a b"', "plain host name"),
        ('HostName ""', "plain host name"),
        ("HostName a b", "takes one value"),
        ("User -oProxyCommand=id", "plain user name"),
        ("User a;id", "plain user name"),
        ("User a'b", "double quotes"),
        ("User DOMAIN\\\\u", "backslash can only be between"),
        ("User DOMAIN\\u\\v", "one backslash"),
        ("User DOMAIN\\ u", "backslash can only be between"),
        ('User "DOMAIN\\"u"', "backslash can only be between"),
        ("User \\u", "one backslash"),
        ("User " + "u" * 256, "at most 255"),
        ("User ${USER}", "plain user name"),
        ("User %u", "plain user name"),
        ("Port 0", "a port from 1 to 65535"),
        ("Port 65536", "a port from 1 to 65535"),
        ("Port ssh", "a port from 1"),
        ("Port == 22", "takes one value"),
        ("Port ２２", "ASCII"),
        ("ConnectTimeout 10m", "of at most 300 seconds"),
        ("ConnectTimeout NONE", "such as 30, 10s or 1m30s"),
        ("ConnectTimeout -1", "such as 30, 10s or 1m30s"),
        ("ConnectTimeout 1y", "such as 30, 10s or 1m30s"),
        ("ServerAliveInterval 2h", "of at most 3600 seconds"),
        ("ServerAliveInterval m", "such as 30, 10s or 1m30s"),
        ("ServerAliveInterval 1 m", "takes one value"),
        ("ServerAliveCountMax none", "a number from 0 to 100"),
        ("BindAddress $(id)", "address of this machine"),
        ("BindAddress -x", "address of this machine"),
        ("BindInterface ../x", "network interface"),
        ("Protocol 1", "only version 2"),
        ("AddKeysToAgent yes", "without an agent"),
        ("UseKeychain yes", "Only ssh on macOS"),
        ("ProxyJump -oProxyCommand=id", "is not a jump host"),
        ("ProxyJump a;id", "is not a jump host"),
        ("ProxyJump $(id)", "is not a jump host"),
        ("ProxyJump a b", "is not a jump host"),
        ("ProxyJump b#comment", "is not a jump host"),
        ("ProxyJump None # comment", "takes none for a jump host"),
        ("ProxyJump # comment", "value is missing"),
        ("ProxyJump ssh://%r@b", "is not a jump host"),
        ("ProxyJump DOMAIN\\u@b", "is not a jump host"),
        ("ProxyJump [fe80::1%%eth0]", "is not a jump host"),
        ('ProxyJump "b"', "is not a jump host"),
        ("ProxyJump b,", "is not a jump host"),
        ("ProxyJump b:0", "is not a jump host"),
        ("ProxyJump b:99999", "is not a jump host"),
        ("ProxyJump %h", "is not a jump host"),
        ("ProxyJump user@-b", "is not a jump host"),
        ("ProxyJump SSH://b", "is not a jump host"),
        # A shell's signs in a ProxyCommand.
        *(
            (f"ProxyCommand {SSM}{sign}", SHELL)
            for sign in (";id", "|sh", "&", "$X", "`id`", "$(id)", ">x", "<x")
        ),
        *(
            (f"ProxyCommand {SSM} {sign}", SHELL)
            for sign in ("{a,b}", "\\", "*", "?", "~", "a#x", "!x", "^x")
        ),
        ("ProxyCommand 'id", "not closed"),
        ('ProxyCommand sh -c "\'id"', "not closed"),
        ("ProxyCommand =", "value is missing"),
        ("ProxyCommand ''", ALLOWED),
        # Programs that are not on the list, however they are called.
        ("ProxyCommand nc %h %p", ALLOWED),
        ("ProxyCommand /bin/sh", ALLOWED),
        ("ProxyCommand sh -c id", ALLOWED),
        ("ProxyCommand sh -c sh -c id", ALLOWED),
        ("ProxyCommand exec nc %h %p", ALLOWED),
        ("ProxyCommand none # comment", ALLOWED),
        ("ProxyCommand exec", ALLOWED),
        ("ProxyCommand exec -a aws sh", ALLOWED),
        (f"ProxyCommand exec exec {SSM}", ALLOWED),
        (f"ProxyCommand exec PATH=/tmp {SSM}", "cannot set the variable PATH; leave it out"),
        (f"ProxyCommand env A=b {SSM}", "cannot set the variable A; leave it out"),
        (f"ProxyCommand PATH=/tmp {SSM}", "cannot set the variable PATH; leave it out"),
        (f"ProxyCommand AWS_REGION=eu-1 {SSM}", "write --region eu-1 behind the program"),
        (f"ProxyCommand /tmp/{SSM}", ALLOWED),
        (f"ProxyCommand ./{SSM}", ALLOWED),
        ("ProxyCommand aws/bin/ ssm start-session --target %h", ALLOWED),
        (f"ProxyCommand /usr/bin/../../tmp/{SSM}", ALLOWED),
        ("ProxyCommand python3 gcloud.py compute start-iap-tunnel %h %p", ALLOWED),
        # Signs with %.
        (f"ProxyCommand {SSM} --region %u", "only %h, %p, %r and %n"),
        (f"ProxyCommand {SSM} --region %%h", "only %h, %p, %r and %n"),
        (f"ProxyCommand {SSM} --region %", "only %h, %p, %r and %n"),
        # aws.
        ("ProxyCommand aws", "Words are missing"),
        ("ProxyCommand aws s3 cp x -", "is not allowed here"),
        ("ProxyCommand aws ssm send-command", "is not allowed here"),
        ("ProxyCommand aws ssm start-session --target %h", "needs --document-name"),
        (f"ProxyCommand {SSM} --document-name AWS-StartPortForwardingSession", "cannot be"),
        (f"ProxyCommand {SSM} --parameters file:///etc/passwd", "cannot be"),
        (f"ProxyCommand {SSM} --parameters portNumber=22,host=x", "cannot be"),
        (f"ProxyCommand {SSM} --target file:///etc/passwd", "cannot be"),
        (f"ProxyCommand {SSM} --target", "cannot be ''"),
        (f"ProxyCommand {SSM} --cli-input-json file:///etc/passwd", FLAG),
        (f"ProxyCommand {SSM} --endpoint-url https://evil.example", FLAG),
        (f"ProxyCommand {SSM} --ca-bundle /tmp/x", FLAG),
        (f"ProxyCommand {SSM} --debug", FLAG),
        (f"ProxyCommand {SSM} --no-verify-ssl", FLAG),
        (f"ProxyCommand {SSM} --regio eu", FLAG),
        (f"ProxyCommand {SSM} extra", "one word too many"),
        (f"ProxyCommand {SSM} -- x", "no `--`"),
        ("ProxyCommand aws ec2-instance-connect ssh --instance-id %h", "is not allowed here"),
        ("ProxyCommand aws ec2-instance-connect open-tunnel --instance-id %h --local-port 22", FLAG),
        # gcloud.
        ("ProxyCommand gcloud compute start-iap-tunnel %h %p", "needs --listen-on-stdin"),
        (f"ProxyCommand {IAP} --local-host-port=localhost:22", FLAG),
        (f"ProxyCommand {IAP} --flags-file=x", FLAG),
        (f"ProxyCommand {IAP} --access-token-file=x", FLAG),
        (f"ProxyCommand {IAP} --iap-tunnel-url-override=x", FLAG),
        (f"ProxyCommand {IAP} --listen-on-stdin=x", "cannot be"),
        ("ProxyCommand gcloud compute ssh web", "there must be `-- -W %h:%p`"),
        ("ProxyCommand gcloud compute ssh web --ssh-flag=-v -- -W %h:%p", FLAG),
        ("ProxyCommand gcloud compute ssh web --command=id -- -W %h:%p", FLAG),
        ("ProxyCommand gcloud compute ssh web --ssh-key-file=x -- -W %h:%p", FLAG),
        ("ProxyCommand gcloud compute ssh web -- -W %h:%p -oProxyCommand=id", "there must be"),
        ("ProxyCommand gcloud compute ssh web -- -oProxyCommand=id -W %h:%p", "there must be"),
        ("ProxyCommand gcloud compute scp a b", "is not allowed here"),
        # cloudflared.
        ("ProxyCommand cloudflared access ssh", "needs --hostname"),
        ("ProxyCommand cloudflared tunnel run", "is not allowed here"),
        (f"ProxyCommand {CF} --config /tmp/x", FLAG),
        (f"ProxyCommand {CF} --logfile /tmp/x", FLAG),
        (f"ProxyCommand {CF} --url localhost:22", FLAG),
        (f"ProxyCommand {CF} --hostname -x", "cannot be"),
        # ssh.
        ("ProxyCommand ssh bastion nc %h %p", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -W %h:%p -F /tmp/x bastion", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -W %h:%p -i /tmp/x bastion", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -W %h:%p -E /tmp/x bastion", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -W %h:%p -S /tmp/x bastion", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -W %h:%p -J x bastion", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -oProxyCommand=id -W %h:%p bastion", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -W %h:%p bastion id", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -W %h:22 bastion", "only `ssh -W %h:%p JUMPHOST`"),
        ("ProxyCommand ssh bastion", "only `ssh -W %h:%p JUMPHOST`"),
        ("ProxyCommand ssh -W %h:%p", "is not a jump host"),
        ("ProxyCommand ssh -W %h:%p none", "is not a jump host"),
        ("ProxyCommand ssh -W %h:%p -l -oProxyCommand=id bastion", "is not a jump host"),
        ("ProxyCommand ssh -W %h:%p a,b", "is not a jump host"),
        ("ProxyCommand ssh -W %h:%p -p 1 -p2 bastion", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -AW %h:%p bastion", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -qoProxyCommand=id -W %h:%p bastion", "cannot be used with `ssh -W`"),
        ("ProxyCommand ssh -W %h:%p -- -oProxyCommand=id", "is not a jump host"),
        # Lines that are none.
        ("HostName", "not an option with a value"),
        ('"HostName" x', "not an option with a value"),
        ("=HostName x", "not an option with a value"),
        ("HostName # only a comment", "value is missing"),
        ('HostName "x', "pairs of double quotes"),
        ('HostName "x"y"', "pairs of double quotes"),
        ("HostName x\\", "backslash can only be between"),
        ("HostName fe80::1%eth0", "%% for the % of a zone"),
        ("HostName x\x00", "U+0000"),
        ("HostName x\rLocalCommand id", "U+000D"),
        ("HostName x\x0b", "U+000B"),
        ("# comment\x1b[2J", "U+001B"),
        ("# comment\u2028LocalCommand id", "U+2028"),
        ("# comment\x85LocalCommand id", "U+0085"),
        ("# \u202ecomment", "U+202E"),
        ("\ufeffHostName x", "U+FEFF"),
        ("# comment \udcff", "U+DCFF"),
        ("HostName bücher.example", "ASCII"),
        ("H\u043estName x", "ASCII"),
        ("# " + "x" * LONGEST_LINE, "longer than"),
    ],
)
def test_the_refusal_has_the_line_and_the_reason(option: str, expected: str) -> None:
    (refusal,) = check(f"Host a\n{option}\nUser u", keys=("web-key",))

    assert refusal.line == 2
    assert expected in refusal.reason


@pytest.mark.parametrize(
    "pattern",
    [
        "-x",
        "a;id",
        "a/b",
        "$(id)",
        "a,b",
        "a@b",
        '""',
        "[a]",
        "2001:db8::1",
        "a" * 101,
        ".hidden",
        "**a*b*c*d*",
    ],
)
def test_a_wrong_host_name_is_refused(pattern: str) -> None:
    (refusal,) = check(f"Host ok\nHost {pattern}", keys=())

    assert refusal.line == 2


@pytest.mark.parametrize(
    "proxy",
    ["ProxyJump %r@b", "ProxyCommand ssh -W %h:%p %r@b", "ProxyCommand gcloud compute ssh %r@a -- -W %h:%p"],
)
def test_a_backslash_that_a_shell_would_lose_is_refused(proxy: str) -> None:
    (refusal,) = check(f"Host a\n{proxy}\nHost *\nUser DOMAIN\\u", keys=())

    assert (refusal.line, "lose the backslash in the user of a" in refusal.reason) == (1, True)


def test_refusals_are_in_the_order_of_the_file() -> None:
    text = "LocalCommand a\nHost a\n\u2028\nPort x\nHost -b"

    assert [refusal.line for refusal in check(text, keys=())] == [1, 3, 4, 5]


def test_invisible_characters_are_not_repeated() -> None:
    (refusal,) = check("User \x1b[2Ju", keys=())

    assert refusal.text == "User  [2Ju"


def test_a_binary_file_gets_a_limited_number_of_refusals() -> None:
    assert len(check("\x00\n" * 10000, keys=())) == MOST_REFUSALS
    assert "KiB" in check("x" * (LONGEST_FILE + 1), keys=())[0].reason


def test_a_key_name_that_is_a_path_is_refused() -> None:
    assert check("IdentityFile ../x", keys=("../x",))


def test_too_many_patterns_are_refused() -> None:
    text = "Host *a*b*c*d*\n" * 201 + "\n".join(f"Host abc{number}" for number in range(5000))

    (refusal,) = check(text.replace("d*", "d"), keys=())

    assert (refusal.line, "more than 200 names" in refusal.reason) == (201, True)


WRONG = """\
Host *
    User scanner
    LocalCommand reboot

# About the first.
Host bad!name
    User root

# About the second.
Host web-1
    HostName 192.0.2.1
Match host web-1
    User root
Host one
    ProxyJump two
Host two
    ProxyJump one
"""


def test_what_is_refused_is_removed_and_a_host_line_with_its_block() -> None:
    fixed, removed = without_refused(WRONG, keys=())

    kept = [
        *("Host *", "    User scanner", "", "# About the first.", "", "# About the second."),
        *("Host web-1", "    HostName 192.0.2.1", ""),
    ]
    assert fixed.split("\n") == kept
    assert [refusal.line for refusal in removed] == [3, 6, 7, 12, 13, 14, 15, 16, 17]
    assert removed[2].reason == "It belongs to that Host line."
    assert check(fixed, keys=()) == []


LINES = [*WRONG.split("\n"), "\x00", "Port x", "Include *", "IdentityFile gone", "Host a", "ProxyJump a", "}"]


@given(st.lists(st.sampled_from(LINES), max_size=30))
def test_nothing_but_lines_of_the_text_stays_and_all_of_it_is_accepted(lines: list[str]) -> None:
    fixed, removed = without_refused("\n".join(lines), keys=())

    numbers = {refusal.line for refusal in removed}
    assert check(fixed, keys=()) == []
    assert fixed.split("\n") == [
        line for number, line in enumerate(lines or [""], 1) if number not in numbers
    ] or (fixed == "" and len(numbers) == len(lines))


def test_a_file_that_is_too_long_is_left_as_it_is() -> None:
    long = "Port x\n" * LONGEST_FILE

    assert without_refused(long, keys=()) == (long.removesuffix("\n") + "\n", [])
