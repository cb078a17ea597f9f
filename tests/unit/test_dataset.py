"""The table that MLflow evaluates: any text of a prompt table, a baseline or a column's name can stand in it."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcompare.evaluation.dataset import frame_of, storable
from pytest_llmcompare.evaluation.results_table import arranged, columns_beside
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row

TEXTS = st.text(st.characters(codec=None, categories=None) | st.sampled_from("\0\ud83d\udc00\u2028\r\n"), max_size=12)
GROUP = GroupKey("tests", "table", "model")


def frame(*columns: dict[str, Any], baseline: str | None = None) -> Any:
    cases = [
        Case(CaseKey(GROUP, f"n{at}"), Row(f"n{at}", "prompt", "target", columns=own), "", {}, 0)
        for at, own in enumerate(columns)
    ]
    baselines = {} if baseline is None else {cases[0].key.row: baseline}
    stored = json.loads(frame_of(cases).to_json(orient="split"))
    table = arranged(stored, columns_beside(cases, baselines, per_row=True))
    return pd.DataFrame(table["data"], columns=table["columns"])


@given(TEXTS, TEXTS.filter(lambda name: name not in ("prompt_id", "variant", "input_text")), TEXTS)
@settings(deadline=None)
def test_any_text_can_stand_in_it(text: str, name: str, baseline: str) -> None:
    """It is written as UTF-8 and read again; what UTF-8 can hold is not touched."""
    columns = {name: text, "mixed": text}
    table = frame(columns, {"mixed": [text, 1]}, baseline=baseline)
    rows = table.to_dict("records")
    assert rows[0]["mixed"] == storable(text)
    assert rows[0]["baseline"] == storable(baseline)
    assert rows[0][storable(name)] in (storable(text), storable(baseline), "target", "", 0, "{}")


def test_half_a_character_is_shown_as_its_escape() -> None:
    """As it is in baseline files and on the terminal."""
    table = frame({"note": "half \ud83d"}, {"note": "whole \U0001f600"}, baseline="\udc00")
    assert table["note"].tolist() == ["half \\ud83d", "whole \U0001f600"]
    assert table["baseline"].tolist()[0] == "\\udc00"
