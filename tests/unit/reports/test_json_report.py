"""The JSON report: all of a run, in one order, as JSON that any program can read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.comparison.drift_budget import BudgetCheck
from pytest_llmcompare.comparison.statistics import rate
from pytest_llmcompare.comparison.summary import Summary, summarize
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import AnswerCount, Finding, ModelVerdict, ThresholdResult
from pytest_llmcompare.records import GroupKey, GroupResult, MlflowRun, RowKey
from pytest_llmcompare.reports.report import Report
from pytest_llmcompare.reports.report_data import SCHEMA_VERSION, json_report, report_data
from pytest_llmcompare.settings import Settings, Update

from .runs import ARMS, DRIFT, IDENTICAL, PIECES, drawn, found, generation, hostile, mixed

DOCS = Path(__file__).parents[3] / "docs" / "reports.md"


def test_a_case_has_all_of_its_evidence() -> None:
    """Names, texts, tokens, the judgement, and the command that accepts it."""
    (case,) = drawn([found("spider", DRIFT, generation(ARMS))])["tables"][0]["rows"][0]["cases"]
    said = case.pop("candidate")
    path = said.pop("path")
    assert case == {
        "name": "zoo/small/spider",
        "folder": "tests",
        "table": "zoo",
        "model": "small",
        "prompt_id": "spider",
        "variant": "",
        "test": "tests/test_zoo.py::test_zoo[small-spider]",
        "passed": False,
        "verdict": "drifted",
        "accepted": False,
        "differs": True,
        "target": "Eight.",
        "baseline": "Eight legs and no wings.",
        "assertions": [],
        "seconds": None,
        "token_count": 6,
        "metrics": {},
        "judgement": {
            "verdict": "drifted",
            "position": 1,
            "length": 6,
            "baseline_token": " legs",
            "candidate_token": " arms",
            "unit": "tok",
            "margin": 1.84,
            "mismatches": 2,
            "tolerance": 0.001,
            "likelihood": {
                "rms": 0.7,
                "mean": 0.1,
                "worst": -1.5,
                "position": 1,
                "band": 1e-05,
                "tokens": 0,
                "as_read": False,
            },
            "reason": "",
        },
        "input_hash": "",
        "settings_hash": "",
        "accept": "pytest --llm-update tests/test_zoo.py::test_zoo[small-spider]",
    }
    assert said == {
        "text": "Eight arms and two wings.",
        "stop": "eos",
        "reasoning": "",
        "tokens": list(ARMS),
        "token_ids": [0, 1, 2, 3, 4, 5],
        "logprobs": pytest.approx([-0.05, -0.2, -0.45, -0.8, -1.25, -1.8]),
        "margins": None,
        "verified": False,
        "unverified": "",
        "environment": {"device": "cpu"},
    }
    assert path["choices"] == [0, 1, 2, 3, 4, 5]
    assert path["leads"] == [None] * 6  # JSON has no infinite numbers


def test_models_groups_budgets_and_what_is_gone() -> None:
    """What is not of a single case has a place of its own."""
    key = GroupKey("tests", "zoo", "small")
    times = {RowKey("spider"): 1.0, RowKey("fox"): 0.5}
    gate = ThresholdResult("exact_match/v1", ">=0.8", None, passed=False, cases=1, total=1, why="it was not computed")
    group = GroupResult(key, mlflow=MlflowRun("r1"), seconds=1.5, tokens=6, gates=(gate,), latencies=times)
    results = [found("spider", DRIFT, generation(ARMS)), found("fox", IDENTICAL, generation())]
    budget = BudgetCheck("small", 10.0, "command line", rate(1, 2), (results[0],))
    summary = summarize(results, [group], Settings(), obsolete={key: [RowKey("yak", "hot")]}, budgets=[budget])
    whole = report_data(Report(summary, (group,), passed=False))
    assert whole["outcome"] == "failed"
    assert whole["sentence"] == "2 cases: 1 drifted, 1 identical"
    assert whole["accept"] == "pytest --llm-update"
    assert whole["models"] == [
        {
            "model": "small",
            "cases": 2,
            "verdicts": {
                "identical": 1,
                "near_tie": 0,
                "shifted": 0,
                "drifted": 1,
                "missing": 0,
                "stale": 0,
                "error": 0,
            },
            "not_compared": 0,
            "accepted": 0,
            "drift_rate": 0.5,
            "tokens": 6,
            "seconds": 1.5,
            "latency": {"p50": 0.5, "p90": 1.0, "p99": 1.0},
            "level": "",
            "expect": None,
        }
    ]
    assert whole["groups"][0]["run_id"] == "r1"
    assert whole["groups"][0]["latency"] == whole["models"][0]["latency"]
    assert whole["groups"][0]["gates"][0]["why"] == "it was not computed"
    assert [check["failed"] for check in whole["budgets"]] == [True]
    names = {"folder": "tests", "table": "zoo", "model": "small"}
    assert whole["obsolete"] == [{**names, "prompt_id": "yak", "variant": "hot"}]
    assert whole["equal_drifts"][0]["cases"] == [{**names, "prompt_id": "spider", "variant": ""}]


def test_a_model_verdict_has_the_number_of_answers() -> None:
    """All keys beside each other, as `docs/reports.md` names them; the group has the same numbers."""
    key, count = GroupKey("tests", "zoo", "small"), AnswerCount(asked=4, cached=3)
    verdict = ModelVerdict(Finding.UNCHANGED, 0.0, 1e-6, 3e-6, tokens=40, cases=4, answered=count)
    group = GroupResult(key, mlflow=MlflowRun("r1", "models:/m-1", "7"), model_verdict=verdict, answered=count)
    whole = report_data(Report(summarize([], [group], Settings()), (group,)))
    (shown,) = whole["model_verdicts"]
    assert (shown["cached"], shown["asked"]) == (verdict.cached, verdict.asked) == (3, 4)
    assert "answered" not in shown
    assert "3 of 4 answers from the cache" in shown["text"]
    (own,) = whole["groups"]
    assert [own[name] for name in ("run_id", "model_uri", "experiment_id", "cached")] == ["r1", "models:/m-1", "7", 3]
    assert (group.run_id, group.tracking_uri, group.cached, group.answers) == ("r1", "", 3, 4)


@pytest.mark.parametrize(
    ("passed", "finished", "outcome"),
    [(True, True, "passed"), (False, True, "failed"), (True, False, "interrupted"), (False, False, "interrupted")],
)
def test_how_a_run_ended(passed: bool, finished: bool, outcome: str) -> None:
    """A run that did not come to its end is neither passed nor failed."""
    whole = report_data(Report(Summary(), passed=passed, finished=finished))
    assert (whole["outcome"], whole["sentence"]) == (outcome, "no case was looked at")


def test_accepted_outputs_need_no_command() -> None:
    """What an update took is counted as accepted, and there is nothing more to accept."""
    results = [found("spider", DRIFT, generation(ARMS))]
    passed = [result.__class__(**{**result.__dict__, "passed": True}) for result in results]
    whole = report_data(Report(summarize(passed, [], Settings(update=Update.CHANGED))))
    (case,) = whole["tables"][0]["rows"][0]["cases"]
    assert (case["accepted"], case["accept"], whole["accept"]) == (True, "", "")
    assert whole["sentence"] == "1 case: 1 accepted"


def test_the_same_run_is_the_same_text() -> None:
    """The order in which tests reported does not show."""
    assert json_report(drawn(mixed())) == json_report(drawn(mixed()[::-1]))


def test_hostile_text_arrives_as_it_was() -> None:
    """ASCII on one line, lone surrogates and separators escaped; what is read is what was written."""
    whole = hostile()
    text = json_report(whole)
    assert text.isascii()
    assert text.count("\n") == 1
    assert json.loads(text) == whole


@given(st.text(st.characters(codec=None, categories=None)), st.floats())
def test_any_text_and_any_number_can_be_written(text: str, value: float) -> None:
    """Numbers that JSON lacks are null; text is whole, but for two halves of a character that meet."""
    whole = drawn([found("x", None, Generation(text, (1,), (value,)), None, prompt=text)])
    said = json.loads(json_report(whole))["tables"][0]["rows"][0]["cases"][0]["candidate"]
    assert said["text"] == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert said["logprobs"] == [value if abs(value) < float("inf") else None]


def test_texts_of_tokens_make_up_the_text() -> None:
    """Where it is known what each token makes."""
    said = drawn([found("fox", IDENTICAL, generation())])["tables"][0]["rows"][0]["cases"][0]["candidate"]
    assert said["tokens"] == list(PIECES)
    plain = drawn([found("fox", None, Generation("a b", (1, 2)), None)])
    assert plain["tables"][0]["rows"][0]["cases"][0]["candidate"]["tokens"] is None


def test_every_key_is_documented() -> None:
    """`docs/reports.md` tells each key that a report has, and its version."""
    told = DOCS.read_text(encoding="utf-8")
    assert f"This is version {SCHEMA_VERSION}." in told
    documented = set(re.findall(r"`([a-z_]+)`", told))

    def keys(value: Any, above: str = "") -> set[str]:
        if isinstance(value, dict):
            inner = {key for name, one in value.items() for key in keys(one, name)}
            return inner if above in ("environment", "verdicts") else {*value, *inner}
        return {key for one in value for key in keys(one)} if isinstance(value, list) else set()

    key = GroupKey("tests", "zoo", "small")
    group = GroupResult(key, gates=(ThresholdResult("m", ">=1", 1.0, passed=True, cases=1, total=1),))
    budget = BudgetCheck("small", 10.0, "command line", rate(1, 2))
    summary = summarize(mixed(), [group], Settings(), obsolete={key: [RowKey("yak")]}, budgets=[budget])
    assert sorted(keys(report_data(Report(summary, (group,)))) - documented) == []
