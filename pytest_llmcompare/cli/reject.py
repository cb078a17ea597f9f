"""`llmcompare reject`: pending outputs are dropped, the baselines stay."""

from __future__ import annotations

import argparse

from pytest_llmcompare.cli.apply_decisions import forget

from .project_root import Commands, pending_root
from .selection import add_selection, selected, waiting


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "reject",
        help="drop pending outputs; the baselines stay as they are",
        description="A case that still differs is pending again after the next run of pytest.",
    )
    add_selection(command)
    command.set_defaults(run=run, command="reject")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    root = pending_root(options.root)
    entries = selected(options, waiting(root))
    forget(root, [entry.key for entry in entries])
    print(f"{len(entries):,} rejected." if entries else "Nothing is pending.")
    return 0
