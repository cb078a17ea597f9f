"""The key of a cached answer: each part of it is changed in turn, and the answer is not used."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_llmcompare.baselines.answer_cache import CacheFile
from pytest_llmcompare.baselines.cache_lines import (
    CachedAnswer,
    CachedModel,
    NoiseAndNotes,
    answer_line,
    key_of,
    model_line,
    noise_and_notes_line,
)
from pytest_llmcompare.evaluation.cache_key import IMPURE, facts_of_model, facts_of_place, live_switches
from pytest_llmcompare.evaluation.cached_local_answers import CachedLocalAnswers
from pytest_llmcompare.evaluation.pyfunc import PyfuncTransformer, PyfuncTransformerWithParams
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models import machine
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row, RowKey

GROUP = GroupKey("tests", "trivia", "tiny")
CASE = Case(CaseKey(GROUP, "sky"), Row("sky", "Is it blue?"), "Q: ", {"max_new_tokens": 5}, seed=3)
ENVIRONMENT = (("device", "cpu"), ("torch", "2.13.0"))
ANSWER = Generation(" Blue", (1, 2), (-0.5, -0.25), "length", ENVIRONMENT)
BASELINE = Baseline(RowKey("sky"), ANSWER, CASE.input_hash, CASE.settings_hash)
FIXED = {
    "format": "1",
    "weights": "abc",
    "tokenizer, templates and code": "def",
    "options": "none",
    **{f"version {name}": "1.0" for name in ("torch", "transformers", "tokenizers", "accelerate", "peft")},
    "variable MKL_CBWR": "AVX2",
}
LOADED = dict(zip(machine.LOADED, ("cpu", "{}", "float32", "sdpa", "", "AVX2", ""), strict=True))
PLACE = {"processor": "x", "device option": "", "dtype option": ""}


def cached(
    root: Path, fixed: dict[str, str] = FIXED, place: dict[str, str] = PLACE, case: Case = CASE, **expected: Baseline
) -> CachedLocalAnswers:
    file = CacheFile(root, GROUP)
    by_row = {RowKey(name): baseline for name, baseline in expected.items()}
    return CachedLocalAnswers([case], by_row, False, file, file.read(), fixed, place=place, notes_key="notes")


def store(root: Path, **expected: Baseline) -> None:
    """Keep an answer as a run does that has loaded the model."""
    one = cached(root, FIXED, PLACE, CASE, **expected)
    facts = {**FIXED, **live_switches(), **LOADED}
    model = key_of(facts)
    answer = CachedAnswer(model, "sky", one.parts(0), ANSWER, decoded=" Blue", pieces={1: " B"})
    own = NoiseAndNotes(1e-7, has_noise=True, notes={"notes": ["a note"]})
    lines = [model_line(model, CachedModel(facts, PLACE), GROUP), answer_line(answer), noise_and_notes_line(model, own)]
    assert one.file.append(lines) == ""


def hit(one: CachedLocalAnswers) -> bool:
    """Whether the answer is used, before and after the model is loaded."""
    one.look_up()
    before = one.answers_all
    one.facts = {**one.fixed, **live_switches(), **LOADED}
    one.model = key_of(one.facts)
    one._find()
    assert before <= bool(one.hits)
    return bool(one.hits)


def test_an_equal_case_is_a_hit(tmp_path: Path) -> None:
    """With all that is cached beside the answer."""
    store(tmp_path, sky=BASELINE)
    one = cached(tmp_path, sky=BASELINE)
    assert hit(one)
    assert one.hits[0].generation == ANSWER
    assert one.hits[0].pieces == {1: " B"}
    assert one.notes == ("a note",)
    assert one.noise is not None


@pytest.mark.parametrize("name", [*FIXED])
def test_each_fact_of_the_model_changes_the_key(tmp_path: Path, name: str) -> None:
    """Another value, and none at all."""
    store(tmp_path)
    assert not hit(cached(tmp_path, {**FIXED, name: "other"}))
    assert not hit(cached(tmp_path, {key: value for key, value in FIXED.items() if key != name}))


def test_a_further_fact_changes_the_key(tmp_path: Path) -> None:
    """Such as a library that was installed since."""
    store(tmp_path)
    assert not hit(cached(tmp_path, {**FIXED, "version bitsandbytes": "0.45"}))


@pytest.mark.parametrize("name", machine.LOADED)
def test_what_is_known_once_it_is_loaded_changes_the_key(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Device, dtype, capability, attention: on another machine the model is loaded, and these decide."""
    store(tmp_path)
    one = cached(tmp_path, place={**PLACE, "processor": "y"})
    assert hit(one)
    monkeypatch.setitem(LOADED, name, "other")
    assert not hit(cached(tmp_path, place={**PLACE, "processor": "y"}))


@pytest.mark.parametrize("name", [*PLACE])
def test_in_another_place_the_model_is_loaded(tmp_path: Path, name: str) -> None:
    """Without loading it nothing is known of its kernels there."""
    store(tmp_path)
    one = cached(tmp_path, place={**PLACE, name: "other"})
    one.look_up()
    assert not one.answers_all


CHANGES: dict[str, dict[str, Any]] = {
    "prompt": {"row": Row("sky", "Is it red?")},
    "conversation": {"row": Row("sky", "Is it blue?", conversation='{"messages": []}')},
    "examples": {"examples": ""},
    "one setting": {"gen_config": {"max_new_tokens": 6}},
    "a further setting": {"gen_config": {"max_new_tokens": 5, "top_k": 3}},
    "template": {"template": "tokenizer"},
    "seed": {"seed": 4},
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_part_of_the_case_changes_the_key(tmp_path: Path, change: str) -> None:
    """Prompt, settings, template, seed."""
    store(tmp_path)
    assert hit(cached(tmp_path))
    assert not hit(cached(tmp_path, case=dataclasses.replace(CASE, **CHANGES[change])))


def test_the_baseline_changes_the_key(tmp_path: Path) -> None:
    """None, other tokens, another text, another finish reason; not one that is of another question."""
    store(tmp_path, sky=BASELINE)
    assert not hit(cached(tmp_path))
    for other in ({"token_ids": (1, 3)}, {"text": " Red"}, {"stop": "eos"}):
        changed = dataclasses.replace(BASELINE, generation=dataclasses.replace(ANSWER, **other))
        assert not hit(cached(tmp_path, sky=changed))
    store(tmp_path)
    assert hit(cached(tmp_path, sky=dataclasses.replace(BASELINE, input_hash="00000000")))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([*FIXED]), value=st.text(max_size=8))
def test_no_other_value_of_a_fact_is_a_hit(tmp_path: Path, name: str, value: str) -> None:
    """Whatever the value is."""
    store(tmp_path)
    assert hit(cached(tmp_path, {**FIXED, name: value})) == (FIXED[name] == value)


def test_facts_follow_files_versions_and_variables(
    tmp_path: Path, example_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts that a run computes of a real folder; a name, a batch size, and a place on the disk are none."""
    folder = tmp_path / "model"
    shutil.copytree(example_models / "tiny-gpt2", folder)
    shutil.copytree(folder, tmp_path / "copy")

    def facts(path: Path = folder, **arguments: Any) -> dict[str, str]:
        return facts_of_model(PyfuncTransformerWithParams(str(path), **arguments), is_logged=False)

    before = facts()
    assert facts(tmp_path / "copy", name="other", batch_size=3) == before
    assert facts(chat_template="{{ messages[0].content }}") != before
    assert facts(trust_remote_code=True) != before
    names = ("generation_config.json", "tokenizer_config.json", "bpe.codes", "additional_chat_templates/x.jinja")
    for name in (*names, "code/own.py"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        old = path.read_text() if path.exists() else None
        path.write_text(f"{old or ''} ")
        assert facts() != before, name
        path.unlink() if old is None else path.write_text(old)
    assert facts() == before
    for variable in ("ATEN_CPU_CAPABILITY", "GLIBC_TUNABLES"):
        monkeypatch.setenv(variable, "default")
        assert facts() != before
        monkeypatch.delenv(variable)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert facts() == before
    monkeypatch.setattr("pytest_llmcompare.evaluation.cache_key.versions", lambda: {"version torch": "0"})
    assert facts() != before


@pytest.mark.parametrize(
    ("expression", "is_drawn"),
    [
        ("strftime_now('%Y')", True),
        ("['a', 'b'] | random", True),
        ("[['a', 'b']] | map('random') | join", True),
        ("lipsum()", True),
        ("'at random'", False),
    ],
)
def test_templates_that_render_otherwise_each_time(expression: str, is_drawn: bool) -> None:
    """By a clock, or at random."""
    assert bool(IMPURE.search(f"{{{{ {expression} }}}} {{{{ messages[0].content }}}}")) == is_drawn


def test_a_models_own_code_may_read_any_file(example_models: Path, tmp_path: Path) -> None:
    """Where it may run, a file of any name changes the key, but for texts for people."""
    folder = tmp_path / "model"
    shutil.copytree(example_models / "tiny-gpt2", folder)

    def facts(*, trusted: bool) -> dict[str, str]:
        return facts_of_model(PyfuncTransformerWithParams(str(folder), trust_remote_code=trusted), is_logged=False)

    before = [facts(trusted=trusted) for trusted in (False, True)]
    (folder / "README.md").write_text("Another text")
    assert [facts(trusted=trusted) for trusted in (False, True)] == before
    (folder / "words.dat").write_text("a b c")
    assert facts(trusted=False) == before[0]
    assert facts(trusted=True) != before[1]


def test_a_logged_model_has_settings_of_its_own(example_models: Path) -> None:
    """They decide its answers, whatever the table says."""
    path = str(example_models / "tiny-gpt2")
    one, other = PyfuncTransformer(path, {"max_new_tokens": 3}), PyfuncTransformer(path, {"max_new_tokens": 4})
    assert facts_of_model(one, is_logged=True) != facts_of_model(other, is_logged=True)
    assert facts_of_model(one, is_logged=False) == facts_of_model(other, is_logged=False)


def test_options_for_device_and_dtype_are_of_the_place(example_models: Path) -> None:
    """The device that they lead to is part of the key."""
    path = str(example_models / "tiny-gpt2")
    assert facts_of_place(PyfuncTransformer(path, device="cpu")) != facts_of_place(PyfuncTransformer(path))
    assert facts_of_place(PyfuncTransformer(path, dtype="bfloat16")) != facts_of_place(PyfuncTransformer(path))


def test_a_device_that_depends_on_free_memory_is_looked_at(tmp_path: Path) -> None:
    """`auto` spreads the model anew each time."""
    place = {**PLACE, "device option": "auto"}
    store(tmp_path)
    one = cached(tmp_path, place=place)
    one.look_up()
    assert not one.answers_all


def test_switches_of_torch_are_known_by_name() -> None:
    """`machine.py` knows the default of each switch, and each fact of a loaded model."""
    from pytest_llmcompare.decoding.numerics import torch_switches

    assert torch_switches().keys() == machine.TORCH_DEFAULTS.keys()
    assert not {*machine.LOADED} & {*machine.TORCH_DEFAULTS}
