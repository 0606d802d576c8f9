"""Lines from public reports and files: what ssh reads, what we read, and what we write for ssh."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import needs
from vulsweb.vuls.ssh import config
from vulsweb.vuls.ssh.proxy import SshConnection

IAP = "gcloud compute start-iap-tunnel %h %p --listen-on-stdin --project=p1 --zone=europe-west1-b"
IAP_TO_22 = IAP.replace("%p", "22") + " --verbosity=warning --iap-tunnel-disable-connection-check"
IAP_SSH = "gcloud compute ssh %r@vm-name --zone=us-west1-a --project=my-project --tunnel-through-iap --plain"
SSM = "aws ssm start-session --target %h --document-name AWS-StartSSHSession --parameters portNumber=%p"
OCI = "ocid1.bastionsession.oc1.eu-frankfurt-1.amaaaaaaz5" + "example" * 8 + "q"
JUMP, GCP, AWS, DIRECT = (
    SshConnection.JUMP,
    SshConnection.GCP_IAP,
    SshConnection.AWS_SSM,
    SshConnection.DIRECT,
)


def _ssh(path: Path, text: str, alias: str = "a") -> list[str]:
    """Return the options that the real ssh uses, line by line."""
    if shutil.which("ssh") is None:
        needs.lacking("ssh is missing: the package is openssh-client.")
    path.write_text(text)
    done = subprocess.run(["ssh", "-G", "-F", path, "--", alias], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stderr, text)
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "connection", "written"),
    [
        # exec puts the program in the shell's place.
        (f"ProxyCommand exec {IAP}", GCP, f"proxycommand {IAP}"),
        (f"ProxyCommand exec {SSM}", AWS, f"proxycommand {SSM}"),
        (f'ProxyCommand sh -c "exec {SSM}"', AWS, f"proxycommand {SSM}"),
        (f"ProxyCommand exec /usr/bin/{SSM}", AWS, f"proxycommand {SSM}"),
        ("ProxyCommand exec ssh -W %h:%p jump.example.com", JUMP, "proxyjump jump.example.com"),
        # Flags that change nothing for what runs.
        (f"ProxyCommand {IAP_SSH} -- -W %h:%p", GCP, f"proxycommand {IAP_SSH} -- -W %h:%p"),
        (f"ProxyCommand {IAP_TO_22}", GCP, f"proxycommand {IAP_TO_22}"),
        (f"ProxyCommand {IAP} -q", GCP, f"proxycommand {IAP} -q"),
        (f"ProxyCommand {IAP} --no-user-output-enabled", GCP, f"proxycommand {IAP} --no-user-output-enabled"),
        (f"ProxyCommand {SSM} --no-cli-pager", AWS, f"proxycommand {SSM} --no-cli-pager"),
        (f"ProxyCommand {SSM} --output=json", AWS, f"proxycommand {SSM} --output=json"),
        # ssh's flags, with their values attached or in groups.
        ("ProxyCommand ssh -p2222 -lme -W %h:%p b", JUMP, "proxyjump me@b:2222"),
        ("ProxyCommand ssh -qTW %h:%p b", JUMP, "proxyjump b"),
        ("ProxyCommand ssh -W%h:%p -p 2222 -- b", JUMP, "proxyjump b:2222"),
        ("ProxyCommand ssh -W %h:%p -q %r@jump.example.com", JUMP, "proxyjump %r@jump.example.com"),
        ("ProxyCommand ssh -l %r -W %h:%p b", JUMP, "proxyjump %r@b"),
        ("ProxyJump %r@b,%r@c", JUMP, "proxyjump %r@b,%r@c"),
        (f"ProxyCommand ssh -W %h:%p {OCI}@b", JUMP, f"proxyjump {OCI}@b"),
        # Comments behind values. ssh cuts them from a ProxyJump, the shell from a ProxyCommand.
        ("ProxyJump b # via bastion", JUMP, "proxyjump b"),
        ("ProxyJump b,c\t#über \"b'", JUMP, "proxyjump b,c"),
        (f"ProxyCommand {SSM} # 'für' 100%", AWS, f"proxycommand {SSM}"),
        ("User me # größer's \\", DIRECT, "user me"),
        ("Port 2222 #ü", DIRECT, "port 2222"),
        # Users.
        ("User EXAMPLE\\me", DIRECT, "user EXAMPLE\\me"),
        ('User "EXAMPLE\\me"', DIRECT, "user EXAMPLE\\me"),
        ('User "EXAMPLE"\\me.too@x', DIRECT, "user EXAMPLE\\me.too@x"),
        ("User EXAMPLE\\new", DIRECT, "user EXAMPLE\\new"),
        (f"User {OCI}", DIRECT, f"user {OCI}"),
        (f"User {'u' * 255}", DIRECT, f"user {'u' * 255}"),
        # TIME FORMATS of ssh_config(5).
        ("ConnectTimeout 10s", DIRECT, "connecttimeout 10"),
        ("ConnectTimeout 1M30", DIRECT, "connecttimeout 90"),
        ("ServerAliveInterval 1m", DIRECT, "serveraliveinterval 60"),
        ("ServerAliveInterval 0h30m1S", DIRECT, "serveraliveinterval 1801"),
        ("ServerAliveCountMax 0", DIRECT, "serveralivecountmax 0"),
        # Where the connection starts, and zones of addresses.
        ("BindAddress 192.0.2.100", DIRECT, "bindaddress 192.0.2.100"),
        ("BindAddress fe80::2%eth0", DIRECT, "bindaddress fe80::2%eth0"),
        ("BindInterface eth0.1", DIRECT, "bindinterface eth0.1"),
        ("HostName fe80::1%%eth0", DIRECT, "hostname fe80::1%eth0"),
        # What changes nothing is taken, and not written.
        ("Protocol 2", DIRECT, "hostname 192.0.2.1"),
        ("Protocol 2,1", DIRECT, "hostname 192.0.2.1"),
        ("NumberOfPasswordPrompts 1", DIRECT, "numberofpasswordprompts 3"),
        ("ExitOnForwardFailure yes", DIRECT, "exitonforwardfailure no"),
        ("EscapeChar none", DIRECT, "escapechar ~"),
        ("FingerprintHash md5", DIRECT, "fingerprinthash SHA256"),
        # For ssh, none sets nothing, so our defaults hold.
        ("ConnectTimeout none", DIRECT, "connecttimeout 15"),
        ("ConnectTimeout none\n ConnectTimeout 20", DIRECT, "connecttimeout 20"),
        ("ServerAliveInterval none", DIRECT, "serveraliveinterval 15"),
        # Without a limit, one host could hold up its scan.
        ("ConnectTimeout 0", DIRECT, "connecttimeout 300"),
    ],
)
def test_what_is_harmless_is_accepted(
    line: str, connection: SshConnection, written: str, tmp_path: Path
) -> None:
    text = f"Host a\n    {line}\n    HostName 192.0.2.1\n"

    _ssh(tmp_path / "theirs", text)
    (host,) = config.read(text, keys=())
    generated = _ssh(tmp_path / "ours", config.render(text, keys=(), folder=tmp_path))

    assert host.connection == connection
    assert written in generated


@pytest.mark.parametrize(
    "line", ["ServerAliveCountMax 0", "ServerAliveCountMax 0\n    ServerAliveInterval 1m"]
)
def test_a_silent_command_is_ended_only_after_an_interval_that_the_file_names(
    line: str, tmp_path: Path
) -> None:
    # With count 0, ssh ends a connection after one silent interval.
    text = f"Host a\n    {line}\nHost b\n"

    generated = config.render(text, keys=(), folder=tmp_path)

    own = "60" if "1m" in line else "0"
    assert f"serveraliveinterval {own}" in _ssh(tmp_path / "ours", generated)
    assert "serveraliveinterval 15" in _ssh(tmp_path / "ours", generated, "b")


def test_a_variable_is_refused_with_the_flag_that_replaces_it() -> None:
    quoted = "'portNumber=%p'"
    command = f"AWS_PROFILE=prod {SSM.replace('portNumber=%p', quoted)}"
    text = f'Host a\n    HostName i-0\n    ProxyCommand sh -c "{command}"\n'

    (refusal,) = config.check(text, keys=())

    assert refusal.line == 3
    assert "write --profile prod behind the program instead" in refusal.reason
