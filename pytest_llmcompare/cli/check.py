"""`llmcompare check`: whether all baseline files can be used."""

from __future__ import annotations

import argparse

from pytest_llmcompare.baselines import inventory
from pytest_llmcompare.text import count

from .project_root import Commands, add_root, pending_root
from .selection import tell


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "check",
        help="read all baseline files: damage, merge conflicts, wrong names",
        description="Read all baseline files below pytest's root folder and list all faults; exit code 1 if there are.",
    )
    add_root(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    root = pending_root(options.root)
    found = inventory.take(root)
    faults = [*found.faults, *(fault for stored in found.files for fault in inventory.faults(root, stored))]
    tell(warning for stored in found.files for warning in stored.contents.warnings)
    tell(faults)
    read = count(len(found.files), "baseline file")
    cases = count(sum(len(stored.contents.rows) for stored in found.files), "case")
    print(f"{read}, {cases}: {count(len(faults), 'fault') if faults else 'no faults'}.")
    return 1 if faults else 0
