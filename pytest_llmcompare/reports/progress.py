"""Says how a group proceeds while tests run: a bar on a terminal, in a log two lines for a group that takes long.

Nothing is written from another thread, and nothing outside of the place that `uncaptured` opens.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TextIO

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import GroupKey
from pytest_llmcompare.text import count, cut, disarm, duration, encodable, rate, width

LONG = 5.0  # seconds after which a group is worth a line in a log
REDRAW = 0.1  # seconds between two pictures of the bar


class Silent:
    """Says nothing: for workers, which have no terminal, and for quiet runs."""

    def begin(self, key: GroupKey, total: int) -> None:
        """A group of `total` cases starts."""

    def step(self, generation: Generation | None) -> None:
        """One more case is done; None where it failed."""

    def end(self) -> None:
        """The group is done."""

    def say(self, text: str) -> None:
        """Something that takes a while begins, such as `loading gpt2-large`."""


class TerminalProgress:
    """Shows progress on a stream.

    Args:
        stream: Where to. Whether it is a terminal is asked on the first write, because capture redirects it.
        uncaptured: Opens a place in which what is written reaches the user; pytest captures all else.
        clock: Time in seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        uncaptured: Callable[[], AbstractContextManager[object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream
        self.uncaptured = uncaptured
        self.clock = clock
        self.is_terminal: bool | None = None
        self.forget()

    def forget(self) -> None:
        """Be ready for the next group."""
        self.label = self.phase = ""
        self.total = self.done = self.failed = self.tokens = 0
        self.since = self.generating_since = self.drawn_at = float("-inf")
        self.drawn = 0  # columns of the bar that stands on the terminal
        self.is_announced = False

    def say(self, text: str) -> None:
        """Something that takes a while begins, such as `loading gpt2-large`."""
        self.start()
        self.phase = disarm(text)
        self.show(now=True)

    def begin(self, key: GroupKey, total: int) -> None:
        """A group of `total` cases starts."""
        self.start()
        self.label = disarm(f"{key.table} x {key.model}")
        self.phase, self.total = "", total
        self.generating_since = self.clock()
        self.show(now=True)

    def step(self, generation: Generation | None) -> None:
        """One more case is done; None where it failed."""
        self.done += 1
        self.failed += generation is None
        self.tokens += len(generation.token_ids or ()) if generation is not None else 0
        self.show(now=self.done == self.total)

    def end(self) -> None:
        """The group is done: take the bar away, or close the announcement in a log."""
        if self.drawn:
            self.write("\r" + " " * self.drawn + "\r")
        elif self.is_announced or self.lasted() >= LONG:
            self.write_log(self.outcome())
        self.forget()

    def start(self) -> None:
        """Note when the first sign of a group came."""
        if self.since == float("-inf"):
            self.since = self.clock()

    def lasted(self) -> float:
        """Seconds since then."""
        return self.clock() - self.since if self.since > float("-inf") else 0.0

    def show(self, *, now: bool) -> None:
        """Draw the bar, unless it was drawn a moment ago, or announce a long group in a log."""
        if self.on_terminal():
            if now or self.clock() - self.drawn_at >= REDRAW:
                self.draw()
        elif not self.is_announced and self.lasted() >= LONG:
            self.is_announced = True
            self.write_log(self.announcement())

    def draw(self) -> None:
        """Replace the bar on the terminal; the first one goes to a line of its own."""
        with self.uncaptured():
            shown = cut(encodable(self.phase, self.encoding) if self.phase else self.bar(), self.columns, "~")
            fill = " " * (self.drawn - width(shown))
            self.stream.write(("\r" if self.drawn else "\n") + shown + fill)
            self.stream.flush()
        self.drawn, self.drawn_at = width(shown), self.clock()

    def bar(self) -> str:
        """Label, bar, cases done, tokens per second, time left; as wide as the terminal."""
        from tqdm import tqdm

        seconds = self.clock() - self.generating_since
        speed = rate(self.tokens, seconds)
        text: str = tqdm.format_meter(
            self.done,
            self.total,
            seconds,
            ncols=self.columns,
            prefix=cut(encodable(self.label, self.encoding), self.columns // 2, "~"),
            ascii=encodable("█▏", self.encoding) != "█▏",
            bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}",
            postfix="".join([f"{speed} tok/s" if speed else "", self.left(seconds)]),
        )
        return text

    def left(self, seconds: float) -> str:
        """Estimate of the time left, from the cases done."""
        if not self.done or self.done >= self.total:
            return ""
        ahead = math.ceil(seconds / self.done * (self.total - self.done))
        return f", {f'{ahead} s' if ahead < 60 else duration(ahead)} left"

    def announcement(self) -> str:
        """The first line of a long group in a log."""
        if not self.label:
            return self.phase
        return f"{self.label}: {self.done:,} of {count(self.total, 'case')} after {duration(self.lasted())}"

    def outcome(self) -> str:
        """The last line of a long group in a log."""
        speed = rate(self.tokens, self.clock() - self.generating_since)
        whole = count(self.total, "case") if self.done == self.total else f"{self.done:,} of {self.total:,} cases"
        failed = f", {self.failed:,} failed" if self.failed else ""
        of = f"{self.label}: {whole} in " if self.label else f"{self.phase}: given up after "
        return f"{of}{duration(self.lasted())}{failed}{f', {speed} tok/s' if speed else ''}"

    @property
    def encoding(self) -> str:
        """Encoding of the stream."""
        return self.stream.encoding or "ascii"

    @property
    def columns(self) -> int:
        """Columns to draw on; the last one stays free, because some terminals wrap there."""
        try:
            known = os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError):
            known = 0
        return max(20, (known or 80) - 1)

    def on_terminal(self) -> bool:
        """Whether somebody is watching."""
        if self.is_terminal is None:
            with self.uncaptured():
                self.is_terminal = self.stream.isatty()
        return self.is_terminal

    def write_log(self, text: str) -> None:
        """Write one line to a log; it may stand after dots of pytest's, so it begins a line of its own."""
        self.write(encodable(f"\nllmcompare: {text}\n", self.encoding))

    def write(self, text: str) -> None:
        """Write where the user sees it."""
        with self.uncaptured():
            self.stream.write(text)
            self.stream.flush()
