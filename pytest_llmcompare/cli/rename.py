"""`llmcompare rename`: rename the baselines of a row whose id has changed."""

from __future__ import annotations

import click

from pytest_llmcompare.baselines import inventory, store
from pytest_llmcompare.baselines.inventory import Stored
from pytest_llmcompare.errors import SelectionError, UsageError, did_you_mean
from pytest_llmcompare.records import RowKey
from pytest_llmcompare.text import disarm

from .pending import print_errors
from .project_root import pending_root, root_option


@click.command(epilog="Example: llmcompare rename trivia/sky air")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@root_option
def rename(old: str, new: str, root: str | None) -> int:
    """Rename the baselines of a row whose prompt id has changed.

    OLD is prompt_id, table/prompt_id or table/model/prompt_id; NEW is the new prompt id. All variants are renamed, for
    all models of the table unless OLD names one. The table itself is yours to edit.
    """
    if not new:
        raise UsageError("the new prompt id is empty. Name one.")
    folder = pending_root(root)
    stock = inventory.take(folder)
    print_errors(stock.faults)
    chosen = {stored: rows for stored in stock.files if (rows := rows_of(stored, old))}
    check_rename(old, new, chosen, stock.files)
    for stored, rows in chosen.items():
        store.rename(folder, stored.group, {row: RowKey(new, row.variant) for row in rows})
        print(disarm(f"{stored.source}: {', '.join(map(str, rows))} renamed"))
    return 0


def rows_of(stored: Stored, name: str) -> list[RowKey]:
    """Return the rows of a file that a name stands for."""
    return sorted(row for row in stored.contents.rows if name in names(stored, row))


def names(stored: Stored, row: RowKey) -> tuple[str, str, str]:
    """Return the forms of OLD that name a row: its id, its id with the table, with the table and the model."""
    table, model = stored.group.table, stored.group.model
    return row.prompt_id, f"{table}/{row.prompt_id}", f"{table}/{model}/{row.prompt_id}"


def check_rename(old: str, new: str, chosen: dict[Stored, list[RowKey]], stored_files: list[Stored]) -> None:
    """Check that the rename is possible in all files, before the first of them is written.

    Raises:
        SelectionError: No baseline has the old id, or one has the new id already.
        UsageError: More than one table has the old id.
    """
    if not chosen:
        known = {name for stored in stored_files for row in stored.contents.rows for name in names(stored, row)[:1]}
        raise SelectionError(f"no baseline has the prompt id {old!r}.{did_you_mean(old, known)}")
    tables = sorted({f"{stored.group.folder}/{stored.group.table}" for stored in chosen})
    if len(tables) > 1:
        raise UsageError(f"{old!r} is in more than one table: {', '.join(tables)}. Name one: TABLE/{old}")
    for stored, rows in chosen.items():
        taken = stored.contents.rows & {RowKey(new, row.variant) for row in rows}
        if taken:
            raise SelectionError(f"{stored.source}: there is a case {new!r} already. Nothing was renamed.")
