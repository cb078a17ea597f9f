"""What metrics give each output is in the JSON report and can be chosen in the HTML report."""

from __future__ import annotations

import json
import re

from .suites import Suite

SCORED = """
    import pytest
    from mlflow.metrics import MetricValue, make_metric

    def polite(predictions):
        scores = [len(text) / 100 for text in predictions]
        return MetricValue(scores=scores, justifications=[f"={text}" for text in predictions])

    @pytest.mark.llm_prompts(
        [
            {"id": "a", "prompt": "Thank you", "target": "Thank you", "year": 1},
            {"id": "b", "prompt": "No", "target": "Yes", "year": 2},
        ],
        name="manners", model_type=None, metrics=[make_metric(eval_fn=polite, greater_is_better=True, name="polite")],
    )
    def test_manners(llm_output):
        assert llm_output
"""


def test_scores_of_each_output(suite: Suite) -> None:
    """By name of the metric, numbers and texts; what a case has anyway, and the table's columns, are not repeated."""
    suite.write("test_manners.py", SCORED)
    suite.run("--llm-report=report.json", "--llm-report=report.html", models=["m=echo:"]).assert_outcomes(passed=2)
    report = json.loads((suite.path / "report.json").read_text(encoding="utf-8"))
    cases = {row["prompt_id"]: row["cases"][0] for row in report["tables"][0]["rows"]}
    assert cases["a"]["metrics"] == {"polite": 0.09, "polite/justification": "=Thank you", "exact_match": 1.0}
    assert cases["b"]["metrics"] == {"polite": 0.02, "polite/justification": "=No", "exact_match": 0.0}
    page = re.search(r'id="data">(.*?)</script>', (suite.path / "report.html").read_text(encoding="utf-8"))
    assert page
    names = [column["name"] for column in json.loads(page[1])["columns"]]
    assert {"target", "year", "polite", "polite/justification", "exact_match"} <= {*names}
