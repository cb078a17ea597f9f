"""The plugin's lines in pytest's header: settings that are not at their default, and where each came from."""

from __future__ import annotations

import os

from pytest_llmcompare.settings import AUTO, COMMAND_LINE, FILES, SEMANTIC_MODEL, Settings, Update
from pytest_llmcompare.text import source_without_secrets, without_secrets


def header_lines(settings: Settings, baseline: str = "") -> list[str]:
    """One line with the settings that are not at their default, and a warning if a CI run writes baselines.

    Args:
        settings: Settings of the run.
        baseline: Title of the source of baselines; empty if it is not opened yet.
    """
    values = {
        "models": ", ".join(map(source_without_secrets, settings.models)),
        "baseline": source_without_secrets(baseline or settings.baseline) if settings.baseline != FILES else "",
        "device": settings.device,
        "dtype": settings.dtype,
        "batch size": str(settings.batch_size or ""),
        "decode": settings.decode if settings.decode != AUTO else "",
        "tolerance": "" if settings.tolerance is None else f"{settings.tolerance:g}",
        "shift": settings.shift if settings.shift != "warn" else "",
        "drift budget": "" if settings.drift_budget is None else f"{settings.drift_budget:g}%",
        "semantic model": settings.semantic_model if settings.semantic_model != SEMANTIC_MODEL else "",
        "tracking uri": without_secrets(settings.tracking_uri),
        "traces": "true" if settings.traces else "",
    }
    parts = [
        f"{name}: {value} ({settings.origins.get(name.replace(' ', '_'), '')})"
        for name, value in values.items()
        if value
    ]
    if settings.update is not Update.NOTHING:
        parts.append(f"{settings.update.value} writes baselines")
    if settings.prune:
        parts.append("--llm-prune deletes obsolete baselines")
    lines = [f"llmcompare: {'; '.join(parts)}"] if parts else []
    origin = settings.origins.get("update", COMMAND_LINE)
    if settings.update is not Update.NOTHING and origin != COMMAND_LINE and on_ci():
        what = "every output without a baseline" if settings.update is Update.MISSING else "everything"
        lines.append(f"llmcompare: this run in CI accepts {what}: {settings.update.value} ({origin})")
    return lines


def on_ci() -> bool:
    """True if a CI service runs this; nearly all of them set `CI`."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")
