"""A page in a file that sends the browser on to an address, so that the address is in no list of processes."""

from __future__ import annotations

import contextlib
import html
import os
import tempfile
from pathlib import Path

from pytest_llmcompare.baselines import state_folder

_PAGE = """<!DOCTYPE html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>llmcompare review</title>
<p><a href="{address}">Go on to the review</a></p>
"""


class RedirectPage:
    """The file. Its owner alone can read it, as it holds the secret part of the address.

    It lies in the project, because browsers that come in a container of their own do not see the system's folder for
    temporary files; where nothing can be written there, in that folder all the same.

    Args:
        root: pytest's root folder.
        address: Where the browser is to go.

    Raises:
        OSError: It cannot be written anywhere.
    """

    def __init__(self, root: Path, address: str) -> None:
        try:
            handle, name = tempfile.mkstemp(prefix="review-", suffix=".html", dir=state_folder.make(root))
        except OSError:
            handle, name = tempfile.mkstemp(prefix="llmcompare-review-", suffix=".html")
        self.path = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:  # made for its owner alone
            file.write(_PAGE.format(address=html.escape(address)))

    @property
    def address(self) -> str:
        """What the browser is started with."""
        return self.path.as_uri()

    def remove(self) -> None:
        """Remove the file, once the browser has been there or nobody will."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
