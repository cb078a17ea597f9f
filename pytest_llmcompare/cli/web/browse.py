"""A review in the browser, from the start of its server to its end."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import html
import os
import select
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pytest_llmcompare.baselines import state_folder
from pytest_llmcompare.baselines.pending import Entry
from pytest_llmcompare.cli.apply_decisions import Applied, apply_decisions
from pytest_llmcompare.cli.interrupts import Interrupts
from pytest_llmcompare.errors import UsageError

from .access import HOST
from .page import ReviewPage
from .server import Apply, ReviewServer

LOOK_SECONDS = 0.2  # between two looks at whether the review is to end
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
REDIRECT = """<!DOCTYPE html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>llmcompare review</title>
<p><a href="{address}">Go on to the review</a></p>
"""


def browse(
    root: Path, entries: Sequence[Entry], notes: Sequence[str], *, port: int | None, opens: bool
) -> Applied | None:
    """Serve the review page until its decisions are submitted or the command is ended.

    Args:
        root: pytest's root folder.
        entries: The pending outputs.
        notes: Notes to show on the page.
        port: The port; None for a free one.
        opens: Whether to open the browser.

    Returns:
        What was done about the decisions; None if none were submitted.

    Raises:
        UsageError: The port cannot be used.
    """

    def apply(decisions: Sequence[str | None]) -> Applied:
        decided = list(zip(entries, decisions, strict=True))
        accepted = [entry for entry, decision in decided if decision == "accept"]
        return apply_decisions(root, accepted, [entry for entry, decision in decided if decision == "reject"])

    server = start(root, port, ReviewPage(entries, notes), apply)
    is_closed = stdin_watch()  # before the address is printed: its reader may close standard input at once
    with Interrupts() as interrupts, server.serving():
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"{len(entries):,} pending, to be reviewed at\n  {server.access.address}")
            print('"Done" on that page writes what was decided. Ctrl-C here ends the review without.', flush=True)
        with redirect_page(root, server.access.address) if opens and has_screen() else contextlib.nullcontext() as page:
            while not (interrupts.received or is_closed() or server.answered.wait(LOOK_SECONDS)):
                if page and server.page_loaded.is_set():
                    page.unlink(missing_ok=True)
        applied = server.close()
    if applied is None:
        with contextlib.suppress(OSError):
            print(
                f"Ended without Done: nothing was submitted, {len(entries):,} still pending.\n"
                "The browser keeps what was decided there: llmcompare review --web",
                flush=True,
            )
    return applied


def start(root: Path, port: int | None, page: ReviewPage, apply: Apply) -> ReviewServer:
    """Start the server.

    If no port is named, a project gets the same one each time if it is free, because a browser keeps its data by
    address and port: a review that begins anew finds the decisions that were not submitted.

    Raises:
        UsageError: The port cannot be used.
    """
    if port is None:
        usual = 49152 + int.from_bytes(hashlib.sha256(os.fsencode(root)).digest()[:2]) % 16384  # of the private ports
        with contextlib.suppress(OSError):
            return ReviewServer(usual, page, apply)
    try:
        return ReviewServer(port or 0, page, apply)
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror or error}"
        raise UsageError(
            f"--port: port {port} of {HOST} {reason}.\n"
            "Name another one, or none to have a free one chosen: llmcompare review --web"
        ) from None


def has_screen() -> bool:
    """Return True if a browser would open a window; without a screen it would take over the terminal."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in SCREENS)


@contextlib.contextmanager
def redirect_page(root: Path, address: str) -> Iterator[Path | None]:
    """Open the address in the browser through a private HTML file, so that no list of processes shows the token.

    The file lies in the project, because a browser in a container does not see the system's folder for temporary files;
    if the project is read-only, it lies in that folder all the same.

    Yields:
        The file, which is removed at the end of the block; None if it could not be written.
    """
    try:
        try:
            handle, name = tempfile.mkstemp(prefix="review-", suffix=".html", dir=state_folder.make_folder(root))
        except OSError:
            handle, name = tempfile.mkstemp(prefix="llmcompare-review-", suffix=".html")
        with os.fdopen(handle, "w", encoding="utf-8") as file:  # mkstemp: readable by the owner only
            file.write(REDIRECT.format(address=html.escape(address)))
    except OSError:  # the address is printed all the same
        yield None
        return
    try:
        threading.Thread(target=open_browser, args=(Path(name).as_uri(),), daemon=True).start()
        yield Path(name)
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)


def open_browser(address: str) -> None:
    """Open an address in the browser if there is one."""
    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(address)


def stdin_watch() -> Callable[[], bool]:
    """Return a function that tells whether standard input, a terminal or a pipe, was closed since; it reads nothing."""
    if not hasattr(select, "poll"):  # Windows, which ends the programs of a terminal that is closed
        return lambda: False
    poll = select.poll()
    with contextlib.suppress(OSError, ValueError, AttributeError):  # there may be no standard input
        poll.register(sys.stdin.fileno(), 0)
    return (lambda: False) if poll.poll(0) else (lambda: bool(poll.poll(0)))
