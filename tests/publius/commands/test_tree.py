"""The command tree."""

from __future__ import annotations

from tests.publius.invoking import here

COMMANDS = """
init doctor try steer run critique sample compare label eval-reward benchmark eval report
show chat serve export push diff annotate
audit cache models train import check test schema prompts agreement select
"""


def test_help_lists_the_commands_in_their_order():
    lines = here("--help").stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in lines if line.strip()] == COMMANDS.split()
