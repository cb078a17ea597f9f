"""The verdict on a model: whether its log-probs as a whole are those that were recorded."""

from __future__ import annotations

import json
import shutil

import mlflow
import pytest
import torch
from safetensors.torch import load_file, save_file

from pytest_llmcompare.cli.main import main
from pytest_llmcompare.models import in_memory

from .suites import ICE, SKY, TEST, Suite, says
from .test_answer_cache import own_model

ROWS = [{"id": "sky", "prompt": SKY}, {"id": "ice", "prompt": ICE}]
LONG = TEST.replace('"max_new_tokens": 6', '"max_new_tokens": 12')


def moved(suite: Suite, by: float, name: str = "moved") -> str:
    """A copy of `tiny-gpt2` with each weight moved by up to a share of itself; its spec, named `m`."""
    folder = suite.path / name
    shutil.copytree(suite.models / "tiny-gpt2", folder)
    path, random = folder / "model.safetensors", torch.Generator().manual_seed(0)
    weights = {
        key: weight * (1 + by * (2 * torch.rand(weight.shape, generator=random) - 1))
        for key, weight in load_file(path).items()
    }
    save_file(weights, path, metadata={"format": "pt"})
    return f"m={folder}"


def verdict(suite: Suite, *args: str, models: list[str] | None = None) -> dict[str, object]:
    """The only model verdict in the JSON report of a run."""
    suite.run("--llm-report=report.json", *args, models=models)
    report = json.loads((suite.path / "report.json").read_text(encoding="utf-8"))
    (one,) = report["model_verdicts"]
    return dict(one)


def test_an_unchanged_model(suite: Suite) -> None:
    """The first run has nothing to compare; the next one says that nothing changed, at every verbosity."""
    suite.trivia(ROWS, LONG)
    first = suite.run("--llm-update")
    assert not says(first, "Log-probs of")
    for option in ("-q", "-v"):
        assert says(suite.run(option), "m: unchanged. Log-probs of 24 tokens moved by")
    judged = verdict(suite)
    assert (judged["finding"], judged["tokens"], judged["cases"], judged["same_weights"]) == ("unchanged", 24, 2, True)


def test_small_changes_are_seen(suite: Suite) -> None:
    """Weights moved by a ten thousandth change no text; the run says it, fails if asked to, and can be settled."""
    suite.recorded(ROWS, LONG)
    other = [moved(suite, 1e-4)]
    result = suite.run(models=other)
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    assert says(result, "m: weights changed. Log-probs of 24 tokens moved by")
    strict = suite.run("--llm-shift=fail", "--junitxml=junit.xml", models=other)
    assert strict.ret == 1
    assert says(strict, "model verdict failed: m")
    assert 'name="model_verdict[trivia/m]"' in (suite.path / "junit.xml").read_text(encoding="utf-8")
    settled = suite.run("--llm-update", "--llm-shift=fail", models=other)
    assert settled.ret == 0
    judged = verdict(suite, "--llm-shift=fail", models=other)
    assert (judged["finding"], judged["same_weights"], judged["others"]) == ("unchanged", True, 0)


@pytest.mark.parametrize("how", ["accept", "--llm-update"])
def test_a_change_that_no_case_shows_is_settled(
    suite: Suite, how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All cases wait as shifted, and accepting takes their log-probs of today, so that one environment is left."""
    suite.recorded(ROWS, LONG)
    other = [moved(suite, 4e-6)]
    result = suite.run(models=other)
    result.stdout.fnmatch_lines(["m          2          2        0          0%*"])
    assert says(result, "m: weights changed")
    assert says(result, "Accept 2 (2 shifted): pytest")
    if how == "accept":
        monkeypatch.chdir(suite.path)
        assert main(["pending"]) == 0
        assert capsys.readouterr().out.count("  shift ") == 2
        assert main(["accept", "--all"]) == 0
    else:
        assert says(suite.run(how, models=other), "2 refreshed")
    judged = verdict(suite, models=other)
    assert (judged["finding"], judged["cases"], judged["others"]) == ("unchanged", 2, 0)
    assert (suite.path / "__baselines__/trivia/m.baseline").read_text(encoding="utf-8").count("#env") == 1


def test_the_verdict_is_in_mlflow_and_in_reports(suite: Suite) -> None:
    """Metrics and a tag of the run; a line in each report."""
    suite.recorded(ROWS, LONG)
    reports = [f"--llm-report=report.{kind}" for kind in ("html", "md")]
    suite.run(*reports, models=[moved(suite, 1e-4)])
    (run,) = mlflow.search_runs(
        search_all_experiments=True, filter_string="tags.`llmcompare.model_verdict` = 'changed'", output_format="list"
    )
    assert run.data.metrics["model/moved_rms"] > 1e-5
    for kind in ("html", "md"):
        assert "m, table trivia: weights changed" in (suite.path / f"report.{kind}").read_text(encoding="utf-8")


def test_a_test_can_ask_for_it(suite: Suite) -> None:
    """The fixture gives the verdict once per model."""
    suite.recorded(ROWS, LONG)
    suite.write(
        "test_model.py",
        """
        import pytest

        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 12}, model_type=None)
        def test_model(llm_model_verdict):
            assert llm_model_verdict.finding == "unchanged"
            assert llm_model_verdict.tokens == 24
        """,
    )
    suite.write(
        "test_all.py",
        """
        import pytest

        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 12}, model_type=None)
        def test_all_models(llm_comparison):
            assert llm_comparison.pair("m", "new")
            assert llm_comparison["m"].verdict.finding == "unchanged"
            assert llm_comparison["new"].verdict is None
        """,
    )
    suite.run("test_model.py").assert_outcomes(passed=1)
    suite.run("test_model.py", models=[moved(suite, 1e-4)]).assert_outcomes(failed=1)
    suite.run("test_all.py", models=[suite.spec(), suite.spec("new")]).assert_outcomes(passed=1)


def test_texts_that_differ_are_counted(suite: Suite) -> None:
    """Also those that pass; of a model that changed they count in the drift budget."""
    suite.recorded(ROWS, LONG)
    assert says(suite.run("-q"), "0 of 2 texts differ from their baselines")
    other = [suite.spec("m", "tiny-gpt2-distil")]
    result = suite.run("--llm-tolerance=99", models=other)
    result.assert_outcomes(passed=2)
    assert says(result, "1 of 2 texts differs from its baseline")
    assert suite.run("--llm-tolerance=99", "--llm-drift-budget=10%", models=other).ret == 1


def test_a_hook_can_judge_it(suite: Suite) -> None:
    """It replaces the verdict; anything but a verdict is an error that names the hook."""
    suite.recorded(ROWS, LONG)
    hook = """
        from dataclasses import replace
        from pytest_llmcompare import Finding

        def pytest_llmcompare_judge_model(group, verdict):
            return {}
        """
    suite.write("conftest.py", hook.format('replace(verdict, finding=Finding.UNKNOWN, reason="who knows")'))
    assert says(suite.run(), "m: cannot tell whether the model changed: who knows")
    suite.write("conftest.py", hook.format("'changed'"))
    result = suite.run()
    result.assert_outcomes(errors=2)
    assert says(result, "pytest_llmcompare_judge_model in conftest.py returned")


def test_texts_alone_tell_nothing(suite: Suite) -> None:
    """A model without tokens is compared, but never called unchanged."""
    suite.trivia(ROWS, LONG)
    suite.run("--llm-update", models=["m=echo:"]).assert_outcomes(passed=2)
    judged = verdict(suite, models=["m=echo:"])
    assert judged["finding"] == "cannot tell"
    assert "text alone" in str(judged["reason"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision(suite: Suite, dtype: str) -> None:
    """Baselines are read in float32, so a change far below the rounding of the weights is seen."""
    suite.trivia(ROWS, LONG)
    suite.write("pyproject.toml", f'[tool.llmcompare]\ndtype = "{dtype}"\n')
    suite.run("--llm-update").assert_outcomes(passed=2)
    assert '"read": [' in (suite.path / "__baselines__/trivia/m.tokens.jsonl").read_text(encoding="utf-8")
    before = suite.stored()
    assert b"\n#noise e1 " in before["__baselines__/trivia/m.baseline"]
    judged = verdict(suite)
    assert (judged["finding"], judged["noise"] is None) == ("unchanged", False)
    suite.run("--llm-update-all").assert_outcomes(passed=2)
    assert suite.stored() == before
    other = [moved(suite, 1e-2)]
    judged = verdict(suite, models=other)
    assert (judged["finding"], judged["same_weights"]) == ("changed", False)
    suite.run("--llm-update", models=other).assert_outcomes(passed=2)
    assert verdict(suite, models=other)["finding"] == "unchanged"


def test_the_noise_is_measured_when_recording(suite: Suite) -> None:
    """And for baselines without it; those are not written for it."""
    suite.trivia(ROWS, LONG)
    suite.run("--llm-update").assert_outcomes(passed=2)
    path = suite.path / "__baselines__/trivia/m.baseline"
    text = path.read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("#noise"))
    assert 0 <= float(line.split()[2]) < 1e-5
    path.write_text(text.replace(f"{line}\n", ""), encoding="utf-8")
    judged = verdict(suite, "--llm-update")
    assert (judged["finding"], judged["noise"] is None) == ("unchanged", False)
    assert "#noise" not in path.read_text(encoding="utf-8")
    suite.run("--llm-update-all").assert_outcomes(passed=2)
    assert "#noise e1 " in path.read_text(encoding="utf-8")


def test_sampled_outputs_with_a_cut_distribution(suite: Suite) -> None:
    """Log-probs before the cut are compared: at its edge a tiny movement makes a token impossible."""
    sampled = LONG.replace('"max_new_tokens": 12', '"max_new_tokens": 12, "do_sample": True, "top_k": 2')
    suite.trivia(ROWS, sampled)
    suite.run("--llm-update").assert_outcomes(passed=2)
    judged = verdict(suite)
    assert (judged["finding"], judged["tokens"]) == ("unchanged", 24)
    assert verdict(suite, models=[moved(suite, 1e-3)])["finding"] == "changed"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("setting", ["eos_token_id", "suppress_tokens"])
def test_other_rules_of_the_checkpoint_are_a_change(suite: Suite, setting: str, dtype: str) -> None:
    """Where an output ends, and which tokens it may not hold: the log-probs of all others are what they were."""
    folder = own_model(suite)
    suite.trivia(test=LONG)
    named = {"models": [f"m={folder}"]}
    assert suite.run("--llm-update", f"--llm-dtype={dtype}", **named).ret == 0
    recorded = (suite.path / "__baselines__/trivia/m.tokens.jsonl").read_text().splitlines()
    token = json.loads(recorded[0])["tokens"][2]
    settings = json.loads((folder / "generation_config.json").read_text())
    settings[setting] = [settings["eos_token_id"], token] if setting == "eos_token_id" else [token]
    (folder / "generation_config.json").write_text(json.dumps(settings))
    in_memory.release()
    checked = suite.compared(f"--llm-dtype={dtype}", **named)
    assert checked.findings == ["changed"]
    assert (
        "with another end, or with a token that the model is not allowed to choose"
        in checked.report["model_verdicts"][0]["text"]
    )
    assert suite.run("--llm-update", f"--llm-dtype={dtype}", **named).ret == 0
    assert suite.compared(f"--llm-dtype={dtype}", **named).findings == ["unchanged"]


@pytest.mark.parametrize(("checkpoint", "finding"), [("float32", "changed"), ("bfloat16", "unchanged")])
def test_a_lower_precision_than_recorded(suite: Suite, checkpoint: str, finding: str) -> None:
    """It rounds the weights, unless they are in it already; baselines in float32 are read in it, too."""
    folder = own_model(suite)
    path = folder / "model.safetensors"
    save_file({name: one.to(getattr(torch, checkpoint)) for name, one in load_file(path).items()}, path)
    suite.trivia(test=LONG)
    named = {"models": [f"m={folder}"]}
    suite.run("--llm-update", "--llm-dtype=float32", **named).assert_outcomes(passed=3)
    assert suite.compared("--llm-dtype=bfloat16", **named).findings == [finding]
