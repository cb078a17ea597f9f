"""Files that cannot be read: one error that names the line and the way out, and nothing is written over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmcompare.baselines import store
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import Baseline, GroupKey, RowKey

from .samples import GROUP, baseline, by_row, contents_of, many, stored_tokens, tokens_of

NAME = "tests/__baselines__/trivia/distilgpt2.baseline"
TOKENS_NAME = "tests/__baselines__/trivia/distilgpt2.tokens.jsonl"
RESTORE = f"git checkout -- {NAME}"
MEND = f"Fix the line, or restore the file: {RESTORE}"
STRANGE = f"does not belong into the head of the file, or differs from a line above.\n{MEND}"
EMPTY = (
    "1: the file is empty; expected '#llmcompare-baseline 1'.\n"
    f"Delete the file to record anew with pytest --llm-update, or restore it: {RESTORE}"
)
NEWER = (
    "1: the file has format 2; this version of pytest-llmcompare reads format 1.\n"
    "Upgrade: pip install --upgrade pytest-llmcompare"
)
FOREIGN = (
    f"expected table 'trivia' and model 'distilgpt2'.\nMove the file to where it belongs, or restore it: {RESTORE}"
)
WAY_OUT = (
    f"Cases without tokens are compared by their text. To get the tokens back: git checkout -- {TOKENS_NAME}, "
    "or record them again: pytest --llm-update-all"
)
UNENDED = (
    "the file has no line break at its end, so it may have been cut off.\n"
    f"If an editor has removed it, put it back: echo >> {NAME}\nElse restore the file: {RESTORE}"
)
HEAD = "#llmcompare-baseline 1\n#table trivia\n#model distilgpt2\n#env e1 torch=2\n"
CASE = "\ncase a\n.input 11111111  .env e1  .tokens 1\n| One.\n"

FAULTS = {
    "empty": (
        "",
        EMPTY,
    ),
    "blank": (
        " \n\n",
        EMPTY,
    ),
    "newer format": (
        HEAD.replace("1", "2", 1) + CASE,
        NEWER,
    ),
    "another kind of file": (
        '{"a": 1}\n',
        "1: '{\"a\": 1}' is not how a baseline file begins; expected '#llmcompare-baseline 1'.\n" + MEND,
    ),
    "unknown line in the head": (
        HEAD + "#evn e2 torch=3\n" + CASE,
        f"5: '#evn e2 torch=3' {STRANGE}",
    ),
    "one environment twice": (
        HEAD + "#env e1 torch=3\n" + CASE,
        f"5: '#env e1 torch=3' {STRANGE}",
    ),
    "no model": (
        HEAD.replace("#model distilgpt2\n", "") + CASE,
        f"4: the head of the file has no line '#model NAME'.\n{MEND}",
    ),
    "cut in the head": ("#llmcompare-baseline 1\n#tab", f"2: '#tab' {STRANGE}"),
    "cut in a text": (
        HEAD + CASE[:-3],
        f"8: {UNENDED}",
    ),
    "cut before a text": (HEAD + CASE[:-7], f"6: case 'a' has no text; an empty text is a line '|'.\n{MEND}"),
    "unknown fact": (
        HEAD + CASE.replace(".input", ".imput"),
        f"7: there is no fact '.imput'. Did you mean '.input'?\n{MEND}",
    ),
    "a fact without value": (HEAD + CASE.replace(" 1\n", "\n"), f"7: fact '.tokens' has no value.\n{MEND}"),
    "no number": (
        HEAD + CASE.replace(".tokens 1", ".tokens one"),
        f"7: '.input 11111111  .env e1  .tokens one': .tokens must be a number.\n{MEND}",
    ),
    "text without bar": (
        HEAD + CASE + "Two.\n",
        f"9: 'Two.' begins with neither 'case ', '#', '.', '|' nor '~'.\n{MEND}",
    ),
    "facts after the text": (
        HEAD + CASE + ".stop eos\n",
        f"9: '.stop eos' states facts after the text; they belong right below the case.\n{MEND}",
    ),
    "no beginning": (
        HEAD + "\ncase b\n~ goes on\n| b\n",
        f"7: '~ goes on' continues a text that has not begun.\n{MEND}",
    ),
    "unknown escape": (
        HEAD + CASE.replace("One.", r"C:\dir"),
        "8: there is no escape '\\\\d'; a backslash is written as two.\n" + MEND,
    ),
    "escape beyond Unicode": (
        HEAD + CASE.replace("One.", r"\U00110000"),
        "8: there is no escape '\\\\U00110000'; a backslash is written as two.\n" + MEND,
    ),
    "no variant": (
        HEAD + CASE.replace("case a", "case a @"),
        f"6: 'case a @' lacks the name of the case or of its variant.\n{MEND}",
    ),
    "no id": (
        HEAD + CASE.replace("case a", "case  @v"),
        f"6: 'case  @v' lacks the name of the case or of its variant.\n{MEND}",
    ),
    "rest of a merge": (
        HEAD + CASE + "=======\n| Zwei.\n>>>>>>> b\n",
        f"9: '=======' belongs to a merge conflict whose beginning ('<<<<<<<') is gone.\n{MEND}",
    ),
    "unfinished conflict": (
        HEAD + CASE + "<<<<<<< HEAD\n| Zwei.\n",
        f"9: '<<<<<<< HEAD' is a merge conflict marker without its counterparts.\n{MEND}",
    ),
    "markers in disorder": (
        HEAD + CASE + "<<<<<<< HEAD\n| b\n>>>>>>> b\n=======\n",
        f"9: '<<<<<<< HEAD' is a merge conflict marker without its counterparts.\n{MEND}",
    ),
    "damage within a conflict": (
        HEAD + CASE + "\n<<<<<<< HEAD\ncase b\n| b\n=======\ncase b\nc\n>>>>>>> b\n",
        f"15: 'c' begins with neither 'case ', '#', '.', '|' nor '~'.\n{MEND}",
    ),
    "a long line": (
        HEAD + CASE + "x" * 1000 + "\n",
        f"9: '{'x' * 57}...' begins with neither 'case ', '#', '.', '|' nor '~'.\n{MEND}",
    ),
    "another table's": (
        HEAD.replace("trivia", "geo") + CASE,
        f": these are the baselines of table 'geo' and model 'distilgpt2', {FOREIGN}",
    ),
    "another model's": (
        HEAD.replace("distilgpt2", "gpt2") + CASE,
        f": these are the baselines of table 'trivia' and model 'gpt2', {FOREIGN}",
    ),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The group's baseline file, not there yet; its folder is."""
    path = store.path_of(tmp_path, GROUP)
    path.parent.mkdir(parents=True)
    return path


def message(call: Callable[[], object]) -> str:
    """What the error says."""
    with pytest.raises(BaselineError) as caught:
        call()
    return str(caught.value)


def refuses(root: Path) -> str:
    """The error of loading; updating and pruning give the same one and touch no file."""
    before = contents_of(root)
    errors = {
        message(lambda: store.load(root, GROUP)),
        message(lambda: store.update(root, GROUP, [baseline("a"), baseline("new")])),
        message(lambda: store.update(root, GROUP, [], refresh=True)),
        message(lambda: store.prune(root, GROUP, [], confirmed=True)),
    }
    assert contents_of(root) == before
    assert len(errors) == 1
    return errors.pop()


@pytest.mark.parametrize(("text", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path, path: Path, text: str, expected: str) -> None:
    """The message names file, line and way out; no update and no prune writes over what it cannot read."""
    path.write_text(text, "utf-8")
    assert refuses(tmp_path) == f"{NAME}{'' if expected[0] == ':' else ', line '}{expected}"


def test_a_file_that_is_not_utf_8(tmp_path: Path, path: Path) -> None:
    """The line and the byte are named."""
    path.write_bytes((HEAD + CASE).encode() + b"| caf\xe9\n")
    assert refuses(tmp_path) == (
        f"{NAME}, line 9: byte 0xe9 is not UTF-8. An editor may have saved the file in another encoding.\n"
        f"Save it as UTF-8, or restore it: {RESTORE}"
    )


def test_a_file_that_is_a_folder(tmp_path: Path, path: Path) -> None:
    """What the system says is passed on."""
    path.mkdir()
    assert refuses(tmp_path) == f"{NAME}: cannot be read: Is a directory.\nRestore the file: {RESTORE}"


def test_names_with_blanks_are_quoted_in_commands(tmp_path: Path) -> None:
    """The command that restores a file can be pasted into a shell."""
    group = GroupKey("my tests", "trivia", "distilgpt2")
    path = store.path_of(tmp_path, group)
    path.parent.mkdir(parents=True)
    path.touch()
    assert message(lambda: store.load(tmp_path, group)).endswith(f"git checkout -- 'my {NAME}'")


@pytest.mark.parametrize("cut", range(len(HEAD), len(HEAD + CASE)))
def test_a_file_cut_anywhere_never_counts_as_whole(tmp_path: Path, path: Path, cut: int) -> None:
    """What a full disk or a broken copy leaves is an error, or (cut between two cases) holds whole cases only."""
    path.write_text((HEAD + CASE)[:cut])
    try:
        found = store.load(tmp_path, GROUP).baselines
    except BaselineError:
        return
    assert found == {}
    assert not (HEAD + CASE)[len(HEAD) : cut].strip()


def without_tokens(one: Baseline) -> Baseline:
    """The baseline as it is read where its tokens are lost."""
    stripped = baseline(one.row.prompt_id, one.generation.text, token_ids=None)
    return Baseline(one.row, stripped.generation, one.input_hash, one.settings_hash)


BROKEN = f"{TOKENS_NAME}, line 2 (case 'row_001'): broken, so it is not used."
MISFIT = f"{TOKENS_NAME}, line 2 (case 'row_001'): does not fit the text of the baseline, so it is not used."
NAMELESS = f"{TOKENS_NAME}, line 2: broken, so it is not used."
ABSENT = f"{TOKENS_NAME}: no line for case 'row_001'."


@pytest.mark.parametrize(
    ("change", "warnings"),
    [
        (lambda line: line[:-1], [BROKEN]),
        (lambda line: line[:40], [BROKEN]),
        (lambda _: '{"id": "row', [NAMELESS, ABSENT]),
        (lambda _: "garbage \ufffd", [NAMELESS, ABSENT]),
        (lambda _: "[" * 100_000, [NAMELESS, ABSENT]),
        (lambda _: "", [ABSENT]),
        (lambda _: "null", [NAMELESS, ABSENT]),
        (lambda _: '{"id": 3, "variant": ""}', [NAMELESS, ABSENT]),
        (
            lambda _: "<<<<<<< HEAD",
            [f"{TOKENS_NAME}, line 2: a merge conflict marker; the lines that fit are used.", ABSENT],
        ),
        (lambda line: line.replace("[4518, 13]", "[4518, 13.5]"), [BROKEN]),
        (lambda line: line.replace("[4518, 13]", "[4518, true]"), [BROKEN]),
        (lambda line: line.replace("[4518, 13]", '"4518"'), [BROKEN]),
        (lambda line: line.replace("-0.500000", '"x"'), [BROKEN]),
        (lambda line: line.replace(", -0.500000", ""), [BROKEN]),
        (lambda line: line.replace("[4518, 13]", "[4518, 13, 1]").replace("-0.500000", "-0.5, -0.5"), [MISFIT]),
        (lambda line: line.replace('"text": "', '"text": "0'), [MISFIT]),
        (lambda line: line.replace("row_001", "row_009"), [ABSENT]),
    ],
)
def test_a_damaged_line_of_tokens_is_a_warning(
    tmp_path: Path, change: Callable[[str], str], warnings: list[str]
) -> None:
    """Only its case is without tokens; an update of that case writes the line anew, the others stay."""
    store.update(tmp_path, GROUP, many(3))
    lines = stored_tokens(tmp_path)
    tokens = tokens_of(store.path_of(tmp_path, GROUP))
    tokens.write_text("\n".join([lines[0], change(lines[1]), lines[2], ""]), "utf-8")
    stored = store.load(tmp_path, GROUP)
    assert stored.baselines == by_row([many(3)[0], without_tokens(many(3)[1]), many(3)[2]])
    assert stored.warnings == (*warnings, WAY_OUT)
    store.update(tmp_path, GROUP, many(3))
    assert store.load(tmp_path, GROUP).baselines == by_row(many(3))
    assert store.load(tmp_path, GROUP).warnings == ()
    assert stored_tokens(tmp_path) == lines


def test_a_missing_tokens_file_is_one_warning(tmp_path: Path) -> None:
    """All texts are there; it says how many cases are without tokens, and what to do."""
    store.update(tmp_path, GROUP, many(30))
    tokens_of(store.path_of(tmp_path, GROUP)).unlink()
    stored = store.load(tmp_path, GROUP)
    assert stored.warnings == (
        f"{TOKENS_NAME}: not there or not readable, so 30 cases are without their tokens.",
        WAY_OUT,
    )
    assert stored.baselines == by_row(map(without_tokens, many(30)))


def test_a_tokens_file_that_is_a_folder(tmp_path: Path) -> None:
    """That is no damage by a merge or a crash, so it is refused; nothing is written."""
    store.update(tmp_path, GROUP, many(3))
    tokens = tokens_of(store.path_of(tmp_path, GROUP))
    tokens.unlink()
    tokens.mkdir()
    assert refuses(tmp_path) == (
        f"{TOKENS_NAME}: cannot be read: Is a directory.\nRestore the file: git checkout -- {TOKENS_NAME}"
    )


def test_cases_recorded_without_tokens_miss_none(tmp_path: Path) -> None:
    """A model that we cannot look into has no tokens file, and that is no warning."""
    store.update(tmp_path, GROUP, many(3, token_ids=None))
    path = store.path_of(tmp_path, GROUP)
    assert not tokens_of(path).exists()
    assert store.load(tmp_path, GROUP) == store.BaselineSet(path, by_row(many(3, token_ids=None)))


@pytest.mark.parametrize("kept", range(0, 300, 7))
def test_a_truncated_tokens_file_costs_tokens_only(tmp_path: Path, kept: int) -> None:
    """Whatever is cut off, every text is read, and the cases before the cut have their tokens."""
    store.update(tmp_path, GROUP, many(3))
    tokens = tokens_of(store.path_of(tmp_path, GROUP))
    whole = tokens.read_bytes()
    assert len(whole) > 300
    tokens.write_bytes(whole[:kept])
    stored = store.load(tmp_path, GROUP)
    good = [row for row, one in stored.baselines.items() if one.generation.token_ids]
    assert [one.generation.text for one in stored.baselines.values()] == [one.generation.text for one in many(3)]
    assert len(good) in {whole[:kept].count(b"\n"), whole[: kept + 1].count(b"\n")}
    assert stored.warnings[-1] == WAY_OUT


def test_many_damaged_lines_are_counted(tmp_path: Path) -> None:
    """Five are told one by one, the others as a number."""
    store.update(tmp_path, GROUP, many(30))
    tokens = tokens_of(store.path_of(tmp_path, GROUP))
    tokens.write_bytes(b"\xff\xff\x00broken\n" * 2)
    told = store.load(tmp_path, GROUP).warnings
    assert told[0] == f"{TOKENS_NAME}, line 1: broken, so it is not used."
    assert told[2] == f"{TOKENS_NAME}: no line for case 'row_000'."
    assert told[5:] == (f"{TOKENS_NAME}: 27 more lines that are missing or not used.", WAY_OUT)


def test_an_environment_that_is_not_described_is_a_warning(tmp_path: Path, path: Path) -> None:
    """A clean merge can drop its line: the cases are read without it, and its name is not taken again."""
    path.write_text(HEAD + CASE.replace("e1", "e7").replace("  .tokens 1", "") + "\ncase b\n.env ?\n| b\n")
    stored = store.load(tmp_path, GROUP)
    end = "cases that refer to it are read without one. To write it anew: pytest --llm-update-all"
    assert stored.warnings == tuple(
        f"{NAME}: no #env line describes environment '{name}'; {end}" for name in ("?", "e7")
    )
    assert [one.generation.environment for one in stored.baselines.values()] == [(), ()]
    store.update(tmp_path, GROUP, [baseline("c")])
    assert "#env e8 device=cpu" in path.read_text()
    assert store.load(tmp_path, GROUP).baselines[RowKey("a")] == stored.baselines[RowKey("a")]
