"""Merges by git: only the cases that it could not merge are in conflict, all others work, an update settles it."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.generation import Environment
from pytest_llmcompare.records import Baseline, RowKey

from .samples import CPU, GPU, GROUP, baseline, by_row, many, stored_tokens, tokens_of, with_text

NAME = "tests/__baselines__/trivia/distilgpt2.baseline"
NEWER = (("device", "cpu"), ("dtype", "float32"), ("torch", "2.14.0"))
READ_WITHOUT = "cases that refer to it are read without one. To write it anew: pytest --llm-update-all"
STYLES = ("merge", "diff3", "zdiff3")
GIT_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    **{f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}

Change = Callable[[], object]


def row(at: int) -> RowKey:
    return RowKey(f"row_{at:03}")


@dataclass(frozen=True)
class Repository:
    """A repository of which two branches change the same baseline file."""

    root: Path

    def git(self, *command: str, check: bool = True) -> str:
        return subprocess.run(
            ["git", *command],
            cwd=self.root,
            env=GIT_ENVIRONMENT,
            check=check,
            timeout=30,
            capture_output=True,
            text=True,
        ).stdout

    def commit(self, change: Change) -> None:
        change()
        self.git("add", ".")
        self.git("commit", "-q", "--allow-empty", "-m", "update")

    def put(self, *baselines: Baseline) -> Change:
        return lambda: store.update(self.root, GROUP, baselines)

    def drop(self, *rows: RowKey) -> Change:
        kept = store.load(self.root, GROUP).rows - set(rows)
        return lambda: store.prune(self.root, GROUP, kept, confirmed=True)

    def merge(self, base: Iterable[Baseline], ours: Change, theirs: Change, style: str = "merge") -> str:
        """Both branches change what is in `base`; the file after the merge."""
        self.git("init", "-q", "-b", "main")
        self.commit(self.put(*base))
        self.git("checkout", "-q", "-b", "other")
        self.commit(theirs)
        self.git("checkout", "-q", "main")
        self.commit(ours)
        self.git("-c", f"merge.conflictStyle={style}", "merge", "-q", "other", check=False)
        return self.path.read_text("utf-8")

    @property
    def path(self) -> Path:
        return self.root / NAME

    def load(self) -> store.BaselineSet:
        return store.load(self.root, GROUP)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty folder to make a repository in."""
    return Repository(tmp_path)


@pytest.mark.parametrize("style", STYLES)
def test_only_the_case_that_both_sides_changed_is_in_conflict(repository: Repository, style: str) -> None:
    """All other cases are as they were, tokens included; the lines of the conflict are named; an update settles it."""
    base = many(9)
    ours, theirs = with_text(base[4], " Ours."), with_text(base[4], " Theirs.")
    merged = repository.merge(base, repository.put(ours), repository.put(theirs), style)
    lines = merged.splitlines()
    first, last = (lines.index(marker) + 1 for marker in ("<<<<<<< HEAD", ">>>>>>> other"))
    assert ("||||||| " in merged) is (style != "merge")
    stored = repository.load()
    assert stored.conflicts == {row(4): f"{NAME}, lines {first}-{last}"}
    assert stored.baselines == by_row([*base[:4], *base[5:]])
    assert stored.warnings == ()
    assert stored.rows == {one.row for one in base}
    for settled in (theirs, with_text(base[4], " Another.")):
        repository.path.write_text(merged, "utf-8")
        assert store.update(repository.root, GROUP, [*base[:4], settled]).changed == (row(4),)
        assert repository.load() == store.BaselineSet(repository.path, by_row([*base[:4], settled, *base[5:]]))
        assert "<<<<<<<" not in repository.path.read_text("utf-8")
        assert len(stored_tokens(repository.root)) == len(base)


@pytest.mark.parametrize("style", STYLES)
def test_several_hunks(repository: Repository, style: str) -> None:
    """What one side alone changed is merged, what both changed is in conflict, one pair of markers for each."""
    base = many(30)
    merged = repository.merge(
        base,
        repository.put(*(with_text(base[at], f" Ours {at}.") for at in (3, 8, 15, 27))),
        repository.put(*(with_text(base[at], f" Theirs {at}.") for at in (3, 15, 20, 27))),
        style,
    )
    assert merged.count("<<<<<<< ") == 3
    stored = repository.load()
    assert set(stored.conflicts) == {row(3), row(15), row(27)}
    assert len(set(stored.conflicts.values())) == 3
    assert stored.baselines[row(8)] == with_text(base[8], " Ours 8.")
    assert stored.baselines[row(20)] == with_text(base[20], " Theirs 20.")
    assert {at: one for at, one in stored.baselines.items() if at not in (row(8), row(20))} == by_row(
        [one for at, one in enumerate(base) if at not in (3, 8, 15, 20, 27)]
    )


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [7, 12])
def test_conflicts_are_settled_one_by_one(repository: Repository, style: str, size: int) -> None:
    """An update of one case leaves the others in conflict, with both of their versions, to be read again."""
    (repository.root / ".gitattributes").write_text(f"*.baseline conflict-marker-size={size}\n")
    base = many(20)
    ours = [with_text(base[at], f" Ours\n{at}.") for at in (3, 4, 10, 16)]
    theirs = [with_text(base[at], f" Theirs\n{at}.") for at in (3, 4, 10, 16)]
    merged = repository.merge(base, repository.put(*ours), repository.put(*theirs), style)
    assert "<" * size + " HEAD" in merged.splitlines()
    left = {one.row for one in ours}
    for one in ours:
        assert set(repository.load().conflicts) == left
        store.update(repository.root, GROUP, [one])
        left.discard(one.row)
        text = repository.path.read_text("utf-8")
        for at in (3, 4, 10, 16):
            both = (f"| Ours\n|{at}.\n" in text, f"| Theirs\n|{at}.\n" in text)
            assert both == ((True, True) if row(at) in left else (True, False))
    assert repository.load() == store.BaselineSet(repository.path, by_row([*base, *ours]))


def test_new_cases_at_the_same_place(repository: Repository) -> None:
    """Cases that only one side has, within one hunk, are in conflict; their neighbours are not."""
    base = [baseline("a"), baseline("z")]
    repository.merge(
        base, repository.put(baseline("m", " 1")), repository.put(baseline("n", " 2"), baseline("o", " 3"))
    )
    stored = repository.load()
    assert set(stored.conflicts) == {RowKey("m"), RowKey("n"), RowKey("o")}
    assert stored.baselines == by_row(base)
    store.update(repository.root, GROUP, [baseline("n", " 2"), baseline("m", " 1")])
    assert set(repository.load().conflicts) == {RowKey("o")}
    assert store.prune(repository.root, GROUP, [RowKey(name) for name in "amnz"], confirmed=True) == (RowKey("o"),)
    assert repository.load().baselines == by_row([*base, baseline("m", " 1"), baseline("n", " 2")])


def test_the_same_new_case_on_both_sides(repository: Repository) -> None:
    """What both sides agree on is no conflict, also where it stands between markers."""
    base = [baseline("a"), baseline("z")]
    both = baseline("n", " 2")
    merged = repository.merge(
        base, repository.put(baseline("m", " 1"), both), repository.put(baseline("m", " one"), both), "diff3"
    )
    hunk = merged[merged.index("<<<<<<<") : merged.index(">>>>>>>")]
    assert hunk.count("case n\n") == 2
    stored = repository.load()
    assert set(stored.conflicts) == {RowKey("m")}
    assert stored.baselines == by_row([*base, both])


def test_the_same_answer_on_two_machines(repository: Repository) -> None:
    """Equal texts, tokens and hashes are no conflict; our environment and our log-probabilities stay."""
    base = many(9)
    other = baseline("row_000", " Other.", environment=(("torch", "3"),))
    ours = baseline("row_004", " New.", environment=NEWER, logprobs=(-1.0, -2.0))
    theirs = baseline("row_004", " New.", environment=GPU, logprobs=(-1.1, -2.1))
    merged = repository.merge(base, repository.put(other, ours), repository.put(theirs))
    assert "case row_004\n<<<<<<< HEAD\n.input" in merged
    stored = repository.load()
    assert stored.conflicts == {}
    assert stored.baselines[row(4)] == ours
    assert {at: one for at, one in stored.baselines.items() if at not in (row(0), row(4))} == by_row(
        [*base[1:4], *base[5:]]
    )


@pytest.mark.parametrize("style", STYLES)
def test_a_case_deleted_here_and_changed_there(repository: Repository, style: str) -> None:
    """It is in conflict, not lost and not back; pruning or updating settles it."""
    base = many(9)
    repository.git("init", "-q", "-b", "main")
    repository.put(*base)()
    drop = repository.drop(row(4))
    repository.merge(base, drop, repository.put(with_text(base[4], " New.")), style)
    stored = repository.load()
    assert set(stored.conflicts) == {row(4)}
    assert stored.baselines == by_row([*base[:4], *base[5:]])
    assert store.prune(repository.root, GROUP, stored.rows - {row(4)}, confirmed=False) == (row(4),)
    assert repository.load().baselines == stored.baselines


@pytest.mark.parametrize("style", STYLES)
def test_conflicts_in_the_environments_of_the_head(repository: Repository, style: str) -> None:
    """Cases far from the markers are no conflict; where a name means two environments they are read without one."""
    base = many(30)
    ours = baseline("row_003", " Ours.", environment=NEWER)
    theirs = baseline("row_020", " Theirs.", environment=GPU)
    merged = repository.merge(base, repository.put(ours), repository.put(theirs), style)
    assert "<<<<<<< HEAD\n#env e2" in merged
    stored = repository.load()
    assert stored.conflicts == {}
    assert {at: one.generation.text for at, one in stored.baselines.items()} == {
        at: one.generation.text for at, one in by_row([*base, ours, theirs]).items()
    }
    environments = {at: one.generation.environment for at, one in stored.baselines.items()}
    assert environments == {one.row: CPU for one in base} | {ours.row: (), theirs.row: ()}
    assert stored.warnings == (f"{NAME}: a merge left two environments named 'e2'; {READ_WITHOUT}",)
    store.update(repository.root, GROUP, [ours, theirs], refresh=True)
    assert repository.load() == store.BaselineSet(repository.path, by_row([*base, ours, theirs]))


@pytest.mark.parametrize("style", STYLES)
def test_conflicts_in_head_and_cases(repository: Repository, style: str) -> None:
    """Each version of a case keeps the environment of its side, until one is chosen."""
    base = many(30)
    ours = baseline("row_003", " Ours.", environment=NEWER)
    theirs = baseline("row_003", " Theirs.", environment=GPU)
    repository.merge(base, repository.put(ours), repository.put(theirs), style)
    assert set(repository.load().conflicts) == {row(3)}
    store.update(repository.root, GROUP, [baseline("row_029", " New.", environment=(("torch", "3"),))])
    text = repository.path.read_text("utf-8")
    heads = {line.split()[1]: line for line in text.splitlines() if line.startswith("#env")}
    assert sorted(line.split(" ", 2)[2] for line in heads.values()) == sorted(
        " ".join(f"{key}={value}" for key, value in one) for one in (CPU, NEWER, GPU, (("torch", "3"),))
    )
    hunk = text[text.index("<<<<<<<") : text.index(">>>>>>>")]
    names = [line.split(".env ")[1].split()[0] for line in hunk.splitlines() if ".env" in line]
    assert [heads[name].split(" ", 2)[2] for name in names] == [
        "device=cpu dtype=float32 torch=2.14.0",
        "device=cuda dtype=bfloat16 torch=2.13.0",
    ]
    store.update(repository.root, GROUP, [theirs])
    assert repository.load().baselines[row(3)] == theirs


def test_a_line_of_the_head_that_one_side_dropped(repository: Repository) -> None:
    """Git merges this without markers, although a new case refers to the dropped environment: a warning, no error."""
    base = [*many(5, "1\n2\n3\n4\n5\n6\n{}"), baseline("z", environment=NEWER)]
    renewed = [*many(5, "1\n2\n3\n4\n5\n6\n{}", environment=GPU), base[-1]]
    new = baseline("row_002b")
    merged = repository.merge(
        base, lambda: store.update(repository.root, GROUP, renewed, refresh=True), repository.put(new)
    )
    assert "<<<<<<<" not in merged
    stored = repository.load()
    assert stored.baselines[new.row].generation.environment == ()
    assert stored.warnings == (f"{NAME}: no #env line describes environment 'e1'; {READ_WITHOUT}",)
    store.update(repository.root, GROUP, [new], refresh=True)
    assert repository.load() == store.BaselineSet(repository.path, by_row([*renewed, new]))


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ([baseline("row_002b")], "1 case from before environment 'e1' was replaced ('row_002b'); it is"),
        (
            [baseline(f"row_00{at}b") for at in range(4)],
            "4 cases from before environment 'e1' was replaced ('row_000b', 'row_001b', 'row_002b', ...); they are",
        ),
        (
            [baseline("row_003", "1\n2\n3\n4\n5\n6\nTheirs.")],
            "1 case from before environment 'e1' was replaced ('row_003'); it is",
        ),
    ],
    ids=["new", "four new", "changed"],
)
def test_a_case_from_before_its_environment_was_replaced(
    repository: Repository, theirs: list[Baseline], named: str
) -> None:
    """Git merges this without markers; the hash of the environment in the tokens file shows what is meant."""
    base, renewed = (many(5, "1\n2\n3\n4\n5\n6\n{}", environment=one) for one in (CPU, GPU))
    merged = repository.merge(
        base, lambda: store.update(repository.root, GROUP, renewed, refresh=True), repository.put(*theirs)
    )
    assert "<<<<<<<" not in merged
    stored = repository.load()
    expected = by_row([*renewed, *(with_environment(one, ()) for one in theirs)])
    assert stored.baselines == expected
    assert stored.warnings == (
        f"{NAME}: a merge brought in {named} read without one. To write it anew: pytest --llm-update-all",
    )
    store.update(repository.root, GROUP, [baseline("y", environment=GPU)])
    assert repository.load().baselines == expected | by_row([baseline("y", environment=GPU)])
    store.update(repository.root, GROUP, [with_environment(one, GPU) for one in theirs], refresh=True)
    settled = repository.load()
    assert settled.warnings == ()
    assert {one.generation.environment for one in settled.baselines.values()} == {GPU}


def test_tokens_merge_without_markers(repository: Repository) -> None:
    """Git keeps the lines of both sides; those that fit the text are used, whichever version is chosen."""
    base = many(5)
    ours, theirs = (
        baseline("row_002", text, token_ids=ids, logprobs=(-1.0,))
        for text, ids in ((" Ours.", (1,)), (" Theirs.", (2,)))
    )
    repository.merge(base, repository.put(ours), repository.put(theirs))
    tokens = tokens_of(repository.path).read_text("utf-8")
    assert "<<<<<<<" not in tokens
    assert tokens.count("row_002") == 2
    repository.git("checkout", "-q", "--theirs", NAME)
    assert repository.load() == store.BaselineSet(repository.path, by_row([*base, theirs]))


def test_markers_in_the_tokens_are_passed_over(repository: Repository) -> None:
    """Where own attributes make git write markers there, the lines between them still serve."""
    attributes = repository.root / "tests/__baselines__/.gitattributes"
    attributes.parent.mkdir(parents=True)
    attributes.write_text("# mine\n")
    base = many(5)
    ours, theirs = with_text(base[2], " Ours."), with_text(base[2], " Theirs.")
    repository.merge(base, repository.put(ours), repository.put(theirs))
    assert "<<<<<<<" in tokens_of(repository.path).read_text("utf-8")
    repository.git("checkout", "-q", "--theirs", NAME)
    stored = repository.load()
    assert stored.baselines == by_row([*base, theirs])
    assert [warning.split(": ", 1)[1] for warning in stored.warnings[:-1]] == [
        "a merge conflict marker; the lines that fit are used."
    ] * 3
    store.update(repository.root, GROUP, [with_text(base[0], " x")])
    assert repository.load().warnings == ()


def test_a_conflict_within_the_ancestor(tmp_path: Path) -> None:
    """Git nests longer markers in the ancestor of a criss-cross merge; that part is left out as a whole."""
    path = store.path_of(tmp_path, GROUP)
    path.parent.mkdir(parents=True)
    head = "#llmcompare-baseline 1\n#table trivia\n#model distilgpt2\n\ncase a\n"
    text = (
        "<<<<<<< HEAD\n| 1\n||||||| merged common ancestors\n<<<<<<<<< one\n| 2\n||||||||| x\n=========\n| 3\n"
        ">>>>>>>>> two\n=======\n| 4\n>>>>>>> other\n\ncase b\n| 5\n"
    )
    path.write_text(head + text)
    stored = store.load(tmp_path, GROUP)
    assert stored.conflicts == {RowKey("a"): f"{NAME}, lines 6-17"}
    assert [one.generation.text for one in stored.baselines.values()] == [" 5"]
    path.write_bytes((head + text).replace("\n", "\r\n").encode())
    assert store.load(tmp_path, GROUP) == stored


@pytest.mark.parametrize("seed", range(24))
def test_random_merges(repository: Repository, seed: int) -> None:
    """No case has a text that neither side gave it, or loses what one side alone changed; an update settles all."""
    draw = random.Random(seed)
    base = {one.row: one for one in many(12, draw.choice([" {}.", "a\nb\n{}\n", "{}\n\nQ:\n|||||||\n<<<<<<< HEAD"]))}
    sides = []
    for side in ("ours", "theirs"):
        values = dict(base)
        for at in draw.sample(range(-2, 14), draw.randint(1, 7)):
            text = draw.choice([f"{side} {at}", f"same {at}", f"{side}\nb\n{at}"])
            environment = draw.choice([CPU, CPU, GPU if side == "ours" else NEWER])
            values[row(at)] = baseline(row(at).prompt_id, text, environment=environment)
        sides.append(values)

    ours, theirs = (repository.put(*values.values()) for values in sides)
    repository.merge(base.values(), ours, theirs, STYLES[seed % 3])
    stored = repository.load()
    for name in base.keys() | sides[0].keys() | sides[1].keys():
        before, one, other = (says(values.get(name)) for values in (base, *sides))
        found = says(stored.baselines.get(name))
        if name in stored.conflicts:
            assert before != one or before != other
        elif one == before or other == before:
            assert found == (other if one == before else one)
        else:  # git may take one side of two neighbours; what it then cannot fit into the other is in conflict
            assert found in (one, other)
    answers = by_row([*sides[0].values(), *sides[1].values()])
    store.update(repository.root, GROUP, list(answers.values()), refresh=True)
    assert repository.load() == store.BaselineSet(repository.path, answers)


TWICE = """#llmcompare-baseline 1
#table trivia
#model distilgpt2
#env e1 torch=2
#env e2 torch=3

case a
.env e1
| One.

case a
.env e2
| Uno.
|

case b @v
| Two.

case b @v
.tokens 2
| Two.

case c
| Three.

case c
| Three.
"""


def test_a_case_that_stands_twice(tmp_path: Path) -> None:
    """Git can merge two new cases of one name without markers: they are in conflict, and equal ones are one case."""
    path = store.path_of(tmp_path, GROUP)
    path.parent.mkdir(parents=True)
    path.write_text(TWICE)
    stored = store.load(tmp_path, GROUP)
    assert stored.conflicts == {
        RowKey("a"): f"{NAME}, lines 7-9, 11-14",
        RowKey("b", "v"): f"{NAME}, lines 16-17, 19-21",
    }
    assert [one.row for one in stored.baselines.values()] == [RowKey("c")]
    store.update(tmp_path, GROUP, [baseline("b", variant="v")])
    assert path.read_text() == (
        TWICE[: TWICE.index("\ncase a")]
        + "#env e3 device=cpu dtype=float32 torch=2.13.0\n"
        + "\n<<<<<<< first\ncase a\n.env e1\n| One.\n=======\ncase a\n.env e2\n| Uno.\n|\n>>>>>>> second\n"
        + "\ncase b @v\n.input aacd82be  .settings 7d21a0c4  .env e3  .stop length  .tokens 2\n| Blue.\n"
        + "\ncase c\n| Three.\n\n#end\n"
    )
    assert set(store.load(tmp_path, GROUP).conflicts) == {RowKey("a")}
    store.update(tmp_path, GROUP, [baseline("a")])
    assert store.load(tmp_path, GROUP).conflicts == {}
    assert path.read_text().count("\ncase ") == 3


@pytest.mark.parametrize("more", [1, 2])
def test_a_case_that_stands_twice_between_markers(tmp_path: Path, more: int) -> None:
    """All of its versions are kept until one is chosen."""
    path = store.path_of(tmp_path, GROUP)
    path.parent.mkdir(parents=True)
    path.write_text(
        "#llmcompare-baseline 1\n#table trivia\n#model distilgpt2\n\n<<<<<<< HEAD\ncase a\n| 1\n=======\n"
        + "".join(f"case a\n| {2 + at}\n" for at in range(more))
        + ">>>>>>> other\n\ncase b\n| b\n\ncase b\n| b 2\n"
    )
    for _ in range(2):
        assert set(store.load(tmp_path, GROUP).conflicts) == {RowKey("a"), RowKey("b")}
        store.update(tmp_path, GROUP, [baseline("c")], refresh=True)
        assert path.read_text().count("case a\n") == 1 + more
    store.update(tmp_path, GROUP, [baseline("a"), baseline("b")])
    assert store.load(tmp_path, GROUP).baselines == by_row([baseline("a"), baseline("b"), baseline("c")])


def with_environment(one: Baseline, environment: Environment) -> Baseline:
    return dataclasses.replace(one, generation=dataclasses.replace(one.generation, environment=environment))


def says(one: Baseline | None) -> str | None:
    return one.generation.text if one else None
