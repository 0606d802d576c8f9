from pathlib import Path

from executor.recipes.commands import configtest_command, scan_command


def test_vuls_gives_up_before_the_executor_does() -> None:
    command = scan_command(Path("/w"), Path("/w/results"), 1000, 120)

    assert {"-timeout=120", "-timeout-scan=900"} <= set(command.arguments)
    assert command.timeout_seconds == 1000


def test_only_a_connection_test_has_ssh_say_why() -> None:
    assert "-vvv" in configtest_command(Path("/w"), 60, 20, verbose=True).arguments
    assert "-vvv" not in configtest_command(Path("/w"), 60, 20).arguments
