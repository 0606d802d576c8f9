"""The software bills of materials name what the images install."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("lock", ["requirements.lock", "executor/requirements.lock"])
def test_a_bill_names_each_package_of_the_lock_with_version_and_hashes(lock: str, tmp_path: Path) -> None:
    file = tmp_path / "sbom.json"
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "requirements",
        str(ROOT / lock),
        "--output-file",
        str(file),
    ]
    subprocess.run([*command, "--output-file", str(file)], check=True, capture_output=True)

    bill = json.loads(file.read_text())
    locked = set(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", (ROOT / lock).read_text(), re.MULTILINE))
    assert {(each["name"], each["version"]) for each in bill["components"]} == locked
    assert len(locked) > 10
    assert all(each["externalReferences"][0]["hashes"] for each in bill["components"])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
