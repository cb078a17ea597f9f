"""The journal: what an interrupted run had finished is found again, under exactly what it depended on."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.baselines.journal import Journal, KeptOutputs, answer_key, kept_since, row_answer_key
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row

GROUP = GroupKey("tests", "trivia", "tiny")
CASE = Case(CaseKey(GROUP, "sky"), Row("sky", "Is it blue?"), "Q: ", {"max_new_tokens": 5}, seed=3)
ENVIRONMENT = (("device", "cpu"), ("torch", "2.13.0"))
GENERATION = Generation(" Blue\ud800\n", (1, 2), (-0.5, -0.25), "length", ENVIRONMENT)


def test_generations_come_back_as_they_were(tmp_path: Path) -> None:
    """Text with lone surrogates, tokens, log-probabilities, stop and environment make the round trip."""
    journal = Journal(tmp_path, GROUP)
    journal.append("a", GENERATION)
    journal.append("b", Generation("no tokens"))
    assert Journal(tmp_path, GROUP).read() == {"a": GENERATION, "b": Generation("no tokens")}


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    """kill -9 in the middle of a line loses that line alone, and the next one begins on its own."""
    journal = Journal(tmp_path, GROUP)
    journal.append("a", GENERATION)
    with journal.path.open("a") as file:
        file.write('{"key": "b", "generation": {"te\n')
        file.write("[1]\nnull\n")
    journal.append("c", GENERATION)
    assert set(journal.read()) == {"a", "c"}


def test_every_group_has_a_journal_of_its_own(tmp_path: Path) -> None:
    """Another model or table, even one with a separator in its name, reads nothing of it."""
    Journal(tmp_path, GROUP).append("a", GENERATION)
    for other in (GroupKey("tests", "trivia", "tiny2"), GroupKey("tests/trivia", "tiny", "")):
        assert Journal(tmp_path, other).read() == {}


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its folder brings its own .gitignore, and goes with the last journal."""
    one, other = Journal(tmp_path, GROUP), Journal(tmp_path, GroupKey("tests", "trivia", "tiny2"))
    one.append("a", GENERATION)
    other.append("a", GENERATION)
    assert (tmp_path / ".llmcompare" / ".gitignore").read_text() == "*\n"
    one.discard()
    assert other.read() == {"a": GENERATION}
    other.discard()
    assert list(tmp_path.iterdir()) == []


def test_other_files_in_its_folder_stay(tmp_path: Path) -> None:
    """Only its own file is removed."""
    journal = Journal(tmp_path, GROUP)
    journal.append("a", GENERATION)
    (tmp_path / ".llmcompare" / "pending.jsonl").write_text("{}\n")
    journal.discard()
    assert (tmp_path / ".llmcompare" / "pending.jsonl").read_text() == "{}\n"


def test_where_it_cannot_be_written_the_run_goes_on(tmp_path: Path) -> None:
    """A file where the folder should be: nothing is raised, nothing is found."""
    (tmp_path / ".llmcompare").write_text("in the way")
    journal = Journal(tmp_path, GROUP)
    journal.append("a", GENERATION)
    assert journal.read() == {}
    journal.discard()
    assert (tmp_path / ".llmcompare").read_text() == "in the way"


@pytest.mark.parametrize(
    "change",
    [
        {"case": dataclasses.replace(CASE, row=Row("sky", "Is it red?"))},
        {"case": dataclasses.replace(CASE, examples="")},
        {"case": dataclasses.replace(CASE, gen_config={"max_new_tokens": 6})},
        {"case": dataclasses.replace(CASE, seed=4)},
        {"case": dataclasses.replace(CASE, template="tokenizer")},
        {"model": "f00"},
        {"environment": (("device", "cuda"), ("torch", "2.13.0"))},
        {"environment": (("device", "cpu"), ("torch", "2.14.0"))},
    ],
)
def test_the_key_changes_with_all_that_an_output_depends_on(change: dict[str, Any]) -> None:
    """Model, prompt, examples, settings, seed, template, device, versions."""
    facts: dict[str, Any] = {"case": CASE, "model": "abc", "environment": ENVIRONMENT}
    assert answer_key(**{**facts, **change}) != answer_key(**facts)


def test_the_key_does_not_change_with_the_order_of_settings() -> None:
    """Nor with the name of the case."""
    one = dataclasses.replace(CASE, gen_config={"a": 1, "b": 2})
    other = dataclasses.replace(one, gen_config={"b": 2, "a": 1}, key=CaseKey(GROUP, "another"))
    assert answer_key(one, "m", ENVIRONMENT) == answer_key(other, "m", ENVIRONMENT)


def test_how_much_a_run_has_kept(tmp_path: Path) -> None:
    """All journals that it wrote to: what it took over, and each output once; none of a run before it."""
    assert kept_since(tmp_path, 0) is None
    old = Journal(tmp_path, GroupKey("tests", "trivia", "old"))
    old.begin(7)
    os.utime(old.path, (1000, 1000))
    one, other = Journal(tmp_path, GROUP), Journal(tmp_path, GroupKey("tests", "sums", "tiny"))
    one.append("of a run before", GENERATION)
    one.begin(3)
    one.begin(3, resumed=1)
    for key in ("b", "b"):
        one.append(key, GENERATION)
    other.begin(2)
    assert kept_since(tmp_path, 2000) == KeptOutputs(2, 5)
    assert set(one.read()) == {"of a run before", "b"}


@pytest.mark.parametrize("broken", ['{"asked": 5, "resumed"', "[" * 5000, '{"asked": null}', "null", '{"key": 1}'])
def test_a_broken_line_keeps_no_count_back(tmp_path: Path, broken: str) -> None:
    """Whatever stands in the file, the run that is being ended says what it can."""
    journal = Journal(tmp_path, GROUP)
    journal.begin(2)
    journal.append("a", GENERATION)
    with journal.path.open("a") as file:
        file.write(f"{broken}\n")
    found = kept_since(tmp_path, 0)
    assert found is not None
    assert found.outputs <= found.asked


def test_the_key_of_a_row_changes_with_all_that_a_model_is_told() -> None:
    """Columns, params, the model; not the order of the columns."""
    facts = {"input": {"question": "Is it blue?", "id": 1}, "params": {"top_k": 3}}
    keys = {
        row_answer_key(facts, "m"),
        row_answer_key(facts, "n"),
        row_answer_key({**facts, "params": {}}, "m"),
        row_answer_key({**facts, "input": {"question": "Is it blue?", "id": 2}}, "m"),
    }
    assert len(keys) == 4
    assert row_answer_key({**facts, "input": {"id": 1, "question": "Is it blue?"}}, "m") == row_answer_key(facts, "m")
