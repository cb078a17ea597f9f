"""Our own hooks in a run: asked for the tests they concern, told what happened once, and what fails where they do."""

from __future__ import annotations

import pytest

from .suites import TEST, TRIVIA, Suite, said
from .test_verdicts import message

NOTE_FINISHED = """
    import os
    from pathlib import Path

    from pytest_llmcompare import GroupResult, Summary

    def note(text):
        process = os.environ.get("PYTEST_XDIST_WORKER", "main")[:2]
        with Path(__file__).with_name("finished.txt").open("a", encoding="utf-8") as file:
            file.write(f"{process} {text}\\n")

    def pytest_llmcompare_group_finished(result):
        assert isinstance(result, GroupResult)
        note(f"{result.key.model} {len(result.generations)} {len(result.error) > 0}")

    def pytest_llmcompare_run_finished(summary):
        assert isinstance(summary, Summary)
        note(" ".join(f"{line.model}={line.cases}" for line in summary.models))
"""

FAIL_TOLD = """
    def pytest_llmcompare_{name}_finished():
        raise RuntimeError("nobody there")
"""

JUDGE = """
    from pytest_llmcompare import Judgement, Verdict

    def pytest_llmcompare_judge(case, judgement):
        {body}
"""


def finished(suite: Suite) -> list[str]:
    return sorted((suite.path / "finished.txt").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_each_group_and_the_run_are_told_once(suite: Suite, workers: tuple[str, ...]) -> None:
    """A group where it was evaluated, one that failed too; the run in the main process, once all is known."""
    suite.trivia(recorded=True)
    suite.write("conftest.py", NOTE_FINISHED)
    run = suite.run_apart if workers else suite.run
    result = run(*workers, models=[suite.spec(), "gone=./gone"])
    result.assert_outcomes(passed=3, errors=3)
    place = "gw" if workers else "ma"
    assert finished(suite) == sorted([f"{place} m 3 False", f"{place} gone 0 True", "ma m=3 gone=3"])


def test_nothing_is_told_of_a_run_without_models(suite: Suite) -> None:
    """Neither where tests are only collected, nor in a suite that does not use us."""
    suite.trivia()
    suite.write("conftest.py", NOTE_FINISHED)
    suite.run("--collect-only")
    (suite.path / "test_trivia.py").unlink()
    suite.write("test_plain.py", "def test_plain(): ...")
    suite.run(models=[]).assert_outcomes(passed=1)
    assert not (suite.path / "finished.txt").exists()


@pytest.mark.parametrize("workers", [(), ("-n2",)])
@pytest.mark.parametrize("name", ["group", "run"])
def test_a_notification_that_fails_fails_the_run(suite: Suite, name: str, workers: tuple[str, ...]) -> None:
    """The tests pass, the run does not, and it says whose hook it was."""
    suite.trivia(recorded=True)
    suite.write("conftest.py", FAIL_TOLD.format(name=name))
    result = (suite.run_apart if workers else suite.run)(*workers)
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    told = f"pytest_llmcompare_{name}_finished in conftest.py, line 3, raised RuntimeError: nobody there"
    assert told in " ".join(result.outlines).replace("   ", " ")


def test_a_judge_that_raises_fails_its_case_alone(suite: Suite) -> None:
    """The other cases of the table keep their verdicts."""
    suite.trivia(recorded=True)
    suite.write("conftest.py", JUDGE.format(body='return None if case.id != "sky" else judgement.nonsense'))
    result = suite.run()
    result.assert_outcomes(passed=2, failed=1)
    shown = " ".join(line.strip() for line in message(result, "test_trivia[m-sky]"))
    assert shown.startswith(
        "error: pytest_llmcompare_judge in conftest.py, line 5, raised "
        "AttributeError: 'Judgement' object has no attribute 'nonsense'"
    )


def test_only_what_was_compared_is_judged(suite: Suite) -> None:
    """A judge that finds everything fine makes no missing and no stale baseline pass."""
    suite.trivia(recorded=True)
    suite.write("conftest.py", JUDGE.format(body="return Judgement(Verdict.IDENTICAL)"))
    suite.trivia([{**TRIVIA[0], "prompt": "Q: Why?\nA:"}, TRIVIA[1], {"id": "new", "prompt": "Q: What is 2+2?\nA:"}])
    result = suite.run()
    result.assert_outcomes(passed=1, failed=2)
    assert said(result, "stale: ").startswith("stale: the prompt or its examples")
    assert said(result, "missing: ") == "missing: no baseline is recorded for this case"


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_verdict_of_a_plugin_counts_like_ours(suite: Suite, workers: tuple[str, ...]) -> None:
    """It decides the test, the summary, and what an update writes; it travels from a worker with its reason."""
    suite.trivia(recorded=True)
    suite.write("conftest.py", JUDGE.format(body='return Judgement(Verdict.DRIFTED, reason="not today")'))
    before = suite.stored()
    result = (suite.run_apart if workers else suite.run)(*workers)
    result.assert_outcomes(failed=3)
    lines = message(result, "test_trivia[m-sky]")
    assert [line for line in lines if not line.startswith("[gw")][:2] == ["drift: not today", "= The sky is blue"]
    result.stdout.fnmatch_lines(["m          3          0        3        100%*"])
    assert not any("alike" in line for line in result.outlines)
    assert suite.stored() == before
    suite.write("conftest.py", JUDGE.format(body="return Judgement(Verdict.IDENTICAL)"))
    suite.run("--llm-update", models=[suite.spec("m", "tiny-gpt2-distil")]).assert_outcomes(passed=3)
    assert suite.stored() == before


def test_a_near_tie_of_a_plugin_is_listed_with_its_reason(suite: Suite) -> None:
    """Without a position there are no tokens to show."""
    suite.trivia(TRIVIA[:1], recorded=True)
    suite.write("conftest.py", JUDGE.format(body='return Judgement(Verdict.NEAR_TIE, reason="close enough")'))
    result = suite.run()
    result.assert_outcomes(passed=1)
    assert "near tie trivia/m/sky: close enough" in result.outlines


def test_a_folder_has_hooks_of_its_own(suite: Suite) -> None:
    """What a folder's conftest says of verdicts, metrics and tables does not concern the folder beside it."""
    test = TEST.replace("llm_output, llm_baseline):", "llm_output, llm_baseline, llm_evaluation, llm_case):").replace(
        "assert llm_output == llm_baseline",
        "assert ('words/mean' in llm_evaluation.metrics) == (llm_case.columns.get('own') == 'yes')\n"
        "    assert llm_output == llm_baseline",
    )
    for folder in ("a", "b"):
        suite.table(f"{folder}/trivia.jsonl", TRIVIA[:1])
        suite.write(f"{folder}/test_trivia_{folder}.py", test)
        suite.write(f"{folder}/__init__.py", "")
    suite.write(
        "b/conftest.py",
        """
        import json

        from pytest_llmcompare import Judgement, Verdict

        def pytest_llmcompare_judge(case):
            return Judgement(Verdict.DRIFTED, reason=f"{case.key.group.folder} is strict")

        def pytest_llmcompare_load_table(source, base):
            lines = (base / source).read_text().splitlines()
            return [{**json.loads(line), "own": "yes"} for line in lines]

        def pytest_llmcompare_metrics(table, model):
            from mlflow.metrics import MetricValue, make_metric

            def words(predictions):
                counts = [len(text.split()) for text in predictions]
                return MetricValue(scores=counts, aggregate_results={"mean": sum(counts) / len(counts)})

            return [make_metric(eval_fn=words, greater_is_better=False, name="words")]
        """,
    )
    suite.run("--llm-update").assert_outcomes(passed=2)
    result = suite.run()
    result.assert_outcomes(passed=1, failed=1)
    assert said(result, "drift: ") == "drift: b is strict"


def test_faulty_rows_of_a_loader_are_named(suite: Suite) -> None:
    """The rows are checked as those of a file are, and the message says where they came from."""
    suite.trivia(test=TEST.replace("trivia.jsonl", "trivia.quiz"))
    suite.write(
        "conftest.py",
        """
        def pytest_llmcompare_load_table(source, base):
            return [{"prompt": "Hi"}, {"prompt": ""}, 3] if source.endswith(".quiz") else None
        """,
    )
    result = suite.run()
    result.assert_outcomes(errors=1)
    where = "trivia.quiz (pytest_llmcompare_load_table in conftest.py)"
    text = "\n".join(line.removeprefix("E   ").strip() for line in result.outlines)
    assert f"{where}, row 2: " in text
    assert f'{where}, row 3: 3, expected an object such as {{"prompt": "..."}}.' in text


def test_a_loader_that_raises_fails_its_file_at_collection(suite: Suite) -> None:
    """The error names the test and the line of the hook; other test files are collected."""
    suite.trivia()
    suite.write("test_plain.py", "def test_plain(): ...")
    suite.write("conftest.py", "def pytest_llmcompare_load_table(source, base):\n    return open(base / 'no.such')\n")
    result = suite.run("--continue-on-collection-errors")
    result.assert_outcomes(passed=1, errors=1)
    start = (
        "test_trivia.py::test_trivia: pytest_llmcompare_load_table in conftest.py, line 2, raised FileNotFoundError: "
    )
    assert any(start in line for line in result.outlines)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "['exact_mach']",
            (
                "pytest_llmcompare_metrics in conftest.py holds 'exact_mach', which MLflow does not have. "
                "Did you mean 'exact_match'?"
            ),
        ),
        (
            "[3]",
            (
                "pytest_llmcompare_metrics in conftest.py holds 3, expected the name of an MLflow metric, such as "
                "'exact_match', an object made by mlflow.metrics.make_metric, or a scorer of mlflow.genai.scorers."
            ),
        ),
        (
            "'exact_match'",
            (
                "pytest_llmcompare_metrics in conftest.py returned 'exact_match' (str), expected a list of metrics, "
                "or None."
            ),
        ),
        ("1 / 0", "pytest_llmcompare_metrics in conftest.py, line 2, raised ZeroDivisionError: division by zero"),
    ],
    ids=["unknown", "number", "text", "raises"],
)
def test_metrics_that_are_none(suite: Suite, given: str, told: str) -> None:
    """The tests of the table are errors that say why, before a model is loaded."""
    suite.trivia(TRIVIA[:1], recorded=True)
    suite.write("conftest.py", f"def pytest_llmcompare_metrics():\n    return {given}\n")
    result = suite.run()
    result.assert_outcomes(errors=1)
    assert said(result, "pytest_llmcompare_metrics in") == told
    assert suite.mlflow_runs() == []


def test_the_marker_beats_a_metric_of_a_plugin(suite: Suite) -> None:
    """Of two metrics of one name that of the marker is computed; a gate may name one of a plugin's."""
    suite.write(
        "test_words.py",
        """
        import pytest
        from mlflow.metrics import MetricValue, make_metric

        def zero(predictions):
            return MetricValue(scores=[0.0 for _ in predictions], aggregate_results={"mean": 0.0})

        @pytest.mark.llm_prompts(
            [{"prompt": "Q: What is 2+2?\\nA:", "target": " 2+2 is 4."}],
            gen_config={"max_new_tokens": 12, "stop_strings": "."},
            model_type=None,
            metrics=[make_metric(eval_fn=zero, greater_is_better=True, name="words")],
            thresholds={"exact_match/v1": ">=1"},
        )
        def test_words(llm_evaluation):
            assert llm_evaluation.metrics["words/mean"] == 0.0
        """,
    )
    suite.write(
        "conftest.py",
        """
        def pytest_llmcompare_metrics():
            from mlflow.metrics import MetricValue, make_metric

            def one(predictions):
                return MetricValue(scores=[1.0 for _ in predictions], aggregate_results={"mean": 1.0})

            return ["exact_match", make_metric(eval_fn=one, greater_is_better=True, name="words")]
        """,
    )
    suite.run().assert_outcomes(passed=1)
