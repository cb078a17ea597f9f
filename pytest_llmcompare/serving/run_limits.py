"""What all processes of a run share about one served model: slots for requests, their number, and pauses.

Workers of pytest-xdist share a folder. Locked files stand for slots there, because the operating system frees them if a
process is killed.
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import mktime_tz, parsedate_tz
from pathlib import Path
from typing import Protocol

LOOK_AGAIN = 0.005  # seconds between two looks for a free slot of another process
LONGEST_PAUSE = 120.0
"""Longest pause (seconds) that a server may ask for; longer ones are quotas of a day."""


class _Lock(Protocol):
    def release(self) -> object: ...


class Slots:
    """Slots for requests in flight.

    Args:
        folder: Folder that the processes of a run share; None if there is only this one.
        stopped: Ends waiting for a slot.
    """

    def __init__(self, folder: Path | None, stopped: threading.Event) -> None:
        self._folder = folder
        self._stopped = stopped
        self._turn = threading.Lock()
        self._locks: dict[int, threading.Lock] = {}

    @contextmanager
    def hold(self, count: int, *, alone: bool = False) -> Iterator[None]:
        """Hold one of the first `count` slots, or all of them; wait until they are free, or until the run ends."""
        locks: list[_Lock] = []
        try:
            with self._turn:  # one thread of a process looks, the others wait for it
                if alone:  # in this order, so that two processes never wait for each other
                    locks.extend(filter(None, (self._wait_for([number]) for number in range(count))))
                else:
                    locks.extend(filter(None, [self._wait_for(range(count))]))
            yield
        finally:
            for lock in locks:
                lock.release()

    def _wait_for(self, numbers: Sequence[int]) -> _Lock | None:
        while (lock := self._free_one(numbers)) is None and not self._stopped.wait(LOOK_AGAIN):
            pass
        return lock

    def _free_one(self, numbers: Sequence[int]) -> _Lock | None:
        for number in random.sample(numbers, len(numbers)):
            if (lock := self._take(number)) is not None:
                return lock
        return None

    def _take(self, number: int) -> _Lock | None:
        if self._folder is None:
            lock = self._locks.setdefault(number, threading.Lock())
            return lock if lock.acquire(blocking=False) else None
        from filelock import FileLock, Timeout

        file = FileLock(self._folder / f"slot-{number}.lock")
        try:
            file.acquire(timeout=0)
        except Timeout:
            return None
        return file


class RequestBudget:
    """Number of requests of a run: those sent, and those set aside for a table.

    Args:
        limit: Most requests; None for no limit.
        folder: Folder that the processes of a run share; None if there is only this one.
    """

    def __init__(self, limit: int | None, folder: Path | None) -> None:
        self.limit = limit
        self._file = folder / "requests" if folder else None
        self._lock = threading.Lock()
        self._total = self._set_aside = 0

    @property
    def total(self) -> int:
        """Requests of all processes, sent or set aside."""
        with self._locked():
            return self._read()

    def set_aside(self, count: int) -> bool:
        """Set requests aside for this process; False if that would exceed the limit."""
        if self.limit is None:
            return True
        with self._locked():
            is_allowed = self._add(count)
            self._set_aside += count if is_allowed else 0
        return is_allowed

    def give_back(self) -> None:
        """Give back what was set aside and not used."""
        if self._set_aside:
            with self._locked():
                self._write(self._read() - self._set_aside)
                self._set_aside = 0

    def use_one(self) -> bool:
        """Count one request, of those set aside if any are left; False if it would exceed the limit."""
        if self.limit is None:
            return True
        with self._locked():
            if self._set_aside:
                self._set_aside -= 1
                return True
            return self._add(1)

    def _add(self, count: int) -> bool:
        total = self._read() + count
        if self.limit is not None and total > self.limit:
            return False
        self._write(total)
        return True

    def _read(self) -> int:
        if self._file is None:
            return self._total
        try:
            return int(self._file.read_text("ascii"))
        except FileNotFoundError:
            return 0

    def _write(self, total: int) -> None:
        self._total = total
        if self._file is not None:
            self._file.write_text(str(total), "ascii")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            if self._file is None:
                yield
                return
            from filelock import FileLock

            with FileLock(f"{self._file}.lock"):
                yield


class Pause:
    """A time at which no request is sent, because the server asked for a pause.

    Args:
        folder: Folder that the processes of a run share; None if there is only this one.

    Attributes:
        stopped: Set when the run ends; it ends all waiting.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.stopped = threading.Event()
        self._file = folder / "pause" if folder else None
        self._lock = threading.Lock()
        self._until = 0.0  # seconds since the epoch, which processes share

    def extend(self, seconds: float) -> None:
        """Pause for this number of seconds, unless a longer pause is on."""
        with self._lock:
            until = max(self._end(), time.time() + seconds)
            self._until = until
            if self._file is not None:
                # The time of the file is the end of the pause; others see it with that time, or not at all.
                mine = self._file.with_name(f"pause-{os.getpid()}-{id(self)}")
                mine.touch()
                os.utime(mine, (until, until))
                mine.replace(self._file)

    def wait(self) -> None:
        """Wait until the pause is over."""
        while (left := self._end() - time.time()) > 0 and not self.stopped.wait(min(left, LONGEST_PAUSE)):
            pass

    def _end(self) -> float:
        shared = 0.0
        if self._file is not None:
            with contextlib.suppress(FileNotFoundError):
                shared = self._file.stat().st_mtime
        return max(self._until, shared)


def seconds_to_wait(headers: Mapping[str, str], limited: int) -> float:
    """Seconds that a server asks to wait after a 429; 1, 2, 4, ... if it names none, or a time that is over.

    Args:
        headers: Headers of the answer.
        limited: Number of such answers so far, from 1.
    """
    written = headers.get("retry-after", "")
    asked = (_number(headers.get("retry-after-ms", "")) / 1000, _number(written), _seconds_until(written))
    return next((seconds for seconds in asked if seconds > 0), float(2 ** (limited - 1)))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _seconds_until(date: str) -> float:
    moment = parsedate_tz(date)
    try:
        return 0.0 if moment is None else mktime_tz(moment) - time.time()
    except (ValueError, OverflowError):  # there is no such day
        return 0.0
