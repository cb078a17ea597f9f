"""`llmcompare accept`: pending outputs become baselines."""

from __future__ import annotations

import argparse

from pytest_llmcompare.cli.apply_decisions import Outcome, accept
from pytest_llmcompare.text import disarm

from .project_root import Commands, pending_root, shown
from .selection import add_selection, selected, tell, waiting


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "accept",
        help="make pending outputs the baselines",
        description="Write what `pytest --llm-update` would have written. A case whose baseline has changed since it "
        "was compared is left as it is.",
    )
    add_selection(command)
    command.add_argument("--from", dest="source", metavar="FILE", help="a pending.jsonl from elsewhere, such as CI")
    command.set_defaults(run=run, command="accept")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    root = pending_root(options.root)
    entries = selected(options, waiting(root, options.source))
    if not entries:
        print("Nothing is pending.")
        return 0
    return show(accept(root, entries))


def show(outcome: Outcome) -> int:
    """Print what was written and what was not; the exit code."""
    for line in written_lines(outcome):
        print(disarm(line))
    print(f"{len(outcome.accepted):,} accepted.")
    tell(outcome.faults)
    return 1 if outcome.faults else 0


def written_lines(outcome: Outcome) -> list[str]:
    """What was written, file by file: `tests/__baselines__/trivia/tiny.baseline: 1 changed`."""
    return [f"{shown(report.path)}: {report.counts}" for report in outcome.reports if report.written]
