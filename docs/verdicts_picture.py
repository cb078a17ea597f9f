"""Draws the picture in verdicts.md from the figures of `benchmarks/verdicts.py`.

    python benchmarks/verdicts.py --json docs/verdicts.json && python docs/verdicts_picture.py

Needs `matplotlib`, which mlflow brings.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
FIGURES = DOCS / "verdicts.json"
PICTURE = DOCS / "images" / "verdicts.svg"
LEAST = 2e-2  # times the limit; the left edge
HARMLESS, REAL, BAND = "#2c7fb8", "#d95f0e", "#dddddd"
MARKERS = {"float32": "o", "bfloat16": "s", "float16": "^"}


def rows_of(results: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The figures of each change that can be compared, over all models and precisions; harmless changes first."""
    compared = sorted((one for one in results if one["limit"]), key=lambda one: one["real"])
    names = dict.fromkeys(one["change"] for one in compared)
    return [(name, [one for one in compared if one["change"] == name]) for name in names]


def draw(figures: dict[str, Any]) -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "verdicts", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot

    rows = rows_of(figures["results"])
    figure, axes = pyplot.subplots(figsize=(9, 0.26 * len(rows) + 1.1), layout="constrained")
    axes.axvspan(LEAST, 1, color=BAND, zorder=0)
    for place, (_, group) in enumerate(rows):
        colour = REAL if group[0]["real"] else HARMLESS
        for one in group:
            times = max(1.1 * LEAST, one["moved"] / one["limit"])
            axes.plot(times, place, MARKERS[one["dtype"]], color=colour, markersize=5, alpha=0.7)
        texts = sum(one["flagged"]["text"] for one in group) / sum(one["cases"] for one in group)
        axes.text(1.02, place, f"{texts:.0%}", transform=axes.get_yaxis_transform(), va="center")
    axes.text(1.02, -1.2, "other texts", transform=axes.get_yaxis_transform(), va="center")
    axes.set(xscale="log", xlim=(LEAST, 2e7), ylim=(len(rows) - 0.5, -0.7), yticks=range(len(rows)))
    axes.set_yticklabels([row[0] for row in rows])
    markers = "circles float32, squares bfloat16, triangles float16"
    axes.set_xlabel(f"movement of all log-probs of a model, in units of its limit ({markers})")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", alpha=0.3)
    svg = io.StringIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    lines = [line.rstrip() for line in svg.getvalue().splitlines()]
    PICTURE.write_text("\n".join([*lines, ""]), encoding="utf-8")


def main() -> None:
    """Draw the picture anew."""
    draw(json.loads(FIGURES.read_text(encoding="ascii")))
    print(PICTURE)


if __name__ == "__main__":
    main()
