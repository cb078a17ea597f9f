"""Pending files of another hand: a bad line is named with its reason and left out, all others work."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.baselines import pending
from pytest_llmcompare.baselines.pending import Entry, LineError, entry_line
from pytest_llmcompare.cli.apply_decisions import accept_entries, forget
from pytest_llmcompare.cli.pending import json_entry
from pytest_llmcompare.cli.review_lines import entry_lines
from pytest_llmcompare.cli.review_state import Review
from pytest_llmcompare.errors import LlmCompareError
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, Likelihood, Verdict
from pytest_llmcompare.records import Baseline, CaseKey, GroupKey, RowKey
from tests.cli.projects import Project

from .samples import baseline, contents_of

SOURCE = "pending.jsonl"
FULL = Entry(
    CaseKey(GroupKey("tests", "trivia", "tiny"), "sky", "greedy"),
    "tests/test_trivia.py::test_trivia[tiny-sky]",
    run="0123456789abcdef",
    commit="1a2b",
    old="",
    new=Baseline(
        RowKey("sky", "greedy"),
        Generation(*(" Red.", (1, 2), (-0.5, -0.25), "eos", (("torch", "2.13"),)), margins=(1.0, 2.0), lengths=(4, 1)),
        "11111111",
        "22222222",
    ),
    judgement=Judgement(
        Verdict.DRIFTED, 1, 2, " Blue", " Red", margin=1.5, tolerance=0.1, likelihood=Likelihood(1, 2, 3, 1, 0.1)
    ),
    baseline=" Blue.",
    prompt="Q: ?\nA:",
    against="git:main",
)
GOOD = entry_line(FULL)
OTHER = '{"pending": 1, "key": {"group": {"folder": "tests", "table": "trivia", "model": "tiny"}, "prompt_id": "x", '
OTHER += '"variant": ""}, "run": "", "commit": "", "test": "", "old": "", "judgement": {"verdict": "missing", '
OTHER += '"likelihood": null}, "prompt": "", "baseline": null, "new": {"input_hash": "", "settings_hash": "", '
OTHER += '"generation": {"text": "", "token_ids": null, "logprobs": null, "stop": "", "environment": []}}}'


def read(path: Path, *lines: str) -> pending.Pending:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8", "surrogatepass")
    return pending.read(path, SOURCE)


def with_value(where: str, value: object) -> str:
    """The good line with another value at `a.b.0`."""
    data = json.loads(GOOD)
    inner = data
    *above, last = (int(part) if part.isdecimal() else part for part in where.split("."))
    for part in above:
        inner = inner[part]
    inner[last] = value
    return json.dumps(data)


BAD: dict[str, tuple[str, str]] = {
    "a number as id": (with_value("key.prompt_id", 1), "key.prompt_id is 1, expected text"),
    "no key": ('{"pending": 1}', "key is missing"),
    "null as variant": (with_value("key.variant", None), "key.variant is None, expected text"),
    "a list as group": (with_value("key.group", []), "key.group is [], expected an object"),
    "no folder": (with_value("key.group", {"table": "t", "model": "m"}), "key.group.folder is missing"),
    "NUL in the folder": (with_value("key.group.folder", "a\0b"), "key.group.folder is 'a\\x00b', expected a folder"),
    "no table": (with_value("key.group.table", ""), "key.group.table is '', expected a name"),
    "unknown verdict": (
        with_value("judgement.verdict", "fine"),
        "judgement.verdict is 'fine', expected one of identical",
    ),
    "verdict as list": (with_value("judgement.verdict", [1]), "judgement.verdict is [1], expected one of identical"),
    "NaN": (with_value("judgement.margin", math.nan), "judgement.margin is nan, expected a finite number"),
    "infinity": (with_value("new.generation.logprobs.0", math.inf), "logprobs[0] is inf, expected a finite number"),
    "a number of absurd size": (
        with_value("judgement.margin", 1e30),
        "margin is 1e+30, expected a number of at most 64 bits",
    ),
    "an integer beyond floats": (with_value("judgement.margin", 10**400), "margin is a huge number, expected a finite"),
    "a lone surrogate as verdict": (with_value("judgement.verdict", "\ud800"), "expected text without lone surrogates"),
    "a huge number": (GOOD.replace("[1, 2]", f"[{'9' * 400}, 2]"), "token_ids[0] is a huge number"),
    "a truth value as number": (with_value("new.generation.token_ids.1", True), "token_ids[1] is True"),
    "a fraction as token": (with_value("new.generation.token_ids.1", 1.5), "token_ids[1] is 1.5"),
    "a negative token": (with_value("new.generation.token_ids.1", -1), "token_ids[1] is -1"),
    "text as number": (with_value("judgement.tolerance", "1"), "judgement.tolerance is '1'"),
    "more log-probabilities than tokens": (with_value("new.generation.logprobs", [-1.0] * 3), "logprobs has 3 values"),
    "log-probabilities without tokens": (with_value("new.generation.token_ids", None), "expected none"),
    "an environment of numbers": (
        with_value("new.generation.environment", [[1, 2]]),
        "environment[0][0] is 1",
    ),
    "an environment of triples": (with_value("new.generation.environment", [["a", "b", "c"]]), "a list of two texts"),
    "text as output": (with_value("new", "text"), "new is 'text', expected an object"),
    "no output": (with_value("new.generation", {}), "new.generation.text is missing"),
    "an escape sequence": (with_value("judgement.unit", "\x1b[31m"), "judgement.unit is '\\x1b[31m'"),
    "a long value": (with_value("key", "x" * 9999), "key is 'xxx"),
    "no JSON": ('{"pending": 1, "key": {"gro', "broken"),
    "no object": ("[1]", "broken"),
    "nested too deeply": ("[" * 100_000, "broken"),
    "no version": ("{}", "broken"),
    "version of another type": ('{"pending": true}', "broken"),
    "another version": ('{"pending": 2}', "the line has format 2; this version of pytest-llmcompare reads format 1"),
    "not UTF-8": ("\ud800", "broken"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_line_is_named_and_left_out(tmp_path: Path, what: str) -> None:
    """With its number and the reason, shortly and on one line; the lines around it count."""
    line, reason = BAD[what]
    found = read(tmp_path / SOURCE, OTHER, line, GOOD)
    assert [key.prompt_id for key in found.entries] == ["x", "sky"]
    (note,) = found.notes
    assert note.startswith(f"{SOURCE}, line 2: ")
    assert reason in note
    assert len(note) < 400


def test_a_good_line_is_read_as_it_was(tmp_path: Path) -> None:
    """Byte order marks, CRLF and a missing last line break mean nothing; further keys are left for later versions."""
    for text in (GOOD, f"\ufeff{GOOD}\r\n\r\n", GOOD.replace('{"pending"', '{"more": [1], "pending"') + "\n"):
        (tmp_path / SOURCE).write_text(text, "utf-8", newline="")
        assert pending.read(tmp_path / SOURCE, SOURCE) == pending.Pending({FULL.key: FULL})


def test_what_a_run_writes_can_be_read(tmp_path: Path) -> None:
    """Numbers that are not finite are left out where they are not known, so that every line of ours is a good one."""
    one = Generation("\ud83d\0\u2028", (1, 2), (-math.inf, -1), margins=(math.inf, math.nan))
    judged = Judgement(Verdict.SHIFTED, margin=math.inf, likelihood=Likelihood(math.nan, 0, 0, 0, 0.1))
    entry = Entry(FULL.key, "", "", "", "", Baseline(FULL.key.row, one, "", ""), judged)
    found = read(tmp_path / SOURCE, entry_line(entry))
    assert found.notes == ()
    (back,) = found.entries.values()
    assert (back.new.generation.text, back.new.generation.token_ids) == (one.text, one.token_ids)
    assert (back.new.generation.logprobs, back.judgement.margin, back.judgement.likelihood) == (None, None, None)


def test_lines_of_another_version_stay_in_the_file(project: Project) -> None:
    """They wait for the version that can read them."""
    project.drift("sky")
    with project.file.path.open("a") as file:
        file.write('{"pending": 2, "what": "nobody knows"}\n')
    assert project.run("accept", "--all").code == 0
    assert project.file.path.read_text() == '{"pending": 2, "what": "nobody knows"}\n'


VALUES: tuple[object, ...] = (
    *(None, True, False, 0, 1, -1, 2**70, 1.5, math.nan, math.inf, -math.inf, "", "x", "\0", "\ud800", "../../x"),
    *("/etc", "C:\\x", "con", "\u202e", "a" * 5000, "identical", "error"),
    *([], [1], [[1, 2]], [["a", "b"]], {}, {"a": 1}),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def mutations(count: int) -> Iterator[str]:
    """The good line with values replaced, added and taken away, and with characters of it changed."""
    chance = random.Random(0)
    good = json.loads(GOOD)
    every = [place for place in places(good) if place]
    for place in every:  # each value in each place once
        for value in VALUES:
            data = copy.deepcopy(good)
            inner = data
            for part in place[:-1]:
                inner = inner[part]
            inner[place[-1]] = value
            yield json.dumps(data)
    for _ in range(count):
        data = copy.deepcopy(good)
        for _ in range(chance.randint(1, 3)):
            inner, place = data, chance.choice(every)
            try:
                for part in place[:-1]:
                    inner = inner[part]
                if chance.random() < 0.3:
                    del inner[place[-1]]
                else:
                    inner[place[-1]] = chance.choice(VALUES)
            except (KeyError, IndexError, TypeError):
                continue
        yield json.dumps(data)
        at = chance.randrange(len(GOOD))
        yield GOOD[:at] + chance.choice('{}[]",:0e-x\\') + GOOD[at + chance.randint(0, 3) :]


def test_thousands_of_mutations(tmp_path: Path) -> None:
    """No line raises anything but errors of ours: when read, listed, shown, written again."""
    taken = 0
    lines = list(mutations(2000))
    found = read(tmp_path / SOURCE, OTHER)
    for start in range(0, len(lines), 500):
        for line in lines[start : start + 500]:
            entries: dict[CaseKey, Entry] = {}
            try:
                pending._take(line, entries)
            except LineError:
                continue
            for entry in entries.values():
                taken += 1
                json.dumps(json_entry(entry))
                "\n".join([line.text for line in entry_lines(Review([entry]), entry)]).encode()
                again: dict[CaseKey, Entry] = {}
                pending._take(entry_line(entry), again)
                assert again == {entry.key: entry}
    assert len(found.entries) == 1
    assert len(lines) > 4000
    assert taken > 400


def test_mutations_are_accepted_and_rejected_without_harm(project: Project) -> None:
    """Whatever of it can be read writes baselines below the root that can be read again, or is refused by a message."""
    project.record(baseline("sky"))
    outside = sorted(path for path in project.root.parent.rglob("*") if project.root not in path.parents)
    chance = random.Random(1)
    entries: dict[CaseKey, Entry] = {}
    for line in chance.sample(list(mutations(500)), 1500):
        try:
            pending._take(line, entries)
        except LineError:
            continue
    project.file.append(*entries.values())
    assert len(project.file.read().entries) == len(entries) > 20
    outcome = accept_entries(project.root, list(entries.values()))
    assert len(outcome.accepted) + len(outcome.refused) == len(entries)
    assert len(outcome.accepted) > 5
    assert project.run("check").code == 0
    assert sorted(path for path in project.root.parent.rglob("*") if project.root not in path.parents) == outside
    assert all("__baselines__" in name or name == "pyproject.toml" for name in project.stored())
    forget(project.root, list(outcome.refused))
    assert project.pending() == set()


HOSTILE = {
    "above": ("../other", "t", "m"),
    "absolute": ("/tmp", "t", "m"),
    "up and down": ("tests/../../other", "t", "m"),
    "a link that leads out": ("linked", "t", "m"),
    "a long folder": ("a" * 5000, "t", "m"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_nothing_is_written_outside_of_the_project(project: Project, what: str) -> None:
    """Not by a path, not by a link; the message names the folder, and the others are accepted."""
    (project.root.parent / "other").mkdir()
    (project.root / "linked").symlink_to(project.root.parent / "other")
    project.drift("sky")
    project.pend(project.entry(baseline("evil"), group=GroupKey("tests", "t", "m"), old=""))
    text = project.file.path.read_text()
    folder, *_ = HOSTILE[what]
    project.file.path.write_text(text.replace('"folder": "tests", "table": "t"', f'"folder": "{folder}", "table": "t"'))
    before = contents_of(project.root.parent / "other")
    said = project.run("accept", "--all")
    assert said.code == 1
    assert folder[:100] in said.err
    assert contents_of(project.root.parent / "other") == before
    assert project.texts() == {"sky": " Red."}


@pytest.mark.parametrize("table", ["..", "../../other", "/etc/passwd", "a/b", "con", ".", ".lock", "x" * 300, "a\0b"])
def test_names_of_tables_and_models_stay_names(project: Project, table: str) -> None:
    """Each names one folder or one file beneath `__baselines__`, and what is written is read again."""
    for group in (GroupKey("tests", table, "m"), GroupKey("tests", "t", table)):
        project.pend(project.entry(baseline("sky", " Red."), group=group, old=""))
        assert project.run("accept", "--all").code == 0
        assert project.texts(group) == {"sky": " Red."}
    assert all(name.startswith("tests/__baselines__/") or name == "pyproject.toml" for name in project.stored())


def test_errors_are_ours(tmp_path: Path) -> None:
    """A file of nothing but another version's lines is an error of ours, with the way out."""
    with pytest.raises(LlmCompareError, match="Upgrade"):
        read(tmp_path / SOURCE, '{"pending": 2}', '{"pending": 3}')
