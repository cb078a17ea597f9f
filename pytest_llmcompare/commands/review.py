"""`llmcompare review`: pending outputs one by one, on a terminal."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.reports.differences import single
from pytest_llmcompare.reports.escaping import disarm, encodable
from pytest_llmcompare.reports.formatting import reason_lines
from pytest_llmcompare.review import Decision, Review

from .closing import carried_out, close
from .ending import Ending, noted
from .folders import Commands, add_root, pending_root
from .keys import single_keys
from .selection import waiting

PROMPT = "  prompt     "
AGAINST = "  against    "
KEYS = "a accept   r reject   s skip   u undo   q quit"
NO_TERMINAL = """review needs a terminal. Without one:
  llmcompare review --web
  llmcompare pending [--json]
  llmcompare accept 'GLOB' | --all
  llmcompare reject 'GLOB' | --all"""

Keys = AbstractContextManager[Callable[[], str]]

DECISIONS = {"a": Decision.ACCEPT, "r": Decision.REJECT, "s": Decision.SKIP}


def add(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "review",
        help="look at what is pending, one by one: accept, reject, skip",
        description="Capital letters decide about the rest of the outputs that changed in the same way. What was "
        "decided is carried out at the end; quitting keeps it.",
    )
    command.add_argument("--web", action="store_true", help="on a page in the browser, served to this machine only")
    command.add_argument(
        "--port", type=port, metavar="N", help="port of that page on 127.0.0.1 (default: one that is free)"
    )
    command.add_argument("--no-browser", action="store_true", help="only print the address of that page")
    add_root(command)
    command.set_defaults(run=run)


def port(text: str) -> int:
    """The number of a port, from the command line."""
    if not (text.isdecimal() and text.isascii() and 0 < int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: expected a number from 1 to 65535")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Run the command.

    Raises:
        UsageError: There is no terminal, the port cannot be used, or an option is of no use here.
    """
    if not options.web and (options.port is not None or options.no_browser):
        name = "--no-browser" if options.port is None else "--port"
        raise UsageError(f"{name} goes with --web only: llmcompare review --web")
    if not (options.web or (sys.stdin.isatty() and sys.stdout.isatty())):
        raise UsageError(NO_TERMINAL)
    root = pending_root(options.root)
    pending = waiting(root)
    review = Review(pending.entries.values())
    if not review.entries:
        print("Nothing is pending.")
        return 0
    if options.web:
        from .browsing import browse

        return browse(root, review, pending.notes, port=options.port or 0, opens=not options.no_browser)
    return converse(root, review)


def converse(root: Path, review: Review, keys: Callable[[Ending], Keys] = single_keys) -> int:
    """Review on the terminal, and carry out what was decided however that ended; the exit code.

    Args:
        root: pytest's root folder.
        review: The review.
        keys: Where keys come from.
    """
    with noted() as ending:
        with contextlib.suppress(OSError), keys(ending) as key:  # where the terminal has gone, that is a way to quit
            ask(review, key, ending)
        return close(review, carried_out(root, review))


def ask(review: Review, key: Callable[[], str], ending: Ending) -> None:
    """Show one output after the other until all are decided or the user quits.

    Args:
        review: The review.
        key: Waits for a key; empty where there will be none.
        ending: Whether the command is to end.
    """
    while review.current is not None and not ending.came.is_set():
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
