"""The files of the answer cache: answers that later runs use, so that an unchanged model is not asked again.

    .llmcompare/answers/3f1c9a2e5b7d4c01.jsonl      5d41402abc4b2a76 {"v": 1, "model": "...", "facts": {...}, ...}
                                                    7d793037a0760186 {"v": 1, "answer": "...", "generation": {...}, ...}

One file per table and model. Each line begins with a checksum. Lines that are cut off, damaged or of another version
are ignored, so a run that is killed at any moment leaves a usable file. Writers hold a lock on the folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from pytest_llmcompare.records import GroupKey
from pytest_llmcompare.text import count

from . import atomic_write, folder_lock, regular_file, state_folder
from .cache_lines import FORMAT, CacheContent, key_of, parse_line

FOLDER = "answers"
ENDING = ".jsonl"
LARGEST_FILE = 256 * 2**20
"""Bytes of a file; a larger one loses its oldest answers."""
LARGEST_FOLDER = 2**30
"""Bytes of all files; if they have more, those written longest ago are deleted."""
MAX_AGE = 30 * 24 * 3600.0
"""Seconds after which an answer is not used any more."""
LOCK_SECONDS = 10.0


class CacheFile:
    """The cached answers of one table and model.

    Args:
        root: pytest's root folder.
        group: Table and model.
    """

    def __init__(self, root: Path, group: GroupKey) -> None:
        name = hashlib.sha256(json.dumps(dataclasses.astuple(group)).encode()).hexdigest()[:16]
        self.root = root
        self.path = folder_of(root) / f"{name}{ENDING}"

    @property
    def place(self) -> str:
        """The file, for messages."""
        return f"{state_folder.FOLDER}/{FOLDER}/{self.path.name}"

    def read(self, now: float | None = None) -> CacheContent:
        """Read the file. What is damaged, too old, or of another version is left out."""
        content = CacheContent()
        if not os.path.lexists(self.path):
            return content
        now = time.time() if now is None else now
        try:
            data = regular_file.read(self.path, LARGEST_FILE * 2)
        except OSError as error:
            content.notes.append(
                f"the answer cache {self.place} cannot be read and is ignored: {error.strerror or error}"
            )
            return content
        damaged = newer = 0
        for text in data.split(b"\n")[:-1]:  # a last line without its end was cut off
            line = parse_line(text)
            if line is None:
                damaged += bool(text)
            elif line["v"] != FORMAT:
                newer += 1
            elif 0 <= now - line["at"] <= MAX_AGE or line["at"] > now:
                damaged += not content.take_in(line)
            else:
                content.oldest = min(content.oldest, line["at"])
        for number, why in ((damaged, "cannot be read"), (newer, "of another version")):
            if number:
                content.notes.append(f"{count(number, 'line')} of the answer cache {self.place} {why}: ignored")
        return content

    def append(self, lines: Iterable[bytes], oldest: float = float("inf")) -> str:
        """Add lines; drop answers beyond the limits of age and size.

        Args:
            lines: Made by `model_line`, `answer_line` and `noise_and_notes_line`.
            oldest: When the oldest line of the file was written.

        Returns:
            Why they could not be written, for the user; empty if they were.
        """
        data = b"".join(lines)
        if not data:
            return ""
        try:
            append_to(self.root, self.path, data, oldest)
        except TimeoutError:
            return f"answers are not cached for the next run: another run has kept {self.place} locked"
        except OSError as error:
            in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
            why = "a file is in the place of its folder" if in_the_way else error.strerror or error
            return f"answers are not cached for the next run: {self.place} cannot be written: {why}"
        return ""


def append_to(root: Path, path: Path, data: bytes, oldest: float = float("inf")) -> None:
    """Append whole lines to a file of the cache; drop answers beyond the limits of age and size.

    Raises:
        TimeoutError: Another run keeps the folder locked.
        OSError: It cannot be written; then the file is as before.
    """
    state_folder.make_folder(root)
    path.parent.mkdir(exist_ok=True)
    with folder_lock.folder_lock(path.parent, LOCK_SECONDS):
        size = _append(path, data)
        if size > LARGEST_FILE or time.time() - oldest > MAX_AGE:
            _compact(path)
        _limit_folder(path)


def folder_of(root: Path) -> Path:
    """The folder of the answer cache."""
    return root / state_folder.FOLDER / FOLDER


def files_in(root: Path) -> list[Path]:
    """All files of the cache, sorted."""
    with contextlib.suppress(OSError):
        return sorted(path for path in folder_of(root).iterdir() if path.name.endswith(ENDING) and path.is_file())
    return []


def clear(root: Path) -> int:
    """Delete all files of the cache; return how many.

    Raises:
        OSError: One cannot be deleted.
        TimeoutError: Another run keeps the folder locked.
    """
    folder = folder_of(root)
    if not folder.is_dir():
        return 0
    with folder_lock.folder_lock(folder, LOCK_SECONDS):
        paths = files_in(root)
        for path in paths:
            path.unlink()
        for other in folder.glob("*.json"):
            other.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
        state_folder.remove_if_empty(root)
    return len(paths)


def _append(path: Path, data: bytes) -> int:
    """Append whole lines, or nothing; return the file's size."""
    with regular_file.open_to_append(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            data = data if file.read(1) == b"\n" else b"\n" + data  # a killed run left half a line
        try:
            file.write(data)
            file.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), size)
            raise
        return size + len(data)


def _compact(path: Path) -> None:
    """Drop old, repeated and unreadable lines, and the oldest answers until the file has half its largest size."""
    newest_first: list[bytes] = []
    seen: set[str] = set()
    size = 0
    for text in reversed(regular_file.read(path, 2 * LARGEST_FILE + 2**26).split(b"\n")[:-1]):
        line = parse_line(text)
        if line is None or line["v"] != FORMAT or time.time() - line["at"] > MAX_AGE:
            continue
        name = str(line.get("answer") or key_of([line.get("model"), line.get("place"), line.get("about")]))
        if name in seen and "about" not in line:
            continue
        seen.add(name)
        size += len(text) + 1
        if size > LARGEST_FILE // 2:
            break
        newest_first.append(text + b"\n")
    atomic_write.replace({path: b"".join(reversed(newest_first))})


def _limit_folder(current: Path) -> None:
    """Delete the files that were written longest ago if all together are too large."""
    sizes = {path: path.stat() for path in current.parent.glob(f"*{ENDING}")}
    total = sum(facts.st_size for facts in sizes.values())
    for path in sorted(sizes, key=lambda path: sizes[path].st_mtime):
        if total <= LARGEST_FOLDER or path == current:
            return
        total -= sizes[path].st_size
        path.unlink(missing_ok=True)


def group_in(path: Path) -> tuple[str, int]:
    """Table and model of a file, with its number of answers.

    Raises:
        OSError: It cannot be read.
    """
    names, answers = "", set[str]()
    for text in regular_file.read(path, 2 * LARGEST_FILE).split(b"\n")[:-1]:
        line = parse_line(text)
        if line is None:
            continue
        if isinstance(line.get("group"), dict):
            names = " / ".join(str(line["group"].get(name, "")) for name in ("folder", "table", "name"))
        if "answer" in line:
            answers.add(str(line["answer"]))
    return names or path.name, len(answers)
