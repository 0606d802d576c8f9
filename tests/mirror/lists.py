"""The lists from which gost reads Ubuntu and Red Hat: one JSON document for each CVE, in a tar."""

import gzip
import io
import json
import tarfile

UBUNTU_LIST = "https://github.com/aquasecurity/vuln-list/archive/refs/heads/main.tar.gz"
REDHAT_LIST = "https://github.com/aquasecurity/vuln-list-redhat/archive/refs/heads/main.tar.gz"
# A fact of each; the descriptions are ours.
UBUNTU_FACT = {
    "Candidate": "CVE-2021-44228",
    "PublicDate": "2021-12-10T10:15:00Z",
    "PublicDateAtUSN": "2021-12-10T10:15:00Z",
    "CRD": "0001-01-01T00:00:00Z",
    "Description": "A logged text can make Log4j load and run code from elsewhere.",
    "Priority": "high",
    # USN-5192-1.
    "Patches": {"apache-log4j2": {"focal": {"Status": "released", "Note": "2.15.0-0.20.04.1"}}},
}
REDHAT_FACT = {
    "name": "CVE-2014-0160",
    "threat_severity": "Important",
    "public_date": "2014-04-07T00:00:00Z",
    "bugzilla": {"id": "1084875", "description": "Memory of the process can be read over TLS."},
    "cvss3": {
        "cvss3_base_score": "7.5",
        "cvss3_scoring_vector": "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N",
        "status": "draft",
    },
    # RHSA-2014:0376.
    "affected_release": [
        {
            "product_name": "Red Hat Enterprise Linux 6",
            "release_date": "2014-04-08T00:00:00Z",
            "advisory": "RHSA-2014:0376",
            "package": "openssl-0:1.0.1e-16.el6_5.7",
            "cpe": "cpe:/o:redhat:enterprise_linux:6",
        }
    ],
    "package_state": [
        {
            "product_name": "Red Hat Enterprise Linux 5",
            "fix_state": "Not affected",
            "package_name": "openssl",
            "cpe": "cpe:/o:redhat:enterprise_linux:5",
        }
    ],
}


def lists() -> dict[str, bytes]:
    """Return both lists by their URL."""
    ubuntu, redhat = (json.dumps(fact).encode() for fact in (UBUNTU_FACT, REDHAT_FACT))
    return {
        UBUNTU_LIST: tar_gz("vuln-list-main/ubuntu/2021/CVE-2021-44228.json", ubuntu),
        REDHAT_LIST: tar_gz("vuln-list-redhat-main/api/2014/CVE-2014-0160.json", redhat),
    }


def tar_gz(name: str, body: bytes) -> bytes:
    """Return an archive of one file; the same each time."""
    packed, member = io.BytesIO(), tarfile.TarInfo(name)
    member.size = len(body)
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(member, io.BytesIO(body))
    return gzip.compress(packed.getvalue(), mtime=0)
