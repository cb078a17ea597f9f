"""The answer cache in a user's suite: an unchanged model is not asked again, and a changed one is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.load import LocalModel
from pytest_llmcompare.models.resolve import ResolvedModel

from .suites import ICE, TRIVIA, Suite, says

ALL = "3 of 3 answers from the cache"


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the models that are loaded from now on; the one in memory is freed."""
    in_memory.release()
    names: list[str] = []
    load = in_memory._loaded

    def counted(resolved: ResolvedModel) -> LocalModel:
        names.append(resolved.spec.name)
        return load(resolved)

    monkeypatch.setattr(in_memory, "_loaded", counted)
    return names


def own_model(suite: Suite, model: str = "tiny-gpt2") -> Path:
    """A copy of a small model inside the suite, which a test may change."""
    folder = suite.path / "model"
    shutil.copytree(suite.models / model, folder)
    return folder


def cache_files(suite: Suite) -> list[Path]:
    return sorted((suite.path / ".llmcompare" / "answers").glob("*.jsonl"))


def test_an_unchanged_model_is_asked_once(suite: Suite, loads: list[str]) -> None:
    """The second check loads no model, gives the same verdicts, and says so."""
    suite.trivia(recorded=True)
    first = suite.run()
    first.assert_outcomes(passed=3)
    assert not says(first, "from the cache")
    assert loads == ["m"]
    in_memory.release()
    again = suite.run()
    again.assert_outcomes(passed=3)
    assert loads == ["m"]
    assert says(again, "m: unchanged. Log-probs of 18 tokens moved by")
    assert says(again, ALL)
    runs = suite.mlflow_runs()
    assert len(runs) == 2
    assert runs[0].data.metrics.keys() == runs[1].data.metrics.keys()
    assert runs[0].data.metrics["model/moved_rms"] == runs[1].data.metrics["model/moved_rms"]


def test_the_verdict_is_computed_anew(suite: Suite, loads: list[str]) -> None:
    """A cached answer that leaves its baseline drifts, with both tokens shown, and without the model."""
    suite.trivia(recorded=True)
    named = [f"m={suite.models / 'tiny-gpt2-distil'}"]
    first = suite.run(models=named)
    first.assert_outcomes(passed=2, failed=1)
    in_memory.release()
    loads.clear()
    again = suite.run(models=named)
    again.assert_outcomes(passed=2, failed=1)
    assert loads == []
    assert says(again, ALL)
    failures = [[line for line in run.outlines if line.startswith(("drift ", "- ", "+ "))] for run in (first, again)]
    assert failures[0] == failures[1] != []
    accepted = suite.run("--llm-update", models=named)
    accepted.assert_outcomes(passed=3)
    assert says(accepted, ALL)


def test_a_new_baseline_is_read_once(suite: Suite, loads: list[str]) -> None:
    """Answers are cached with the baseline that they were read with: accepted ones are read along once more."""
    suite.trivia()
    suite.run("--llm-update").assert_outcomes(passed=3)
    suite.run().assert_outcomes(passed=3)
    in_memory.release()
    loads.clear()
    again = suite.run()
    assert says(again, ALL)
    assert loads == []
    assert b"#noise" in suite.stored()["__baselines__/trivia/m.baseline"]


def test_recording_from_the_cache_gives_the_same_file(suite: Suite, loads: list[str]) -> None:
    """Noise and log-probs come from the cache, too."""
    suite.trivia()
    suite.run().assert_outcomes(failed=3)
    in_memory.release()
    loads.clear()
    result = suite.run("--llm-update")
    assert says(result, ALL)
    assert loads == []
    recorded = suite.stored()
    shutil.rmtree(suite.path / "__baselines__")
    suite.run("--llm-update", "--llm-cache=off").assert_outcomes(passed=3)
    assert suite.stored() == recorded


def shorten_vocabulary(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append(
        {
            "id": max(tokenizer["model"]["vocab"].values()),
            "content": "<extra>",
            "special": False,
            **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
        }
    )
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def add_template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")


def add_code(folder: Path) -> None:
    (folder / "modeling_own.py").write_text("VERSION = 2\n")


def change_weights(folder: Path) -> None:
    """Change the last byte, which is one of a number's, and nothing that a file system shows but the time."""
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("change", [change_weights, add_template, add_code, shorten_vocabulary])
def test_a_changed_file_of_the_model_is_a_miss(suite: Suite, loads: list[str], change: Callable[[Path], None]) -> None:
    """Weights, tokenizer, template, code."""
    folder = own_model(suite)
    suite.trivia()
    suite.run(models=[f"m={folder}"])
    change(folder)
    in_memory.release()
    loads.clear()
    result = suite.run(models=[f"m={folder}"])
    assert loads == ["m"]
    assert not says(result, "from the cache")


def test_one_changed_prompt_is_asked_alone(suite: Suite) -> None:
    """The other answers are used."""
    suite.trivia(recorded=True)
    suite.run()
    suite.table("trivia.jsonl", [*TRIVIA[:2], {"id": "ice", "prompt": ICE.replace("ice", "snow")}])
    assert says(suite.run(), "2 of 3 answers from the cache")


def test_only_asks_no_model(suite: Suite, loads: list[str]) -> None:
    """A miss is an error of that case, and says what differs."""
    suite.trivia(recorded=True)
    empty = suite.run("--llm-cache=only")
    empty.assert_outcomes(errors=3)
    assert says(empty, "it holds no answers of this table and model")
    suite.run()
    in_memory.release()
    loads.clear()
    suite.run("--llm-cache=only").assert_outcomes(passed=3)
    suite.table("trivia.jsonl", [*TRIVIA[:2], {"id": "ice", "prompt": ICE.replace("ice", "snow")}])
    result = suite.run("--llm-cache=only")
    result.assert_outcomes(passed=2, errors=1)
    assert says(result, "since it was cached, the prompt, the baseline changed")
    assert loads == []


def test_only_names_another_library_and_device(suite: Suite, loads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions, variables and options that choose kernels, with both values."""
    suite.trivia(recorded=True)
    suite.run()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    result = suite.run("--llm-cache=only", "--llm-dtype=bfloat16")
    result.assert_outcomes(errors=3)
    assert says(result, "variable ONEDNN_MAX_CPU_ISA (none then, SSE41 now)")
    assert says(result, "dtype option (none then, bfloat16 now)")


def test_off_asks_and_keeps_nothing(suite: Suite) -> None:
    """From the command line, the environment and the file; plain decoding keeps nothing either."""
    suite.trivia(recorded=True)
    for option in ("--llm-cache=off", "--llm-decode=plain"):
        suite.run(option).assert_outcomes(passed=3)
        assert cache_files(suite) == []
    suite.write("pyproject.toml", '[tool.llmcompare]\ncache = "off"\n')
    suite.run().assert_outcomes(passed=3)
    assert cache_files(suite) == []
    refused = suite.run("--llm-cache=sometimes")
    refused.stderr.fnmatch_lines(["*cache 'sometimes' (command line) is not known*"])


def test_a_template_with_a_clock_is_never_a_hit(suite: Suite) -> None:
    """What it renders changes from day to day."""
    folder = own_model(suite)
    template = "{{ strftime_now('%Y') }} {{ messages[0].content }}"
    suite.write("pyproject.toml", f"[tool.llmcompare.models.m]\nsource = '{folder}'\nchat_template = \"{template}\"\n")
    suite.trivia()
    for _ in range(2):
        assert not says(suite.run(models=["m"]), "from the cache")


def test_damage_is_ignored_with_a_note(suite: Suite) -> None:
    """Lines that are cut off, changed, newer, or of the wrong types; the rest is used."""
    suite.trivia(recorded=True)
    suite.run()
    (path,) = cache_files(suite)
    lines = path.read_bytes().split(b"\n")
    changed = [line.replace(b'"row": "ice"', b'"row": "sky"') for line in lines]
    path.write_bytes(b"\n".join(changed)[:-1] + b'\nnonsense\n\xff\xfe\n0123456789abcdef {"v": 1')
    result = suite.run()
    result.assert_outcomes(passed=3)
    assert says(result, "2 of 3 answers from the cache")
    assert says(result, "of the answer cache .llmcompare/answers/")
    assert says(suite.run(), ALL)


@pytest.mark.skipif(os.geteuid() == 0 and not hasattr(os, "fork"), reason="needs a folder that cannot be made")
def test_a_folder_that_cannot_be_written_costs_a_sentence(suite: Suite) -> None:
    """A file in the folder's place."""
    suite.trivia(recorded=True)
    suite.write(".llmcompare/answers", "in the way")
    result = suite.run()
    result.assert_outcomes(passed=3)
    assert says(result, "answers are not cached for the next run: .llmcompare/answers/")
    assert says(result, "cannot be written: a file is in the place of its folder")


def test_with_workers(suite: Suite) -> None:
    """Two workers fill the same cache that one process reads, and the other way round."""
    suite.trivia(recorded=True)
    both = [suite.spec("m"), suite.spec("n")]
    suite.run_apart("-n2", models=both)
    assert says(suite.run(models=both), "6 of 6 answers from the cache")
    assert says(suite.run_apart("-n2", models=both), "6 of 6 answers from the cache")


def test_a_run_that_is_killed_leaves_a_usable_cache(suite: Suite) -> None:
    """kill -9 at some moments of the first run; afterwards the cache is filled and used."""
    suite.trivia(recorded=True)
    for seconds in (0.4, 1.0):
        child = suite.fork()
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        suite.wait(child)
    suite.run().assert_outcomes(passed=3)
    assert says(suite.run(), ALL)
