"""`llmcompare pending`: what waits to be accepted or rejected."""

from __future__ import annotations

import argparse
import json
from typing import Any

from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.reports.messages import headline
from pytest_llmcompare.text import disarm, pad, width

from .project_root import Commands, add_root, pending_root
from .selection import waiting

SCHEMA = 1
MORE = "Look: llmcompare review   Accept: llmcompare accept GLOB   Reject: llmcompare reject GLOB"


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser("pending", help="what differs and is neither accepted nor rejected yet")
    command.add_argument("--json", action="store_true", help="as JSON, with all texts")
    add_root(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    entries = list(waiting(pending_root(options.root)).entries.values())
    if options.json:
        print(json.dumps({"schema": SCHEMA, "pending": [as_json(entry) for entry in entries]}, indent=2))
    elif not entries:
        print("Nothing is pending.")
    else:
        names = [disarm(str(entry.key)) for entry in entries]
        columns = max(map(width, names))
        for name, entry in zip(names, entries, strict=True):
            print(f"{pad(name, columns)}  {headline(entry.judgement)}")
        print(f"\n{len(entries):,} pending. {MORE}")
    return 0


def as_json(entry: Entry) -> dict[str, Any]:
    """One output for programs."""
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
