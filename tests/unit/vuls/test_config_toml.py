"""The servers of config.toml, and the managed sections."""

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from vulsweb.vuls.config_toml import BEGIN, END, STARTER, ConfigTomlError, Plan, parse_servers, plan
from vulsweb.vuls.ssh.config import read


def test_the_first_config_names_this_machine() -> None:
    (server,) = parse_servers(STARTER)

    assert (server.name, server.host, server.scan_modes) == ("localhost", "localhost", ("fast",))
    assert server.section["port"] == "local"


def test_scan_modes_come_from_the_server_or_the_default_or_are_fast() -> None:
    text = """
    [default]
    scanMode = ["fast-root"]
    [servers.a]
    host = "192.0.2.1"
    [servers."b.example"]
    host = "192.0.2.2"
    scanMode = ["fast", "offline"]
    """

    modes = {server.name: server.scan_modes for server in parse_servers(text)}

    assert modes == {"a": ("fast-root",), "b.example": ("fast", "offline")}


def test_a_pseudo_server_needs_no_host() -> None:
    assert parse_servers('[servers.cpe]\ntype = "pseudo"')[0].host == ""


def test_a_file_without_servers_has_none() -> None:
    assert parse_servers("") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[servers.a]\nhost = ", "line 2, column"),
        ("servers = 3", "must be tables"),
        ("[servers]\na = 3", "[servers.a] must be a table"),
        ('[servers.a]\nuser = "x"', "[servers.a] has no host"),
        ("[servers.a]\nhost = 7", "[servers.a] has no host"),
        ('[servers.a]\nhost = "x"\nscanMode = "fast"', "scanMode of [servers.a]"),
    ],
)
def test_a_wrong_file_is_refused_with_line_or_field(text: str, expected: str) -> None:
    with pytest.raises(ConfigTomlError) as refusal:
        parse_servers(text)

    assert expected in str(refusal.value)


def test_a_byte_order_mark_is_skipped_and_stays() -> None:
    assert made("\ufeff" + STARTER).new == "\ufeff" + made(STARTER).new


HANDWRITTEN = """\
# Ours since 2019.
[default]
user = "vuls"

[servers.printer]  # in the cellar
host = '192.0.2.9'

# The last word.
"""
PATH = "/var/lib/vulsweb/ssh/ssh_config"
TEXT = """\
Host web
  HostName 192.0.2.1
  User u
  Port 2222
Host cf
  ProxyCommand cloudflared access ssh --hostname %h
"""


def made(existing: str, text: str = TEXT) -> Plan:
    return plan(existing, read(text, keys=()), ssh_config_path=PATH)


def test_each_host_of_the_ssh_configuration_becomes_a_server() -> None:
    web, cf = parse_servers(made("").new)

    assert web.section == {
        "host": "web",
        "port": "2222",
        "user": "u",
        "scanMode": ["fast", "offline"],
        "sshConfigPath": PATH,
    }
    # Without a user ssh decides, or [default].
    assert cf.section == {"host": "cf", "port": "22", "scanMode": ["offline"], "sshConfigPath": PATH}


@pytest.mark.parametrize(
    "existing",
    [HANDWRITTEN, STARTER, "", "\n\n", "[servers]\n", HANDWRITTEN.replace("\n", "\r\n"), "# no end"],
)
def test_text_outside_the_markers_is_unchanged(existing: str) -> None:
    new = made(existing).new

    assert new.startswith(existing)
    assert made(new).new == new
    assert made(new, "").new.rstrip("\n") == existing.rstrip("\n")
    assert made(existing, "").new == existing


def test_text_after_the_markers_is_unchanged() -> None:
    theirs = '\n# Mine.\n[servers.nas]\nhost = "192.0.2.7"\n# End.'

    assert made(made(HANDWRITTEN).new + theirs, "Host other").new.endswith(f"{END}\n{theirs}")


def test_a_plan_lists_added_changed_and_retired_hosts() -> None:
    before = made(HANDWRITTEN, "Host a\nHost b\nHost c")
    after = made(before.new, "Host a\nHost b\nUser u\nHost d")

    assert before.added == ("a", "b", "c")
    assert (after.added, after.changed, after.retired, after.unchanged) == (("d",), ("b",), ("c",), ("a",))


def test_a_plan_has_a_diff() -> None:
    first = made(HANDWRITTEN, "Host a")

    assert '+user = "u"\n' in made(first.new, "Host a\nUser u").diff
    assert made(first.new, "Host a").diff == ""


def test_a_missing_final_newline_is_no_difference() -> None:
    assert "\n # no end\n+\n+# >>>" in made("# no end").diff


def test_an_unmanaged_server_with_the_same_name_is_unchanged() -> None:
    existing = '[servers.web]\nhost = "mine"\n[servers.CF]\nhost = "mine"\n[servers.cf-ssh1]\nhost = "mine"'
    new = made(existing).new
    hosts = {server.name: server.host for server in parse_servers(new)}

    assert hosts == {"web": "mine", "CF": "mine", "cf-ssh1": "mine", "web-ssh1": "web", "cf-ssh2": "cf"}
    # It keeps that name, since its history goes by it.
    free = made(new.replace('[servers.web]\nhost = "mine"\n', ""))
    assert free.unchanged == ("web-ssh1", "cf-ssh2")


def test_hosts_whose_names_differ_only_in_case_get_different_keys() -> None:
    assert made("", "Host web\nHost Web").added == ("web", "Web-ssh1")


def test_a_name_with_dots_is_one_key() -> None:
    assert made("", "Host a.example.com").added == ("a.example.com",)


def test_fields_added_to_managed_servers_are_kept() -> None:
    tuned = made("").new.replace("[servers.web]\n", '[servers.web]\nignoreCves = ["CVE-2020-1"] # known\n')
    moved = made(tuned, TEXT.replace("2222", "22"))

    assert 'ignoreCves = ["CVE-2020-1"] # known\n' in moved.new
    assert moved.changed == ("web",)


def test_an_edited_host_of_a_managed_server_is_restored() -> None:
    assert made(made("").new.replace('host = "web"', 'host = "evil"')).changed == ("web",)


def test_an_unmanaged_server_between_the_markers_is_kept() -> None:
    existing = made("").new.replace(END, f'[servers.nas]\nhost = "x"\n{END}')
    after = made(existing, "Host nas")

    assert after.retired == ("web", "cf")
    assert {server.name: server.host for server in parse_servers(after.new)} == {
        "nas-ssh1": "nas",
        "nas": "x",
    }


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ("[servers.a", "line 1, column"),
        ("a = 1\na = 2", "config.toml"),
        (f"{BEGIN}\n", "the two marker lines"),
        (f"{END}\n", "the two marker lines"),
        (f"{END}\n{BEGIN}\n", "the two marker lines"),
        (f"{BEGIN}\n{BEGIN}\n{END}\n", "the two marker lines"),
        (f'{BEGIN}\n[servers.a]\nhost = "a"\n{END}\nuser = "x"', "'user = \"x\"' follows the managed hosts"),
        (f"{BEGIN}\n[cveDict]\n{END}\n", "move [cveDict] out"),
        ('servers = {a = {host = "a"}}', "write each server as a section"),
    ],
)
def test_a_file_that_cannot_be_changed_is_refused(existing: str, expected: str) -> None:
    with pytest.raises(ConfigTomlError) as refusal:
        made(existing)

    assert expected in str(refusal.value)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([*made(HANDWRITTEN).new.splitlines(), "x = 1", '"""', "", "[[a]]"]), max_size=12)
)
def test_any_file_is_changed_or_refused(lines: list[str]) -> None:
    existing = "\n".join(lines)
    try:
        after = made(existing)
    except ConfigTomlError:
        return

    assert made(after.new).new == after.new
    ours = {*after.added, *after.changed, *after.unchanged, *after.retired}
    assert _others(existing, ours) == _others(after.new, ours)


def _others(text: str, ours: set[str]) -> dict[str, object]:
    document = tomlkit.parse(text).unwrap()
    servers = document.pop("servers", {})
    return document | {"servers": {name: server for name, server in servers.items() if name not in ours}}


def test_a_jump_host_stays_if_it_was_scanned_and_is_left_out_if_it_is_new() -> None:
    jump = "Host bastion\nHost inner\n  ProxyJump bastion\n"
    new = made("", jump)
    before = made("", "Host bastion")

    assert (new.added, new.left_out) == (("inner",), ("bastion",))
    assert (made(before.new, jump).unchanged, made(before.new, jump).left_out) == (("bastion",), ())
    marked = jump.replace("Host inner", "# vulsweb: no scan\nHost inner")
    assert made(before.new, marked).retired == ("bastion",)
    assert made("", marked.replace("no scan", "scan")).added == ("bastion", "inner")
