"""Histograms of an HTML report: which limits are drawn, and with which names."""

from __future__ import annotations

import re

import pytest

from pytest_llmcompare.reports.charts import histogram


@pytest.mark.parametrize(
    ("limits", "lines", "names"),
    [
        ([1e-5, 1e-5, 1e-5], 1, ["noise 1e-05"]),
        ([1e-5, 1.0004e-5, 0.9996e-5], 1, ["noise 1e-05"]),
        ([1e-5, 1e-5, 1.3e-5], 2, ["noise 1e-05"]),
        ([1e-5, 1e-2, 1e-2], 2, ["noise 0.01", "noise 1e-05"]),
        ([], 0, []),
    ],
    ids=["equal", "equal as shown", "close", "apart", "none"],
)
def test_no_name_of_a_limit_covers_another(limits: list[float], lines: int, names: list[str]) -> None:
    """Limits that read the same are one line; of two that are close, the more frequent has its name."""
    page = histogram("Movement", [1e-6, 1e-3, 10.0], limits, "noise", "moved")
    assert page.count('class="limit"/>') == lines
    assert re.findall(r'class="limit">([^<]+)<', page) == names
