"""Commands of the documentation, run against a whole stack as they are written there."""

import json
import re
import shlex
import subprocess
import sys

from tests.conftest import PASSWORD
from tests.e2e.stack import Stack
from tests.support.commands import ROOT, lines

# They start, build or replace something, and have tests of their own; db is for developers.
NOT_BESIDE_A_STACK = {"run", "tools", "prepare", "restore", "db", "images"}


def test_each_vulsweb_command_works_beside_a_running_stack(shared: Stack) -> None:
    written = {
        line.arguments: line.page
        for line in lines()
        if line.program == "vulsweb" and line.arguments[0] not in NOT_BESIDE_A_STACK
    }
    # First those that make what others change.
    ordered = sorted(written, key=lambda words: ("password" in words, words))
    said = {}
    for number, words in enumerate(ordered):
        user = "created" if words[0] == "user" else f"name-{number}"
        names = {
            "NAME": user,
            "laptop": user,
            "/mnt/safe/vulsweb.tar": f"{shared.data_dir}/backup-{number}.tar",
        }
        ended = subprocess.run(
            [sys.executable, "-m", "vulsweb", *(names.get(word, word) for word in words)],
            cwd=shared.data_dir,  # what is written by a relative name is not left in the checkout
            env=shared.environ,
            input=f"{PASSWORD}\n{PASSWORD}\n",
            capture_output=True,
            text=True,
            start_new_session=True,  # without a terminal, passwords are read from the input
        )
        said[words] = (ended.returncode, ended.stderr[-500:])

    assert {words[0] for words in written} >= {"doctor", "hosts", "token", "user", "backup"}
    assert {words: reply for words, reply in said.items() if reply[0] != 0} == {}


def test_the_first_api_call_of_the_readme_works(shared: Stack) -> None:
    readme = (ROOT / "README.md").read_text()
    (block,) = (found for found in re.findall(r"```bash\n(.*?)```", readme, re.DOTALL) if "curl" in found)
    program = f"{shlex.quote(sys.executable)} -m vulsweb"
    script = block.replace(".venv/bin/vulsweb", program).replace("http://127.0.0.1:8000", shared.url)

    ended = subprocess.run(
        ["bash", "-euc", script.replace("laptop", "readme")],
        cwd=ROOT,
        env=shared.environ,
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, "items" in json.loads(ended.stdout)) == (0, True), ended.stderr
