"""`llmcompare prune`: says who can do it."""

from __future__ import annotations

import argparse
from typing import NoReturn

from pytest_llmcompare.errors import UsageError

from .project_root import Commands


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser("prune", help="baselines of rows that are gone: says how to delete them")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> NoReturn:
    """Run the command.

    Raises:
        UsageError: Always.
    """
    del options
    raise UsageError(
        "which rows the tables have is known only to pytest, which reads them when it collects the tests.\n"
        "To delete the baselines of rows that are gone: pytest --llm-prune"
    )
