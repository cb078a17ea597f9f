"""`llmcompare review`: pending outputs one by one, on a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.reports.differences import single
from pytest_llmcompare.reports.escaping import disarm, encodable
from pytest_llmcompare.reports.formatting import reason_lines
from pytest_llmcompare.review import Decision, Review
from pytest_llmcompare.settling import accept, forget

from .accept import show
from .folders import Commands, add_root, pending_root
from .keys import single_keys
from .selection import waiting

PROMPT = "  prompt     "
AGAINST = "  against    "
KEYS = "a accept   r reject   s skip   u undo   q quit"
NO_TERMINAL = """review needs a terminal. Without one:
  llmcompare pending [--json]
  llmcompare accept 'GLOB' | --all
  llmcompare reject 'GLOB' | --all"""

DECISIONS = {"a": Decision.ACCEPT, "r": Decision.REJECT, "s": Decision.SKIP}


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "review",
        help="look at what is pending, one by one: accept, reject, skip",
        description="Capital letters decide about the rest of the outputs that changed in the same way. What was "
        "decided is carried out at the end; quitting keeps it.",
    )
    add_root(command)
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        UsageError: There is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(NO_TERMINAL)
    root = pending_root(options.root)
    review = Review(waiting(root).entries.values())
    if not review.entries:
        print("Nothing is pending.")
        return 0
    with single_keys() as key:
        ask(review, key)
    rejected = review.decided(Decision.REJECT)
    forget(root, [entry.key for entry in rejected])
    code = show(accept(root, review.decided(Decision.ACCEPT)))
    left = len(review.entries) - len(review.decided(Decision.ACCEPT)) - len(rejected)
    print(f"{len(rejected):,} rejected. {left:,} left for another time.")
    return code


def ask(review: Review, key: Callable[[], str]) -> None:
    """Show one output after the other until all are decided or the user quits.

    Args:
        review: The review.
        key: Waits for a key; empty where there will be none.
    """
    while review.current is not None:
        say("", *entry_lines(review, review.current))
        while not step(review, pressed := key()):
            if pressed.lower() in ("q", "", "\x03", "\x04", "\x1b"):
                return


def step(review: Review, pressed: str) -> bool:
    """Do what a key says; whether it says anything that changes what is shown."""
    if pressed == "u":
        return review.undo()
    decision = DECISIONS.get(pressed.lower())
    if decision is None:
        return False
    several = len(review.rest) if pressed.isupper() else 1
    review.decide(decision, whole_group=pressed.isupper())
    say(f"  -> {decision.value}" + (f" {several}" if several > 1 else ""))
    return True


def entry_lines(review: Review, entry: Entry) -> list[str]:
    """What is shown of an output: verdict, prompt, both texts, keys."""
    result = CaseResult(entry.key, entry.test, entry.new.generation, entry.judgement, entry.baseline)
    headline, *lines = reason_lines(result)
    alike = len(review.rest)
    more = f"   capitals: all {alike} alike" if alike > 1 else ""
    return [
        f"{review.place} {disarm(str(entry.key))}  {headline}",
        *(single(PROMPT, entry.prompt) if entry.prompt else []),
        *lines,
        *(single(AGAINST, entry.against) if entry.against else []),
        f"{KEYS}{more}",
    ]


def say(*lines: str) -> None:
    """Print lines, whatever the terminal can hold."""
    for line in lines:
        print(encodable(line, sys.stdout.encoding or "utf-8"), flush=True)
