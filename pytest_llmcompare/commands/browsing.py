"""`llmcompare review --web`: the review in the browser."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.records import CaseResult
from pytest_llmcompare.reports.review_page import ReviewPage
from pytest_llmcompare.review import Review, alike
from pytest_llmcompare.web.access import HOST
from pytest_llmcompare.web.desk import Desk
from pytest_llmcompare.web.server import Server

from .accept import written_lines
from .closing import carried_out, close
from .ending import noted
from .redirect import RedirectPage

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
    """Show the page; whoever has no browser has the address."""
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
