"""Prints the figures of `verdicts.py`, which are records as its JSON file holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

METHODS = ("model", "cases", "text", "edit", "top-5")
Results = Sequence[dict[str, Any]]


def scientific(number: float) -> str:
    """Such as `3.1e-05`."""
    return f"{number:.1e}" if number else "0"


def by_change(results: Results) -> list[tuple[str, list[dict[str, Any]]]]:
    """The figures of each change, over all models; harmless changes first."""
    ordered = sorted(results, key=lambda result: result["real"])
    names = dict.fromkeys(result["change"] for result in ordered)
    return [(name, [result for result in ordered if result["change"] == name]) for name in names]


def table(results: Results) -> str:
    """One line per change: how far log-probs moved, and the models or outputs with an alarm."""
    columns = f"{'change':<37}{'moved (rms, nats)':>20}{'x limit':>9}{'case':>8}{'model':>8}"
    lines = [f"{columns}{'cases':>9}{'text':>6}{'edit':>6}{'top-5':>6}"]
    for name, group in by_change(results):
        moved = [result["moved"] for result in group if result["limit"]]
        span = f"{scientific(min(moved))} .. {scientific(max(moved))}" if moved else "-"
        times = f"{max(result['moved'] / result['limit'] for result in group if result['limit']):.2g}" if moved else "-"
        case = f"{max(result['largest'] for result in group):.2g}" if moved else "-"
        sums = {method: sum(result["flagged"][method] for result in group) for method in METHODS}
        model, cases = f"{sums['model']}/{len(group)}", f"{sums['cases']}/{sum(one['cases'] for one in group)}"
        others = "".join(f"{sums[method]:>6}" for method in METHODS[2:])
        lines.append(f"{name:<37}{span:>20}{times:>9}{case:>8}{model:>8}{cases:>9}{others}")
    return "\n".join(lines)


def rates(results: Results) -> str:
    """One line per method: false alarms, and changes seen."""
    harmless, real = ([result for result in results if result["real"] is kind] for kind in (False, True))
    lines = [f"{'method':<8}{'false alarms':>14}{'changes seen':>14}"]
    for method in METHODS:
        counts = (f"{sum(bool(one['flagged'][method]) for one in kind)}/{len(kind)}" for kind in (harmless, real))
        lines.append(f"{method:<8}" + "".join(f"{count:>14}" for count in counts))
    return "\n".join(lines)


def report(results: Results) -> str:
    """All figures, precision by precision, and where the model verdict was wrong."""
    parts = []
    for dtype in dict.fromkeys(result["dtype"] for result in results):
        own = [result for result in results if result["dtype"] == dtype]
        noise = {result["model"]: result["noise"] for result in own if result["noise"]}
        models = ", ".join(f"{model} {scientific(value)}" for model, value in noise.items())
        parts += [f"{dtype}; noise (rms, nats): {models}", "", table(own), "", rates(own), ""]
    wrong: list[tuple[str, Callable[[dict[str, Any]], bool]]] = [
        ("false alarm", lambda result: not result["real"] and bool(result["flagged"]["model"])),
        ("not seen", lambda result: result["real"] and not result["flagged"]["model"]),
        ("cannot tell", lambda result: result["finding"] == "cannot tell"),
    ]
    for what, is_wrong in wrong:
        counts = Counter(
            f"{result['change']} ({result['model']}, {result['dtype']})" for result in results if is_wrong(result)
        )
        parts.append(f"{what}: {'; '.join(counts) or 'none'}")
    return "\n".join(parts)
