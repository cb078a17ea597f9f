"""Digests of large files, saved beside the answer cache, so that fingerprints of unchanged weights need no reading.

As in git's index, a digest holds while size, times, device and inode of the file are the same. A file that changed just
before it was read may have changed again within the same tick of the clock, so its digest is not saved.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from pytest_llmcompare.models.file_digests import known_digests

from . import atomic_write, regular_file, state_folder
from .answer_cache import FOLDER, folder_of

NAME = "digests.json"
LARGEST = 2**22  # bytes
MOST = 2_000
"""Most files whose digests are saved."""
SETTLED = 3 * 10**9
"""Nanoseconds without a change after which a file's times can be relied on; FAT counts in steps of two seconds."""
_PARTS = 5


def load_digests(root: Path) -> None:
    """Load the digests that earlier runs saved; damaged entries are ignored."""
    with contextlib.suppress(OSError, ValueError, RecursionError, AttributeError):
        saved = json.loads(regular_file.read(folder_of(root) / NAME, LARGEST))
        for path, entry in saved.items():
            *parts, digest = entry if isinstance(entry, list) else [""]
            stamp = tuple(part for part in parts if type(part) is int)
            if len(stamp) == len(parts) == _PARTS and _is_digest(digest):
                known_digests.setdefault(path, (stamp, str(digest)))


def save_digests(root: Path) -> None:
    """Save the digests of this process, if there are new ones; errors of the disk are ignored."""
    now = time.time_ns()
    settled = {
        path: [*stamp, digest]
        for path, (stamp, digest) in known_digests.items()
        if now - max(stamp[1], stamp[2]) > SETTLED
    }
    if not settled:
        return
    path = folder_of(root) / NAME
    with contextlib.suppress(OSError):
        text = json.dumps(dict(list(settled.items())[-MOST:])).encode("ascii")
        if path.is_file() and regular_file.read(path, LARGEST) == text:
            return
        state_folder.make_folder(root)
        (root / state_folder.FOLDER / FOLDER).mkdir(exist_ok=True)
        atomic_write.replace({path: text})


def _is_digest(digest: object) -> bool:
    return isinstance(digest, str) and len(digest) == 64 and all(letter in "0123456789abcdef" for letter in digest)
