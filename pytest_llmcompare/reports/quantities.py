"""Numbers as people read them. Pure."""

from __future__ import annotations

from pytest_llmcompare.statistics import Interval


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 case`, `1,200 cases`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time span in its two largest units: `12 ms`, `3.4 s`, `1 min 15 s`, `2 h 05 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02} min"


def rate(number: float, seconds: float) -> str:
    """How many in a second: `41.7`, `1,234`; empty where it is not known."""
    if number <= 0 or seconds <= 0:
        return ""
    per_second = number / seconds
    return f"{per_second:.1f}" if per_second < 99.95 else f"{per_second:,.0f}"


def share(part: int, whole: int) -> str:
    """A part of a whole in percent. Only nothing is `0%` and only all is `100%`; empty where there is no whole."""
    if not whole:
        return ""
    if part in (0, whole):
        return "100%" if part else "0%"
    percent = 100 * part / whole
    return "<0.1%" if percent < 0.1 else ">99.9%" if percent > 99.9 else f"{percent:.1f}%"


def number(value: float | None) -> str:
    """A measured number with two significant digits: `1.8`, `0.0031`, `4e-06`; empty where it is not known."""
    return "" if value is None else f"{value:.2g}"


def percent(share: float) -> str:
    """A share, from 0 to 1, in percent: `0%`, `4.2%`, `100%`."""
    return f"{100 * share:.0f}%" if share in (0, 1) else f"{100 * share:.1f}%"


def span_of(interval: Interval) -> str:
    """A confidence interval of a share: `95% interval 0.2% to 5.4%`."""
    return f"95% interval {percent(interval.low)} to {percent(interval.high)}"
