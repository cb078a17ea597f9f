"""Histograms of an HTML report as SVG: margins with the limit of ties, movements of log-probs with the noise. Pure.

Only numbers and our own words are in them. Each has a table below it that says the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_llmcompare.text import count, number

from .report_data import ReportData

WIDTH, HEIGHT, LEFT, BELOW = 480, 150, 34, 34  # of a picture, and of the space beside and below its bars
PER_DECADE = 2  # bars
LEAST = 1e-9  # nats; smaller values are in the first bar, zero too
MOST_LINES = 3  # limits drawn


def charts(document: ReportData) -> str:
    """Return the histograms of a report as HTML; empty if there is nothing to count."""
    judged = [
        case["judgement"]
        for table in document["tables"]
        for row in table["rows"]
        for case in row["cases"]
        if case and case["judgement"]
    ]
    margins = [one["margin"] for one in judged if one["margin"] is not None]
    ties = [one["tolerance"] for one in judged if one["margin"] is not None and one["tolerance"]]
    moved = [one["likelihood"] for one in judged if one["likelihood"]]
    movements = [one["rms"] for one in moved if one["rms"] is not None]
    noise = [one["band"] for one in moved if one["band"]]
    return histogram("Margins where texts part", margins, ties, "tie", "margin") + histogram(
        "Movement of log-probs", movements, noise, "noise", "moved"
    )


def histogram(title: str, values: Sequence[float], limits: Iterable[float], limit: str, key: str) -> str:
    """Draw how many cases have which value, on a logarithmic scale.

    Args:
        title: What is counted.
        values: A value per case, in nats.
        limits: The limits that the cases were held against; the most frequent ones are drawn.
        limit: What a limit is called.
        key: Name of the picture, unique on the page.
    """
    if not values:
        return ""
    bins = Counter(_bin(value) for value in values)
    lines = [value for value, _ in Counter(limits).most_common(MOST_LINES)]
    first, last = min([*bins, *map(_bin, lines)]), max([*bins, *map(_bin, lines)])
    rows = [(_edge(at), _edge(at + 1), bins[at]) for at in range(first, last + 1)]
    caption = f"{title}: {count(len(values), 'case')}, nats, logarithmic scale"
    return (
        f'<figure><figcaption id="{key}-title">{caption}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{key}-title">'
        f"{_bars(rows)}{''.join(_limit(value, first, last, limit) for value in lines)}</svg>"
        f"<details><summary>As a table</summary>{_table(rows, lines, limit)}</details></figure>"
    )


def _bin(value: float) -> int:
    return math.floor(PER_DECADE * math.log10(max(value, LEAST)) + 1e-9)


def _edge(at: int) -> float:
    return float(10 ** (at / PER_DECADE))


def _bars(rows: Sequence[tuple[float, float, int]]) -> str:
    """The bars with their numbers, and the value at which each second one begins."""
    most = max(cases for _, _, cases in rows)
    wide, high = (WIDTH - LEFT) / len(rows), HEIGHT - BELOW - 14
    pieces = []
    every = math.ceil(len(rows) / 8)
    for at, (low, _, cases) in enumerate(rows):
        left, tall = LEFT + at * wide, high * cases / most
        if cases:
            top = HEIGHT - BELOW - max(tall, 1.5)
            pieces.append(
                f'<rect x="{left + 1:.1f}" y="{top:.1f}" width="{wide - 2:.1f}" height="{max(tall, 1.5):.1f}"/>'
            )
            pieces.append(f'<text x="{left + wide / 2:.1f}" y="{top - 3:.1f}" text-anchor="middle">{cases:,}</text>')
        if at % every == 0:
            pieces.append(f'<text x="{left:.1f}" y="{HEIGHT - BELOW + 13}" text-anchor="middle">{number(low)}</text>')
    base = HEIGHT - BELOW
    return "".join([*pieces, f'<path d="M{LEFT} {base}H{WIDTH}" class="axis"/>'])


def _limit(value: float, first: int, last: int, name: str) -> str:
    """A line at a limit, with its name."""
    place = (PER_DECADE * math.log10(max(value, LEAST)) - first) / (last - first + 1)
    left = LEFT + place * (WIDTH - LEFT)
    label = f'<text x="{left:.1f}" y="{HEIGHT - 4}" text-anchor="middle" class="limit">{name} {number(value)}</text>'
    return f'<path d="M{left:.1f} 4V{HEIGHT - BELOW + 16}" class="limit"/>{label}'


def _table(rows: Sequence[tuple[float, float, int]], limits: Sequence[float], limit: str) -> str:
    """The same as a table."""
    body = "".join(
        f"<tr><td>{number(low)} to {number(high)}</td><td>{cases:,}</td></tr>" for low, high, cases in rows if cases
    )
    limits_line = f"<p>{limit}: up to {', '.join(map(number, limits))}</p>" if limits else ""
    return f"<table><thead><tr><th>nats</th><th>cases</th></tr></thead><tbody>{body}</tbody></table>{limits_line}"
