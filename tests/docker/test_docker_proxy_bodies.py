"""What the proxy before Docker takes for a body; what Docker starts has to be confined."""

import copy
import json
import re
from typing import Any

import pytest
import requests

from tests.docker.api_fields import CONTAINER_FIELDS, HOST_FIELDS, spellings
from tests.docker.proxies import DockerProxy
from tests.images import TOOLS_ROOT
from tests.support.waiting import patience

# The first of them may have to build the images.
pytestmark = pytest.mark.timeout(patience(900))

LARGE_HEADERS = {f"X-Padding-{number}": "x" * 6000 for number in range(4)}


def test_what_the_executor_sends_is_created(shared: DockerProxy, wanted: dict[str, Any]) -> None:

    assert shared.judged(shared.create(wanted)) == 201
    # The whole of a body counts, however it is cut into pieces.
    whole = json.dumps(wanted).encode()
    pieces = (whole[at : at + 7] for at in range(0, len(whole), 7))
    sent = requests.post(f"{shared.url}/containers/create", data=pieces, timeout=patience(60))
    assert shared.judged(sent) == 201
    # Null is what the SDK sends for what it does not set.
    assert shared.judged(shared.create({**wanted, "Entrypoint": None, "Volumes": None})) == 201


@pytest.mark.parametrize(
    ("place_of_field", "name", "value"),
    [
        *(("", name, value) for name, value in CONTAINER_FIELDS),
        *(("HostConfig", name, value) for name, value in HOST_FIELDS),
    ],
)
def test_no_other_field_of_dockers_api_comes_through_in_any_spelling(
    shared: DockerProxy, wanted: dict[str, Any], place_of_field: str, name: str, value: Any
) -> None:
    marked = copy.deepcopy(wanted)
    (marked[place_of_field] if place_of_field else marked)["@"] = value
    body = json.dumps(marked)

    for spelling in spellings(name):
        answer = shared.create(body.replace('"@"', spelling).encode())

        assert shared.judged(answer) == 403, spelling
        assert answer.json()["message"].startswith("The Docker proxy does not allow this.")


LIMITS = (
    *("CapDrop", "SecurityOpt", "ReadonlyRootfs", "Memory", "MemorySwap", "NanoCpus", "PidsLimit"),
    *("NetworkMode", "LogConfig", "Tmpfs"),
)


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_is_demanded(shared: DockerProxy, wanted: dict[str, Any], name: str) -> None:
    ours = wanted["HostConfig"].pop(name)
    others: list[Any] = [None, 0, 1, -1, 1e300, True, False, "", "host", "bridge", [], {}, [ours]]

    assert shared.judged(shared.create(wanted)) == 403
    for value in others:
        wanted["HostConfig"][name] = value
        expected = 201 if value is ours else 403
        assert shared.judged(shared.create(wanted)) == expected, value


def test_only_its_own_volumes_can_be_mounted_where_they_belong(
    shared: DockerProxy, wanted: dict[str, Any]
) -> None:
    bind = {"Type": "bind", "Source": "/", "Target": "/host"}
    others = [
        [bind],
        [shared.mount("jobs"), bind],
        [shared.mount("databases", ReadOnly=False)],
        [shared.mount("ssh", ReadOnly=0)],
        [shared.mount("jobs", Source="vulsweb_postgres")],
        [shared.mount("jobs", Source=f"other-{shared.place.name}-jobs")],
        [shared.mount("jobs", Source=str(shared.place.jobs), Type="bind")],
        [shared.mount("jobs", Target="/etc")],
        [shared.mount("jobs", VolumeOptions={"DriverConfig": {"Name": "local", "Options": {"device": "/"}}})],
        [shared.mount("jobs", BindOptions={"Propagation": "shared"})],
        [shared.mount("jobs"), shared.mount("jobs")],
        {"Type": "bind"},
    ]

    found = [shared.create(wanted | {"HostConfig": wanted["HostConfig"] | {"Mounts": one}}) for one in others]

    assert [shared.judged(answer) for answer in found] == [403] * len(others)


@pytest.mark.parametrize("image", ["vuls/vuls", "alpine", "sha256:" + "0" * 64, TOOLS_ROOT])
def test_only_the_tools_images_are_started(shared: DockerProxy, wanted: dict[str, Any], image: str) -> None:
    if image == TOOLS_ROOT:  # which is on this machine
        image = shared.place.engine.docker("image", "inspect", "--format={{.Id}}", image)

    answer = shared.create(wanted | {"Image": image})

    assert (shared.judged(answer), "Image" in answer.json()["message"]) == (403, True)


@pytest.mark.parametrize(
    "wanted",
    [
        {"Name": "{}", "Driver": "macvlan"},
        {"Name": "{}", "Driver": "host"},
        {"Name": "{}"},
        {"Name": "vulsweb-x-tools", "Driver": "bridge"},
        {"Name": "{}", "Driver": "bridge", "Options": {"com.docker.network.bridge.name": "docker0"}},
        {"Name": "{}", "Driver": "bridge", "IPAM": {"Config": [{"Subnet": "203.0.113.0/24"}]}},
        {"Name": "{}", "Driver": "bridge", "ipam": {"Config": []}},
        {"Name": "{}", "Driver": "bridge", "Internal": False},
        {"Name": "{}", "Driver": "bridge", "ConfigFrom": {"Network": "other"}},
    ],
    ids=json.dumps,
)
def test_a_network_other_than_the_plain_one_of_the_tools_is_refused(
    shared: DockerProxy, wanted: dict[str, Any]
) -> None:
    body = json.dumps(wanted).replace("{}", shared.place.name)

    answer = requests.post(f"{shared.url}/networks/create", data=body, timeout=patience(30))

    assert answer.status_code == 403


def test_a_body_that_two_readers_could_read_differently_is_refused(
    shared: DockerProxy, wanted: dict[str, Any]
) -> None:
    text = json.dumps(wanted)
    bind = '"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]'
    padding = " " * (49_000 - len(text))
    odd: dict[str, bytes] = {
        "the end of a long body": text.replace('{"Image"', "{" + padding + '"Image"')
        .replace('"CapDrop"', f'{bind}, "CapDrop"')
        .encode(),
        "a name twice": text.replace('"CapDrop"', f'{bind}, "CapDrop"').encode(),
        "a name twice in another case": text.replace('"CapDrop"', f'{bind.lower()}, "CapDrop"').encode(),
        "the whole twice": text.replace('{"Image"', '{"HostConfig": {"Privileged": true}, "Image"').encode(),
        "two documents": (text + '{"HostConfig": {"Privileged": true}}').encode(),
        "a comment": text.replace('"CapDrop"', '/* , */ "CapDrop"').encode(),
        "a comma at the end": (text[:-1] + ",}").encode(),
        "a mark of byte order": b"\xef\xbb\xbf" + text.encode(),
        "UTF-16": text.encode("utf-16"),
        "Latin-1": text.replace("\\u00e9", "é").encode("latin-1"),
        "no number": text.replace("256}", "NaN}").replace('"PidsLimit": 256', '"PidsLimit": NaN').encode(),
        "a number of 5,000 digits": text.replace('"PidsLimit": 256', f'"PidsLimit": {"9" * 5000}').encode(),
        "deep nesting": b'{"HostConfig": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "a list": b"[]",
        "nothing": b"",
        "more than is read": text.encode() + b" " * 300_000,
    }

    found = {what: shared.judged(shared.create(body, **LARGE_HEADERS)) for what, body in odd.items()}

    assert found == dict.fromkeys(odd, 403)


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: {0}\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: {0}",
        "Content-Length: {0}\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Content-Length: +{0}",
        "Content-Length: 0x10",
        "Content-Length : {0}",
        "Content-Encoding: gzip\r\nContent-Length: {0}",
    ],
)
def test_a_request_of_two_lengths_is_no_way_past(
    shared: DockerProxy, wanted: dict[str, Any], head: str
) -> None:
    wanted["HostConfig"]["Privileged"] = True
    body = json.dumps(wanted)

    said = shared.send(
        f"POST /containers/create HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n{head.format(len(body))}"
        f"\r\n\r\n{body}".encode()
    )

    assert re.match(rb"HTTP/1\.\d (400|403) |$", said)
    assert shared.place.containers() == []


def test_http_2_and_upgrades_are_not_supported(shared: DockerProxy) -> None:
    upgrade = b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

    assert re.match(rb"HTTP/1\.\d 400 |$", shared.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
    assert shared.send(upgrade).split()[1] in (b"200", b"400")
