"""`llmcompare review`: pending outputs one by one, on a terminal."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import select
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.cli.apply_decisions import Outcome, settle
from pytest_llmcompare.cli.review_state import Decision, Review, alike
from pytest_llmcompare.cli.web.access import HOST
from pytest_llmcompare.cli.web.desk import Desk
from pytest_llmcompare.cli.web.page import ReviewPage
from pytest_llmcompare.cli.web.server import Server
from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.reports.messages import reason_lines
from pytest_llmcompare.reports.text_diff import single
from pytest_llmcompare.text import disarm, encodable

from .accept import show, written_lines
from .ending import Ending, noted
from .keys import single_keys
from .project_root import Commands, add_root, pending_root
from .selection import waiting
from .web.redirect import RedirectPage

LOOK_SECONDS = 0.2  # between two looks at whether the command is to end
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def browse(root: Path, review: Review, notes: Sequence[str], *, port: int, opens: bool) -> int:
    """Serve the page until it is done with, and carry out what was decided; the exit code.

    Args:
        root: pytest's root folder.
        review: The review.
        notes: What the user should know.
        port: The port; 0 for one that is free.
        opens: Whether to open the browser.

    Raises:
        UsageError: The port cannot be used.
    """
    desk = Desk(review)
    server = started(port, desk, page_of(review, notes))
    with noted() as ending:
        with server.serving():
            with contextlib.suppress(OSError):  # nobody may be there to read it
                print(f"{len(review.entries):,} pending, to be reviewed at\n  {server.access.address}")
                print('"Done" on that page, or Ctrl-C here, carries out what was decided.', flush=True)
            with shown(root, server.access.address) if opens and has_screen() else contextlib.nullcontext() as page:
                gone = hang_up()
                while not (ending.came.is_set() or gone() or desk.wait_to_end(LOOK_SECONDS)):
                    if page and server.is_watched:
                        page.remove()
            outcome = carried_out(root, desk.close())
            desk.publish(outcome, written_lines(outcome))
        return close(review, outcome)


def started(port: int, desk: Desk, page: ReviewPage) -> Server:
    """The server.

    Raises:
        UsageError: The port cannot be used.
    """
    try:
        return Server(port, desk, page.draw)
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror or error}"
        raise UsageError(
            f"--port: port {port} of {HOST} {why}.\n"
            "Name another one, or none to have a free one chosen: llmcompare review --web"
        ) from None


def page_of(review: Review, notes: Sequence[str]) -> ReviewPage:
    """The page of a review."""
    results = [
        CaseResult(
            *(entry.key, entry.test, entry.new.generation, entry.judgement, entry.baseline),
            input=entry.prompt,
        )
        for entry in review.entries
    ]
    kinds = {kind: number for number, kind in enumerate(dict.fromkeys(map(alike, review.entries)))}
    against = [entry.against for entry in review.entries]
    return ReviewPage(results, [kinds[alike(entry)] for entry in review.entries], against, notes)


def has_screen() -> bool:
    """Whether a browser would have a window: elsewhere it would take over the terminal."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in SCREENS)


@contextlib.contextmanager
def shown(root: Path, address: str) -> Iterator[RedirectPage | None]:
    """Show the page in the browser, by way of a file that is there only meanwhile."""
    try:
        page = RedirectPage(root, address)
    except OSError:  # the address is printed
        yield None
        return
    try:
        threading.Thread(target=open_browser, args=(page.address,), daemon=True).start()
        yield page
    finally:
        page.remove()


def open_browser(address: str) -> None:
    """Show the page, and its address for those without a browser here."""
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(address)


def hang_up() -> Callable[[], bool]:
    """What tells whether standard input, a terminal or a pipe, was closed since; nothing of it is read."""
    if not hasattr(select, "poll"):  # Windows, where a terminal that is closed ends its programs
        return lambda: False
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there may be no standard input
        poll.register(sys.stdin.fileno(), 0)
    return (lambda: False) if poll.poll(0) else (lambda: bool(poll.poll(0)))


def carried_out(root: Path, review: Review) -> Outcome:
    """Do what was decided."""
    return settle(root, review.decided(Decision.ACCEPT), review.decided(Decision.REJECT))


def close(review: Review, outcome: Outcome) -> int:
    """Print what became of it; the exit code."""
    left = len(review.entries) - len(outcome.accepted) - len(outcome.rejected)
    with contextlib.suppress(OSError):  # the terminal may have gone
        show(outcome)
        print(f"{len(outcome.rejected):,} rejected. {left:,} left for another time.", flush=True)
    return 1 if outcome.faults else 0


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
