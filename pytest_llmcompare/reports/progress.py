"""Progress of a group while tests run: a tqdm bar on a terminal; in a log two lines for a group that takes long.

Nothing is written from another thread, or while pytest captures output.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TextIO

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import GroupKey
from pytest_llmcompare.text import count, cut, disarm, duration, encodable, per_second

if TYPE_CHECKING:
    from tqdm import tqdm

LONG = 5.0  # seconds after which a group is worth a line in a log
REDRAW = 0.1  # seconds between two pictures of the bar
STEADY = 2.0  # seconds of a pace after which it tells how long the rest takes
BAR = "{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}"


class Silent:
    """Shows nothing: for workers, which have no terminal, and for quiet runs."""

    def begin(self, key: GroupKey, total: int) -> None:
        """A group of `total` cases starts."""

    def step(self, generation: Generation | None) -> None:
        """One more case is done; None if it failed."""

    def end(self) -> None:
        """The group is done."""

    def say(self, text: str) -> None:
        """A slow step begins, such as `loading gpt2-large`."""

    def announce(self, text: str) -> None:
        """What is about to be done."""

    def ask_many(self, at_once: int) -> None:
        """Cases are asked from now on, several at a time."""


class TerminalProgress:
    """Shows progress on a stream.

    Args:
        stream: A terminal or a log; which of them is asked at the first write, because capture redirects it before.
        uncaptured: Opens a block in which output reaches the user; pytest captures everything else.
        clock: Time in seconds.
        new_line: Whether a bar begins a new line, because pytest's dots may be on the line.
    """

    done: int

    def __init__(
        self,
        stream: TextIO,
        uncaptured: Callable[[], AbstractContextManager[object]],
        clock: Callable[[], float] = time.monotonic,
        *,
        new_line: bool = True,
    ) -> None:
        self.stream = stream
        self.uncaptured = uncaptured
        self.clock = clock
        self.new_line = new_line
        self._reset()

    def say(self, text: str) -> None:
        """A slow step begins, such as `loading gpt2-large`."""
        self._start()
        self._end_phase()
        self.phase, self.phase_since = disarm(text), self.clock()
        self._show("{desc}", cut(self.phase, self._columns, "~"))

    def announce(self, text: str) -> None:
        """What is about to be done, in a line that stays."""
        self._start()
        assert self.bar is not None
        if self.bar.disable:
            self._log(disarm(text))
            return
        with self.uncaptured():
            self.bar.clear()
            self.stream.write(encodable(f"llmcompare: {disarm(text)}\n", self._encoding))

    def ask_many(self, at_once: int) -> None:
        """Cases are asked from now on, `at_once` of them at a time; the pace is that of the answers from now on."""
        self.at_once, self.asked_from, self.asked_since = at_once, self.done, self.clock()
        self.tokens, self.generating_since = 0, self.clock()

    def begin(self, key: GroupKey, total: int) -> None:
        """A group of `total` cases starts."""
        self._start()
        self._end_phase()
        self.label = disarm(f"{key.table} x {key.model}")
        self.total, self.generating_since = total, self.clock()
        self._show(BAR, cut(self.label, self._columns // 2, "~"))

    def step(self, generation: Generation | None) -> None:
        """One more case is done; None if it failed."""
        self.done += 1
        self.failed += generation is None
        self.tokens += len(generation.token_ids or ()) if generation is not None else 0
        self._take_pace(self.clock())
        if self.done == self.total or self.clock() - self.drawn_at >= REDRAW:
            self._show()

    def end(self) -> None:
        """The group is done: take the bar away, or close the announcement in a log."""
        if self.bar is not None and not self.bar.disable:
            with self.uncaptured():
                self.bar.close()
        elif self.is_announced or self._lasted() >= LONG:
            self._log(self._outcome())
        self._reset()

    def _reset(self) -> None:
        """Be ready for the next group."""
        self.bar: tqdm[object] | None = None
        self.label = self.phase = ""
        self.pace: float | None = None  # seconds per case
        self.total = self.done = self.failed = self.tokens = 0
        self.at_once = self.asked_from = 0
        self.since = self.generating_since = self.asked_since = self.drawn_at = float("-inf")
        self.phase_since = self.first_at = self.last_at = float("-inf")
        self.is_announced = self.has_logged = False

    def _start(self) -> None:
        """Note when the first sign of a group came; on a terminal, draw its bar on a new line."""
        if self.bar is None:
            self.since = self.clock()
            with self.uncaptured():
                self.bar = _bar(self.stream, self._columns)
                if not self.bar.disable and self.new_line:
                    self.stream.write("\n")

    def _show(self, bar_format: str = "", label: str = "") -> None:
        """Draw the bar, changed as given, or announce a long group in a log."""
        assert self.bar is not None
        if self.bar.disable:
            if self.label and not self.is_announced and self._lasted() >= LONG:
                self._log(self._announcement())
                self.is_announced = True
            return
        if bar_format:
            self.bar.bar_format, self.bar.desc, self.bar.total = (
                bar_format,
                encodable(label, self._encoding),
                self.total,
            )
        self.bar.n, self.drawn_at = self.done, self.clock()
        with self.uncaptured():
            self.bar.set_postfix_str(", ".join(filter(None, [self._speed(), self._left()])))

    def _speed(self) -> str:
        """Answers per second where several are asked at once, else tokens per second; empty if unknown."""
        if self.at_once:
            answers = per_second(self.done - self.asked_from, self.clock() - self.asked_since)
            return f"{answers} answers/s" if answers else ""
        tokens = per_second(self.tokens, self.clock() - self.generating_since)
        return f"{tokens} tok/s" if tokens else ""

    def _left(self) -> str:
        """Estimate of the time left, from the pace so far; empty as long as it cannot be known."""
        if self.pace is None or self.done >= self.total:
            return ""
        ahead = math.ceil(self.pace * (self.total - self.done))
        return f"{f'{ahead} s' if ahead < 60 else duration(ahead)} left"

    def _take_pace(self, now: float) -> None:
        """Measure the seconds per case from the first answer on, which shows no pace: a model warms up for it.

        Answers of one batch come together, and so do the first ones of many that are asked at once. So the pace is
        taken when an answer comes after a pause, from the number of answers before it.
        """
        since = self.done - self.asked_from - 1
        if since <= 0:
            self.first_at, self.pace = now, None
        elif since >= self.at_once and now - self.first_at >= STEADY:
            mean = (now - self.first_at) / since
            if now - self.last_at >= mean / 2:
                self.pace = mean
        self.last_at = now

    def _end_phase(self) -> None:
        """In a log, name a step that took long."""
        if self.bar is not None and self.bar.disable and self.phase and self.clock() - self.phase_since >= LONG:
            self._log(f"{self.phase}: {duration(self.clock() - self.phase_since)}")
        self.phase = ""

    def _lasted(self) -> float:
        """Seconds since the first sign of the group."""
        return self.clock() - self.since if self.since > float("-inf") else 0.0

    def _announcement(self) -> str:
        """The first line of a long group in a log."""
        return f"{self.label}: {self.done:,} of {count(self.total, 'case')} after {duration(self._lasted())}"

    def _outcome(self) -> str:
        """The last line of a long group in a log."""
        whole = count(self.total, "case") if self.done == self.total else f"{self.done:,} of {self.total:,} cases"
        failed = f", {self.failed:,} failed" if self.failed else ""
        of = f"{self.label}: {whole} in " if self.label else f"{self.phase}: given up after "
        speed = self._speed()
        return f"{of}{duration(self._lasted())}{failed}{f', {speed}' if speed else ''}"

    def _log(self, text: str) -> None:
        """Write one line to a log; the first of a group after a line break, because pytest's dots may be there."""
        start = "" if self.has_logged else "\n"
        self.has_logged = True
        with self.uncaptured():
            self.stream.write(encodable(f"{start}llmcompare: {text}\n", self._encoding))
            self.stream.flush()

    @property
    def _encoding(self) -> str:
        return self.stream.encoding or "ascii"

    @property
    def _columns(self) -> int:
        """Columns to draw on; the last one stays free, because some terminals wrap there."""
        try:
            known = os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError):
            known = 0
        return max(20, (known or 80) - 1)


def _bar(stream: TextIO, columns: int) -> tqdm[object]:
    """A bar that is not drawn yet; disabled if the stream is not a terminal."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]  # generic in its stubs alone
        """A bar without a thread that watches it, and without a lock between processes."""

        monitor_interval = 0

    Bar.set_lock(threading.RLock())
    later = 1e-9  # seconds; a delay keeps the constructor from drawing
    return Bar(file=stream, disable=None, leave=False, ncols=columns, position=0, delay=later)
