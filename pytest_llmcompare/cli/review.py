"""`llmcompare review`: look at pending outputs one by one, on the terminal or in the browser."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.reports.messages import reason_lines
from pytest_llmcompare.reports.text_diff import single
from pytest_llmcompare.text import disarm, encodable

from .accept import print_accepted
from .apply_decisions import Applied, apply_decisions
from .interrupts import Interrupts
from .pending import NOTHING, load_pending
from .project_root import pending_root, root_option
from .review_state import Decision, Review

PROMPT = "  prompt     "
AGAINST = "  against    "
KEYS = "a accept   r reject   s skip   u undo   q quit"
NO_TERMINAL = """review needs a terminal. Without one:
  llmcompare review --web
  llmcompare pending [--json]
  llmcompare accept 'GLOB' | --all
  llmcompare reject 'GLOB' | --all"""

DECISIONS = {"a": Decision.ACCEPT, "r": Decision.REJECT, "s": Decision.SKIP}

WaitForKeys = Callable[[Interrupts], str]


def port_number(text: str) -> int:
    """Parse the number of a port.

    Raises:
        click.BadParameter: It is not from 1 to 65535.
    """
    if not (text.isdecimal() and text.isascii() and 0 < int(text) < 2**16):
        raise click.BadParameter(f"{text!r} is not a port: expected a number from 1 to 65535")
    return int(text)


@click.command(epilog="Example: llmcompare review --web")
@click.option("--web", is_flag=True, help="on a page in the browser, served to this machine only")
@click.option("--port", type=port_number, metavar="N", help="port of that page on 127.0.0.1 (default: a free one)")
@click.option("--no-browser", is_flag=True, help="only print the address of that page")
@root_option
def review(web: bool, port: int | None, no_browser: bool, root: str | None) -> int:
    """Look at pending outputs one by one: accept, reject, skip.

    Capital letters decide about all outputs that changed in the same way. Nothing is written before the end. On the
    terminal, quitting keeps what was decided; in the browser, Done sends it.
    """
    if not web and (port is not None or no_browser):
        name = "--no-browser" if port is None else "--port"
        raise UsageError(f"{name} needs --web: llmcompare review --web")
    if not (web or (sys.stdin.isatty() and sys.stdout.isatty())):
        raise UsageError(NO_TERMINAL)
    folder = pending_root(root)
    pending = load_pending(folder)
    state = Review(pending.entries.values())
    if not state.entries:
        print(NOTHING)
        return 0
    if not web:
        return review_on_terminal(folder, state)
    from .web.browse import browse  # takes a third of the time in which every other command starts

    applied = browse(folder, state.entries, pending.notes, port=port, opens=not no_browser)
    return 1 if applied is None else print_result(state, applied)


def review_on_terminal(root: Path, state: Review, keys: WaitForKeys = Interrupts.wait_for_keys) -> int:
    """Review on the terminal, and carry out the decisions however that ended; return the exit code.

    Args:
        root: pytest's root folder.
        state: The review.
        keys: Waits for keys.
    """
    with Interrupts() as interrupts:
        with contextlib.suppress(OSError, KeyboardInterrupt):  # a terminal that is gone is a way to quit
            ask_for_decisions(state, interrupts, keys)
        applied = apply_decisions(root, state.decided(Decision.ACCEPT), state.decided(Decision.REJECT))
        return print_result(state, applied)


def print_result(state: Review, applied: Applied) -> int:
    """Print what was done; return the exit code."""
    left = len(state.entries) - len(applied.accepted) - len(applied.rejected)
    with contextlib.suppress(OSError):  # the terminal may be gone
        print_accepted(applied)
        print(f"{len(applied.rejected):,} rejected. {left:,} left for another time.", flush=True)
    return 1 if applied.faults else 0


def ask_for_decisions(state: Review, interrupts: Interrupts, keys: WaitForKeys) -> None:
    """Show one output after the other until all are decided, the user quits or a signal comes."""
    pressed = key_presses(interrupts, keys)
    while state.current is not None and not interrupts.received:
        say("", *entry_lines(state, state.current))
        if not any(act(state, key) for key in pressed):  # takes keys until one has an effect
            return


def key_presses(interrupts: Interrupts, keys: WaitForKeys) -> Iterator[str]:
    """Yield one key after the other until the user quits; keys without a character, such as arrows, are ignored."""
    while (several := keys(interrupts)) not in ("", "\x1b"):
        for key in "" if several.startswith("\x1b") else several:
            if key in "qQ":
                return
            yield key


def act(state: Review, key: str) -> bool:
    """Act on a key; return whether it had an effect."""
    if key == "u":
        return state.undo()
    decision = DECISIONS.get(key.lower())
    if decision is None:
        return False
    several = len(state.alike) if key.isupper() else 1
    state.decide(decision, all_alike=key.isupper())
    say(f"  -> {decision.value}" + (f" {several}" if several > 1 else ""))
    return True


def entry_lines(state: Review, entry: Entry) -> list[str]:
    """Return the lines that show an output: verdict, prompt, both texts, keys."""
    result = CaseResult(entry.key, entry.test, entry.new.generation, entry.judgement, entry.baseline)
    headline, *lines = reason_lines(result)
    alike = len(state.alike)
    more = f"   A R S all {alike} alike" if alike > 1 else ""
    return [
        f"{state.place} {disarm(str(entry.key))}  {headline}",
        *(single(PROMPT, entry.prompt) if entry.prompt else []),
        *lines,
        *(single(AGAINST, entry.against) if entry.against else []),
        f"{KEYS}{more}",
    ]


def say(*lines: str) -> None:
    """Print lines, with escapes for what the terminal cannot hold."""
    for line in lines:
        print(encodable(line, sys.stdout.encoding or "utf-8"), flush=True)
