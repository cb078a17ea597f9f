"""`llmcompare rename`: a row of a table has another id now; its baselines follow."""

from __future__ import annotations

import argparse

from pytest_llmcompare.baselines import inventory, store
from pytest_llmcompare.baselines.inventory import Stored
from pytest_llmcompare.errors import SelectionError, UsageError, did_you_mean
from pytest_llmcompare.records import RowKey
from pytest_llmcompare.text import disarm

from .project_root import Commands, add_root, pending_root
from .selection import tell


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "rename",
        help="let baselines follow a row whose id has changed",
        description="Give the baselines of a row another id, in all variants and for all models of its table, or for "
        "the one that is named. The table itself is yours to edit.",
    )
    command.add_argument("old", metavar="OLD", help="prompt_id, table/prompt_id or table/model/prompt_id")
    command.add_argument("new", metavar="NEW", help="the new prompt id")
    add_root(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        SelectionError: No baseline has this id.
        UsageError: More than one table has it, or the new one cannot be an id.
        BaselineError: The new id is taken, or a file cannot be written.
    """
    if not options.new:
        raise UsageError("the new prompt id is empty. Name one.")
    root = pending_root(options.root)
    found = inventory.take(root)
    tell(found.faults)
    chosen = {stored: rows for stored in found.files if (rows := rows_of(stored, options.old))}
    check(options.old, options.new, chosen, found.files)
    for stored, rows in chosen.items():
        store.rename(root, stored.group, {row: RowKey(options.new, row.variant) for row in rows})
        print(disarm(f"{stored.source}: {', '.join(map(str, rows))} renamed"))
    return 0


def rows_of(stored: Stored, name: str) -> list[RowKey]:
    """The cases of a file that a name stands for."""
    return sorted(row for row in stored.contents.rows if name in names(stored, row))


def names(stored: Stored, row: RowKey) -> tuple[str, str, str]:
    """What the row of a case can be called."""
    table, model = stored.group.table, stored.group.model
    return row.prompt_id, f"{table}/{row.prompt_id}", f"{table}/{model}/{row.prompt_id}"


def check(old: str, new: str, chosen: dict[Stored, list[RowKey]], every: list[Stored]) -> None:
    """See whether it can be done in all files, before the first of them is written.

    Raises:
        SelectionError: No baseline has this id, or one has the new id already.
        UsageError: More than one table has it.
    """
    if not chosen:
        known = {name for stored in every for row in stored.contents.rows for name in names(stored, row)[:1]}
        raise SelectionError(f"no baseline has the prompt id {old!r}.{did_you_mean(old, known)}")
    tables = sorted({f"{stored.group.folder}/{stored.group.table}" for stored in chosen})
    if len(tables) > 1:
        raise UsageError(f"{old!r} stands in more than one table: {', '.join(tables)}. Name one: TABLE/{old}")
    for stored, rows in chosen.items():
        taken = stored.contents.rows & {RowKey(new, row.variant) for row in rows}
        if taken:
            raise SelectionError(f"{stored.source}: there is a case {new!r} already. Nothing was renamed.")
