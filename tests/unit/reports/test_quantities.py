"""Numbers as people read them."""

from __future__ import annotations

import pytest

from pytest_llmcompare.reports.messages import count, duration, per_second, share


@pytest.mark.parametrize(
    ("number", "noun", "shown"),
    [(0, "case", "0 cases"), (1, "case", "1 case"), (2, "case", "2 cases"), (1234567, "token", "1,234,567 tokens")],
)
def test_counts(number: int, noun: str, shown: str) -> None:
    """A number agrees with its noun."""
    assert count(number, noun) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 ms"),
        (0.0123, "12 ms"),
        (0.9996, "1.0 s"),
        (3.44, "3.4 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (75, "1 min 15 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    """A time span has its two largest units, and rounding never gives 60 of one."""
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("number", "seconds", "shown"),
    [(50, 1.2, "41.7"), (999.6, 10, "100"), (12345, 1, "12,345"), (0, 3, ""), (5, 0, "")],
)
def test_rates(number: float, seconds: float, shown: str) -> None:
    """A rate has three digits or more, and is empty where it is not known."""
    assert per_second(number, seconds) == shown


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 5, "0%"),
        (1, 5, "20.0%"),
        (5, 5, "100%"),
        (1, 30000, "<0.1%"),
        (29999, 30000, ">99.9%"),
        (1, 3, "33.3%"),
        (0, 0, ""),
    ],
)
def test_shares(part: int, whole: int, shown: str) -> None:
    """Only nothing is 0% and only all is 100%."""
    assert share(part, whole) == shown
