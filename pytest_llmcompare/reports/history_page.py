"""The history of a table as one HTML page without scripts: lines drawn in SVG, with the numbers as tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from string import Template

from pytest_llmcompare.comparison.history import Commit, ModelHistory
from pytest_llmcompare.judgement import Finding
from pytest_llmcompare.text import count, disarm

from .history_lines import COMMIT, shown_value, started

WIDTH, HEIGHT, EDGE = 640, 120, 10  # of a drawing, in its own units

PAGE = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; --soft: light-dark(#575d69, #a5acb9); --line: light-dark(#dfe2e8, #30353e);
  --accent: light-dark(#2853c8, #93b4ff); --changed: light-dark(#9a5b00, #f0b45e); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figcaption { font-weight: 600; } svg { width: 100%; max-width: 40rem; height: auto; }
.curve { fill: none; stroke: var(--accent); stroke-width: 2; } circle { fill: var(--accent); }
circle.changed { fill: var(--changed); stroke: currentColor; } .axis { stroke: var(--line); }
text, small { fill: var(--soft); color: var(--soft); }
text { font-size: 11px; } .scroll { overflow-x: auto; } table { border-collapse: collapse; }
th, td { text-align: right; padding: .2rem .8rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
</style>
<h1>$title</h1>
<p><small>$sentence</small></p>
$models
</html>
""")


def history_page(table: str, models: Sequence[ModelHistory], metrics: Sequence[str]) -> str:
    """Draw the history of a table."""
    runs = sum(commit.runs for model in models for commit in model.commits)
    what = f"{count(runs, 'run')} of {count(len(models), 'model')}, from MLflow"
    sentence = f"{what}. Times are UTC. A point with a ring: the model changed."
    sections = "\n".join(part for model in models for part in _section(model, metrics))
    return PAGE.substitute(title=_safe(f"History of {table}"), sentence=sentence, models=sections)


def _section(model: ModelHistory, metrics: Sequence[str]) -> Iterator[str]:
    where = "" if model.folder == "." else f" <small>{_safe(model.folder)}</small>"
    yield f"<section><h2>{_safe(model.model)}{where}</h2>"
    for metric in metrics:
        values = model.values(metric)
        if sum(value is not None for value in values) > 1:
            yield f"<figure><figcaption>{_safe(metric)}</figcaption>{_drawing(model, metric)}</figure>"
    yield f'<div class="scroll" tabindex="0">{_table(model, metrics)}</div></section>'


def _drawing(model: ModelHistory, metric: str) -> str:
    """A line through the values of a metric; a point with a ring is a commit at which the model changed."""
    values = model.values(metric)
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    points = []
    for at, (value, commit) in enumerate(zip(values, model.commits, strict=True)):
        if value is not None:
            x = EDGE + at * (WIDTH - 2 * EDGE) / max(len(values) - 1, 1)
            y = HEIGHT - EDGE - (value - low) / (high - low or 1) * (HEIGHT - 2 * EDGE)
            points.append((x, y, value, commit))
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, *_ in points)
    circles = "".join(
        _point(x, y, f"{named(commit)}: {shown_value(metric, value)}", commit) for x, y, value, commit in points
    )
    label = f"{metric} from {shown_value(metric, known[0])} to {shown_value(metric, known[-1])}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 16}" role="img" aria-label="{_safe(label)}">'
        f'<line class="axis" x1="0" x2="{WIDTH}" y1="{HEIGHT}" y2="{HEIGHT}"/>'
        f'<text x="0" y="{HEIGHT + 13}">{_safe(started(points[0][3]))}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT + 13}" text-anchor="end">{_safe(started(points[-1][3]))}</text>'
        f'<text x="{WIDTH}" y="11" text-anchor="end">{shown_value(metric, low)} to {shown_value(metric, high)}</text>'
        f'<polyline class="curve" points="{path}"/>{circles}</svg>'
    )


def _point(x: float, y: float, title: str, commit: Commit) -> str:
    changed = commit.run.finding == Finding.CHANGED
    shape = 'class="changed" r="5"' if changed else 'r="3.5"'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" {shape}><title>{_safe(title)}</title></circle>'


def named(commit: Commit) -> str:
    """Time and name of a commit."""
    return f"{started(commit)} {commit.run.commit[:COMMIT]}".rstrip()


def _table(model: ModelHistory, metrics: Sequence[str]) -> str:
    heading = "".join(
        f'<th scope="col">{_safe(name)}</th>' for name in ("started", "commit", "runs", "model", *metrics)
    )
    lines = []
    for commit in reversed(model.commits):
        run = commit.run
        values = [shown_value(metric, run.metrics.get(metric)) for metric in metrics]
        finding = "failed" if run.failed else run.finding
        cells = (started(commit), run.commit[:COMMIT], f"{commit.runs:,}", finding, *values)
        lines.append(f"<tr>{''.join(f'<td>{_safe(cell)}</td>' for cell in cells)}</tr>")
    return f"<table><thead><tr>{heading}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _safe(text: str) -> str:
    return escape(disarm(text))
