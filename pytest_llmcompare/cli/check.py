"""`llmcompare check`: read all baseline files and list their faults."""

from __future__ import annotations

import click

from pytest_llmcompare.baselines import inventory
from pytest_llmcompare.text import count

from .pending import print_errors
from .project_root import pending_root, root_option


@click.command(epilog="Example: llmcompare check --root .")
@root_option
def check(root: str | None) -> int:
    """Read all baseline files: damage, merge conflicts, wrong names.

    All baseline files below pytest's root folder are read and all faults listed. The exit code is 1 if there are any.
    """
    folder = pending_root(root)
    stock = inventory.take(folder)
    faults = [*stock.faults, *(fault for stored in stock.files for fault in inventory.file_faults(folder, stored))]
    print_errors(warning for stored in stock.files for warning in stored.contents.warnings)
    print_errors(faults)
    files = count(len(stock.files), "baseline file")
    cases = count(sum(len(stored.contents.rows) for stored in stock.files), "case")
    print(f"{files}, {cases}: {count(len(faults), 'fault') if faults else 'no faults'}.")
    return 1 if faults else 0
