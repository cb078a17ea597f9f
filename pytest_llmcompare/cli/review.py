"""`llmcompare review`: look at pending outputs one by one, on the terminal or in the browser."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.reports.style import Page, Styled
from pytest_llmcompare.text import disarm, encodable

from .accept import print_accepted
from .apply_decisions import Applied, apply_decisions
from .interrupts import Interrupts
from .pending import NOTHING, load_pending
from .project_root import pending_root, root_option
from .review_lines import HELP, dropped_line, entry_lines, group_lines
from .review_state import Decision, Review

ESCAPE = "\x1b"
QUIT = ("q", "Q", ESCAPE)
COLOUR_NAMES = {"purple": "magenta"}
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

    Capital letters decide about all outputs that changed in the same way, ? shows all keys. Nothing is written before
    the end. On the terminal, q carries out what was decided and Ctrl-C drops it; in the browser, Done sends it.
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
    """Review on the terminal, and carry out the decisions unless Ctrl-C drops them; return the exit code.

    Args:
        root: pytest's root folder.
        state: The review.
        keys: Waits for keys.
    """
    with Interrupts() as interrupts:
        with contextlib.suppress(OSError, KeyboardInterrupt):  # a terminal that is gone is a way to quit
            ask_for_decisions(state, interrupts, keys)
        if interrupts.aborts:
            with contextlib.suppress(OSError):
                say("", dropped_line(state))
            return 1
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
        say("", *entry_lines(state, state.current, coloured=shows_colours()))
        for key in pressed:  # takes keys until one has an effect
            if key in QUIT:
                return
            if act(state, key, pressed):
                break
        else:
            return


def key_presses(interrupts: Interrupts, keys: WaitForKeys) -> Iterator[str]:
    """Yield one key after the other until no more can come; keys without a character, such as arrows, are ignored."""
    while several := keys(interrupts):
        yield from [several] if several == ESCAPE else "" if several.startswith(ESCAPE) else several


def act(state: Review, key: str, pressed: Iterator[str]) -> bool:
    """Act on a key; return whether it had an effect.

    Args:
        state: The review.
        key: The key.
        pressed: The keys that follow.
    """
    if key in MOVES:
        return MOVES[key](state)
    if key == "?":
        say("", *HELP.splitlines())
        return True
    if key == "g":
        return go(state, pressed)
    decision = DECISIONS.get(key.lower())
    if decision is None:
        return False
    several = len(state.alike) if key.isupper() else 1
    if several > 1 and decision is Decision.ACCEPT and not confirmed(state, key, pressed):
        return True
    state.decide(decision, all_alike=key.isupper())
    say(f"  -> {decision.value}" + (f" {several}" if several > 1 else ""))
    return True


def sort(state: Review) -> bool:
    """Change the order; return True."""
    state.sort()
    say("  sorted by margin" if state.is_by_margin else "  grouped by what changed")
    return True


def confirmed(state: Review, key: str, pressed: Iterator[str]) -> bool:
    """Show the whole group; return whether the same key is pressed again."""
    page = Page(shutil.get_terminal_size().columns, sys.stdout.encoding or "utf-8")
    say("", *group_lines(state.alike, page, coloured=shows_colours()))
    return next(pressed, "") == key


def go(state: Review, pressed: Iterator[str]) -> bool:
    """Ask where to go; return whether there is something to show: another output, or this one once more."""
    print("  go to (number or part of a name, Enter): ", end="", flush=True)
    wanted = ""
    for key in pressed:
        if key in "\r\n" + ESCAPE:
            break
        wanted = wanted[:-1] if key in "\x7f\b" else wanted + key
        print("\b \b" if key in "\x7f\b" else disarm(key), end="", flush=True)
    print(flush=True)
    if wanted and not state.go(wanted):
        say(f"  nothing here is called {disarm(wanted)}")
    return True


def shows_colours() -> bool:
    """True if the output is a terminal with colours that the user wants."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(*lines: str | Styled) -> None:
    """Print lines, with escapes for what the terminal cannot hold."""
    coloured = shows_colours()
    for line in lines:
        parts = line.parts() if isinstance(line, Styled) else [(line, {})]
        shown = [(encodable(text, sys.stdout.encoding or "utf-8"), markup) for text, markup in parts]
        print("".join(painted(*part) if coloured else part[0] for part in shown), flush=True)


def painted(text: str, markup: Mapping[str, bool]) -> str:
    """A part of a line in its colour, as escape codes of the terminal."""
    if not markup:
        return text
    colour = next((name for name in ("red", "green", "yellow", "blue", "cyan", "purple") if markup.get(name)), None)
    return click.style(text, fg=COLOUR_NAMES.get(colour or "", colour), bold=markup.get("bold") or None)


MOVES: Mapping[str, Callable[[Review], bool]] = {
    "u": Review.undo,
    "b": lambda state: state.step(-1),
    "n": lambda state: state.step(1),
    "m": sort,
}
