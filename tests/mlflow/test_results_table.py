"""The results table in MLflow: a row per case, all models of an experiment side by side."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.records import GroupKey

from .evaluations import CASES, Suite, datasets, made_template, suite

__all__ = ["made_template", "suite"]


def test_all_models_side_by_side(suite: Suite) -> None:
    """`mlflow.load_table` gives, for the experiment, what every model said to every prompt."""
    suite.compare()
    suite.run(suite.spec("a"), suite.spec("b", "tiny-bloom")).assert_outcomes(passed=6)
    table = suite.table("trivia")
    wide = table.pivot_table(index="prompt_id", columns="tags.llmcompare.model", values="outputs", aggfunc="first")
    for model in ("a", "b"):
        stored = store.load(suite.path, GroupKey("", "trivia", model))
        texts = {row.prompt_id: baseline.generation.text for row, baseline in stored.baselines.items()}
        assert wide[model].to_dict() == texts
    assert len(table) == 6


def test_columns(suite: Suite) -> None:
    """Prompt, variant, target, the table's own columns, baseline, output, verdict and token count stand in a row."""
    suite.compare(cases=[{**case, "topic": "nature"} for case in CASES])
    suite.run(suite.spec("a"))
    suite.run(suite.spec("a"), args=())
    first, second = (table for _, table in suite.table("trivia").groupby("run_id", sort=False))
    if list(first["verdict/score"]) != ["missing"] * 3:
        first, second = second, first
    assert list(first["verdict/score"]) == ["missing"] * 3
    assert first["baseline"].isna().all()
    assert list(second["verdict/score"]) == ["identical"] * 3
    assert list(second["baseline"]) == list(first["outputs"]) == list(second["outputs"])
    assert list(second["prompt_id"]) == ["sky", "trees", "sum"]
    assert list(second.columns[:4]) == ["input_text", "outputs", "baseline", "prompt_id"]
    assert "variant" not in second
    assert list(second["input_text"]) == [case["input_text"] for case in CASES]
    assert list(second["target"]) == [case["target"] for case in CASES]
    assert list(second["topic"]) == ["nature"] * 3
    assert list(second["token_count"]) == [4.0] * 3


def test_variants(suite: Suite) -> None:
    """Where rows differ in their settings, the table shows examples, settings and seed of each."""
    suite.compare('variants={"greedy": {}, "drawn": {"do_sample": True, "top_k": 5}}', cases=CASES[:1])
    suite.run(suite.spec("a")).assert_outcomes(passed=2)
    table = suite.table("trivia")
    assert list(table.columns[:5]) == ["input_text", "outputs", "baseline", "prompt_id", "variant"]
    assert list(table["variant"]) == ["greedy", "drawn"]
    settings = [json.loads(text) for text in table["config_dict"]]
    assert [found["do_sample"] for found in settings] == [False, True]
    assert [found["max_new_tokens"] for found in settings] == [4, 4]
    assert list(table["few_shot_examples"]) == ["", ""]
    assert table["seed"].nunique() == 2


def test_one_table_is_one_dataset(suite: Suite) -> None:
    """All runs and models of a table share a digest, whatever their baselines and settings; its source is its file."""
    (suite.path / "tables").mkdir()
    (suite.path / "tables" / "trivia.json").write_text(json.dumps(CASES), encoding="utf-8")
    suite.compare(table="'tables/trivia.json'")
    suite.log_python_model("other", "return [text.upper() for text in model_input.iloc[:, 0]]")
    models = suite.spec("a"), "other=models:/other/1"
    suite.run(*models)
    suite.run(*models, args=()).assert_outcomes(passed=6)
    shared = {
        (data.name, data.digest, data.source_type, data.source)
        for run in suite.runs("trivia")
        for data in datasets(run)
    }
    ((name, _, kind, source),) = shared
    assert (name, kind, json.loads(source)) == ("trivia", "local", {"uri": "tables/trivia.json"})


def test_metrics_see_the_baselines(suite: Suite) -> None:
    """A metric may ask for columns of the results table that are not in the dataset."""
    suite.compare("metrics=[SAME]")
    test = suite.path / "test_trivia.py"
    metric = """
from mlflow.metrics import MetricValue, make_metric

def same(predictions, baseline):
    return MetricValue(scores=[float(equal) for equal in predictions == baseline])

SAME = make_metric(eval_fn=same, greater_is_better=True, name="same")
"""
    test.write_text(metric + test.read_text())
    suite.run(suite.spec("a"))
    suite.run(suite.spec("a"), args=()).assert_outcomes(passed=3)
    scores = suite.table("trivia").groupby("run_id", sort=False)["same/score"].apply(list)
    assert sorted(scores) == [[0.0] * 3, [1.0] * 3]


EVIDENCE = ("likelihood_drift", "margin")


def test_drift_is_visible(suite: Suite) -> None:
    """A drifted case shows in its row, and as a rate among the run's metrics."""
    suite.compare(cases=[*CASES, {"id": "vader", "input_text": "Q: Who is Darth Vader?\nA:"}])
    suite.run(suite.spec("m"))
    suite.run(suite.spec("m", "tiny-gpt2-distil"), args=())
    table = suite.table("trivia")
    run = suite.runs("trivia")[1]
    verdicts = list(table[table["run_id"] == run.info.run_id]["verdict/score"])
    assert {"drifted", "shifted"} == set(verdicts)
    metrics = run.data.metrics
    assert metrics["verdict/drift_rate"] == verdicts.count("drifted") / 4
    assert metrics["verdict/shift_rate"] == verdicts.count("shifted") / 4
    assert metrics["verdict/near_tie_rate"] == 0
    moved, margins = (list(table[table["run_id"] == run.info.run_id][f"{name}/score"]) for name in EVIDENCE)
    assert all(value > 1e-3 for value in moved)
    assert metrics["likelihood_drift/mean"] == pytest.approx(sum(moved) / 4)
    assert metrics["likelihood_drift/max"] == pytest.approx(max(moved))
    assert [value > 1e-3 for value in margins] == [verdict == "drifted" for verdict in verdicts]


def test_columns_of_any_type(suite: Suite) -> None:
    """Lists, dicts, dates, mixed and missing values of a table's own columns do not stop the evaluation."""
    code = """
import datetime
import decimal
import math

ODD = [
    {"id": "one", "input_text": "Q: What is 1+1?\\nA:", "tags": ["a", "b"], "meta": {"k": [1, None]}, "mixed": 1,
     "day": datetime.date(2024, 2, 29), "at": datetime.datetime(2024, 2, 29, 12, 30), "gap": None, "number": 1,
     "share": math.nan, "price": decimal.Decimal("1.10"), "flag": True, "snowman": "☃\\u2028\\x1b[31m", "blob": b"ab"},
    {"id": "two", "input_text": "Q: What is 2+2?\\nA:", "tags": [], "meta": None, "mixed": "one", "number": 2**70,
     "share": 0.5, "flag": None},
]
"""
    suite.pytester.makeconftest(code)
    suite.compare(table="ODD")
    test = suite.path / "test_trivia.py"
    test.write_text("from conftest import ODD\n" + test.read_text())
    suite.run(suite.spec("a")).assert_outcomes(passed=2)
    one, two = suite.table("trivia").to_dict("records")
    assert (json.loads(one["tags"]), json.loads(two["tags"])) == (["a", "b"], [])
    assert (json.loads(one["meta"]), pd.isna(two["meta"])) == ({"k": [1, None]}, True)
    assert (str(one["mixed"]), two["mixed"]) == ("1", "one")
    assert "2024-02-29" in one["day"]
    assert "12:30" in one["at"]
    assert one["snowman"] == "☃\u2028\x1b[31m"
    assert "1.10" in one["price"]
    assert one["share"] is None or math.isnan(one["share"])
    assert two["share"] == 0.5
    assert {one["verdict/score"], two["verdict/score"]} == {"missing"}


@pytest.mark.parametrize("name", ["prompt_id", "variant", "input_text", "target", "baseline", "outputs", "seed"])
def test_columns_named_like_ours(suite: Suite, name: str) -> None:
    """A table's own column that has the name of a column of the results table is refused at collection."""
    rows = [{"id": row["id"], "question": row["input_text"], "answer": row["target"], name: "mine"} for row in CASES]
    suite.compare('input="question", target="answer"', cases=rows)
    result = suite.run(suite.spec("a"))
    result.assert_outcomes(errors=1)
    why = "is named like a keyword of the marker" if name == "seed" else "has the name of a column of the results table"
    result.stdout.fnmatch_lines([f"*list of prompts, item 1: column '{name}' {why}*"])
    assert suite.experiments() == set()


def test_failed_rows(suite: Suite) -> None:
    """A row that gave no output has an empty one and the verdict `error`; the others are as they are."""
    suite.log_python_model("picky", "return [None if '2+2' in t else t.upper() for t in model_input.iloc[:, 0]]")
    suite.compare()
    suite.run("picky=models:/picky/1").assert_outcomes(passed=2, errors=1)
    table = suite.table("trivia")
    assert list(table["outputs"]) == [*(str(case["input_text"]).upper() for case in CASES[:2]), ""]
    assert list(table["verdict/score"]) == ["missing", "missing", "error"]
    assert suite.only_run("trivia").info.status == "FINISHED"
