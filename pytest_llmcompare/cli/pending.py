"""`llmcompare pending`: list pending outputs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from pytest_llmcompare.baselines.pending import Entry, Pending, PendingFile
from pytest_llmcompare.baselines.pending import read as read_pending
from pytest_llmcompare.reports.messages import headline
from pytest_llmcompare.text import disarm, pad, width

from .project_root import pending_root, root_option

SCHEMA = 1
NEXT_STEPS = "Look: llmcompare review   Accept: llmcompare accept GLOB   Reject: llmcompare reject GLOB"
NOTHING = "Nothing is pending."


@click.command(epilog="Example: llmcompare pending --json > pending.json")
@click.option("--json", "as_json", is_flag=True, help="print JSON with all texts")
@root_option
def pending(as_json: bool, root: str | None) -> int:
    """List outputs that differ and are neither accepted nor rejected."""
    entries = list(load_pending(pending_root(root)).entries.values())
    if as_json:
        print(json.dumps({"schema": SCHEMA, "pending": [json_entry(entry) for entry in entries]}, indent=2))
    elif not entries:
        print(NOTHING)
    else:
        names = [disarm(str(entry.key)) for entry in entries]
        columns = max(map(width, names))
        for name, entry in zip(names, entries, strict=True):
            print(f"{pad(name, columns)}  {headline(entry.judgement)}")
        print(f"\n{len(entries):,} pending. {NEXT_STEPS}")
    return 0


def load_pending(root: Path, source: str | None = None) -> Pending:
    """Read what is pending, and print a note for each line that cannot be used.

    Args:
        root: pytest's root folder.
        source: A pending file from elsewhere; that of `root` if None.

    Raises:
        BaselineError: The file cannot be read, or is of another version.
    """
    result = PendingFile(root).read() if source is None else read_pending(Path(source), source)
    print_errors(result.notes)
    return result


def print_errors(messages: Iterable[str]) -> None:
    """Print messages to stderr, their hidden characters escaped."""
    for message in messages:
        for line in message.splitlines():
            print(disarm(line), file=sys.stderr)


def json_entry(entry: Entry) -> dict[str, Any]:
    """Return a pending output as the JSON object that `llmcompare pending --json` prints."""
    group, judgement = entry.key.group, entry.judgement
    return {
        "case": str(entry.key),
        "folder": group.folder,
        "table": group.table,
        "model": group.model,
        "prompt_id": entry.key.prompt_id,
        "variant": entry.key.variant,
        "test": entry.test,
        "verdict": str(judgement.verdict),
        "headline": headline(judgement),
        "position": judgement.position,
        "margin": judgement.margin,
        "prompt": entry.prompt,
        "baseline": entry.baseline,
        "against": entry.against,
        "candidate": entry.new.generation.text,
        "environment": dict(entry.new.generation.environment),
        "run": entry.run,
        "commit": entry.commit,
    }
