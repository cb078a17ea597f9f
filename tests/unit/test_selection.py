"""Selecting cases: each with its further samples, in time that grows with the table and not with its square."""

from __future__ import annotations

import time
from typing import cast

import pytest

from pytest_llmcompare.models.spec import ModelSpec
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row, RowKey
from pytest_llmcompare.suite.extensions import Extensions
from pytest_llmcompare.suite.group import Group
from pytest_llmcompare.suite.marker import Declaration

KEY = GroupKey(".", "table", "m")


def group(rows: int, variants: tuple[str, ...] = ("",), samples: int = 1) -> Group:
    cases: dict[RowKey, Case] = {}
    for number in range(rows):
        row = Row(f"row{number}", "Hi")
        for variant in variants:
            for sample in range(samples):
                name = f"{variant}#{sample + 1}" if sample else variant
                key = CaseKey(KEY, row.id, name)
                cases[key.row] = Case(key, row, "", {}, seed=0, sample=sample)
    return Group(KEY, cast(ModelSpec, None), cast(Declaration, None), "t", cases, cast(Extensions, None))


@pytest.mark.parametrize("variants", [("",), ("warm", "a#b")])
def test_a_case_has_its_own_further_samples(variants: tuple[str, ...]) -> None:
    """Of its row and its variant, in order, whatever the variant is called."""
    made = group(3, variants, samples=3)
    for variant in variants:
        rows = [RowKey("row1", variant), RowKey("row1", f"{variant}#2"), RowKey("row1", f"{variant}#3")]
        assert list(made.samples(rows[0])) == rows
        assert all(made.samples(rows[0])[row] is made.cases[row] for row in rows)


def test_selecting_is_linear() -> None:
    """Ten times the rows take about ten times as long, not a hundred times."""

    def seconds(rows: int) -> float:
        made = group(rows)
        start = time.process_time()
        for row in made.cases:
            made.samples(row)
        return time.process_time() - start

    small, large = min(seconds(2_000) for _ in range(3)), seconds(20_000)
    assert large < 40 * small + 0.1
