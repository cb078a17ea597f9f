"""The report at the end of a run, as it stands on a terminal."""

from __future__ import annotations

import dataclasses
import io
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmcompare.comparison.drift_budget import check_budget
from pytest_llmcompare.comparison.summary import Summary, summarize
from pytest_llmcompare.judgement import Judgement, ThresholdResult, Verdict
from pytest_llmcompare.records import CaseResult, GroupKey, GroupResult, RowKey
from pytest_llmcompare.reports.page_data import why
from pytest_llmcompare.reports.side_by_side import MOST_ROWS
from pytest_llmcompare.reports.style import wrap
from pytest_llmcompare.reports.terminal import fault_lines, summary_lines
from pytest_llmcompare.run.display import write_parts
from pytest_llmcompare.settings import Settings, Update
from pytest_llmcompare.text import width

from .runs import TIE, found, generation
from .samples import COMMAND, DRIFTED, HOSTILE, IDENTICAL, MISSING, case, declared, groups, is_harmless, trivia

RUN = Settings(models=("gpt2-large", "distilgpt2", "bigscience/bloom-560m"))
KEY = GroupKey("tests", "trivia", "gpt2-large")


def report(summary: Summary, columns: int = 80, verbose: int = 0, encoding: str = "utf-8") -> str:
    lines = summary_lines(summary, width=columns, verbose=verbose, command=COMMAND, encoding=encoding)
    return "\n".join(line.text for line in lines)


def whole_run() -> Summary:
    return summarize(trivia(), groups(), RUN, declared=declared())


MODEL_LINES = """\
model       cases  identical  drifted  drift rate  tokens   time  tok/s
gpt2-large      5          5        0          0%      50  1.7 s   29.4
distilgpt2      5          4        1       20.0%      50  8.7 s    5.7
bloom-560m      5          5        0          0%      50   16 s    3.2"""
TEXTS = "1 of 15 texts differs from its baseline"


PAIR_LINES = """\
two models               same text  alike    95% interval
gpt2-large / distilgpt2     4 of 5  80.0%  37.6% to 96.4%
gpt2-large / bloom-560m     3 of 5  60.0%  23.1% to 88.2%
distilgpt2 / bloom-560m     2 of 5  40.0%  11.8% to 76.9%"""


def test_80_columns() -> None:
    """Only rows with a difference are shown, with both texts of a drift; then models, notes, the way on."""
    assert (
        report(whole_run())
        == f"""\
trivia
{"─" * 80}
hamlet
  gpt2-large  = William Shakespeare.
  distilgpt2  = William Shakespeare.
  bloom-560m  = Milk.
capital_of_france
  gpt2-large  = The capital of France is Paris.
  distilgpt2  ≠ The capital of France is [-Paris-]{{+Lyon+}}.
  bloom-560m  = The capital of France is Paris.
bees
  gpt2-large  = Honey, and wax for the combs of the hive in which they live tog…
  distilgpt2  = Honey, and wax for the combs of the hive in which they live tog…
  bloom-560m  = Milk.
and 2 prompts without a difference (-v shows all)
= as its baseline   ≠ drifted

{MODEL_LINES}
{TEXTS}

{PAIR_LINES}

left out: readability, because textstat is not installed (pip install textstat)

Accept 1: pytest --llm-models=gpt2-large,distilgpt2,bigscience/bloom-560m \\
  --llm-update
or: llmcompare review"""
    )


def test_160_columns() -> None:
    """With more room, texts are shown from their beginning, and as far as they go."""
    assert (
        report(whole_run(), columns=160)
        == f"""\
trivia             gpt2-large                                            distilgpt2{" " * 44}bloom-560m
{"─" * 160}
hamlet             = William Shakespeare.                                = William Shakespeare.{" " * 32}= Milk.
capital_of_france  = The capital of France is Paris.                     \
≠ The capital of France is [-Paris-]{{+Lyon+}}.         = The capital of France is Paris.
bees               = Honey, and wax for the combs of the hive in which…  \
= Honey, and wax for the combs of the hive in which…  = Milk.
and 2 prompts without a difference (-v shows all)
= as its baseline   ≠ drifted

{MODEL_LINES}
{TEXTS}

{PAIR_LINES}

left out: readability, because textstat is not installed (pip install textstat)

Accept 1: {COMMAND} --llm-update
or: llmcompare review"""
    )


def test_verbose_shows_every_row() -> None:
    """With -v rows without a difference are shown, too."""
    assert report(whole_run(), verbose=1).startswith(
        f"""\
trivia
{"─" * 80}
sky_color
  gpt2-large  = Blue.…
  distilgpt2  = Blue.…
  bloom-560m  = Blue.…
hamlet
"""
    )


def test_quiet_shows_the_models_only() -> None:
    """With -q there is a line per model."""
    assert report(whole_run(), verbose=-1) == f"{MODEL_LINES}\n{TEXTS}"


def test_a_calm_run_is_a_line_per_model() -> None:
    """Where nothing differs there is no table, no legend and nothing to do."""
    results = [result for result in trivia() if result.key.group.model == "gpt2-large"]
    assert report(summarize(results, groups()[:1], Settings()).__class__(models=whole_run().models)) == MODEL_LINES
    assert report(summarize(results, [], Settings())) == (
        "model       cases  identical  drifted  drift rate\ngpt2-large      5          5        0          0%"
        "\n0 of 5 texts differ from their baselines"
    )


def test_an_empty_run_says_nothing() -> None:
    """Without results there are no lines."""
    assert summary_lines(Summary(), width=80, verbose=1, command=COMMAND) == []


def test_many_models_stand_below_each_other() -> None:
    """Where columns would be too narrow to read, each prompt has a block with a line per model."""
    results = [
        case(text=f"{number} is the answer.", model=f"checkpoint-{number}000", judgement=IDENTICAL)
        for number in range(1, 7)
    ]
    assert report(summarize(results, [], Settings())).startswith(
        f"""\
geo
{"─" * 80}
paris
  checkpoint-1000  = 1 is the answer.
  checkpoint-2000  = 2 is the answer.
  checkpoint-3000  = 3 is the answer.
  checkpoint-4000  = 4 is the answer.
  checkpoint-5000  = 5 is the answer.
  checkpoint-6000  = 6 is the answer.
= as its baseline"""
    )


def test_each_verdict_has_a_sign() -> None:
    """Verdicts are told apart without colour, and the legend says how."""
    judgements = [IDENTICAL, DRIFTED, MISSING, Judgement(Verdict.STALE), Judgement(Verdict.ERROR), None]
    results = [
        case(f"case_{at}", text=None if judgement and judgement.verdict is Verdict.ERROR else "x", judgement=judgement)
        for at, judgement in enumerate(judgements)
    ]
    lines = report(summarize(results, [], Settings()), verbose=1)
    assert lines.startswith(
        """\
geo     distilgpt2
──────────────────────────
case_0  = x
case_1  ≠ [- Paris.-]{+x+}
case_2  ? [- Paris.-]{+x+}
case_3  * [- Paris.-]{+x+}
case_4  ! (no output)
case_5    x
= as its baseline   ≠ drifted   ? no baseline   * stale baseline   ! error

"""
    )
    assert lines.endswith(
        "Accept 3 (1 drifted, 1 stale, 1 missing): pytest \\\n  "
        + COMMAND.removeprefix("pytest ")
        + " --llm-update\nor: llmcompare review\nRecord 1: "
        + COMMAND
        + " \\\n  --llm-update-missing"
    )


def test_a_drift_beyond_the_cell_is_shown() -> None:
    """A cell shows where its text left the baseline, also in a later line and in a word without end."""
    texts = {
        "a": ("Blue.\n\nQ: What color is the grass?", "Blue.\n\nQ: What colour is the grass?"),
        "b": ("x" * 200 + "y", "x" * 200 + "z"),
        "c": ("One two three, and then four.", "One two three"),
    }
    results = [case(name, text=new, baseline=old, judgement=DRIFTED) for name, (old, new) in texts.items()]
    lines = report(summarize(results, [], Settings()), columns=40).splitlines()
    assert lines[2] == "a    ≠ …What [-color-]{+colour+} is the…"
    assert lines[3] == f"b    ≠ …{'x' * 22}[-y-]{{+z+}}"
    assert lines[4] == "c    ≠ One two three[-, and then four.-]"


def test_at_most_fifty_rows() -> None:
    """A long table is cut, and says how much is left."""
    results = [case(f"row_{at:03}", judgement=DRIFTED) for at in range(80)]
    summary = summarize(results, [], Settings())
    assert report(summary).count("≠ Paris.") == MOST_ROWS
    assert "\n… and 30 more rows with a difference (-v shows all)\n" in report(summary)
    assert report(summary, verbose=1).count("≠ Paris.") == 80


def test_equal_drifts_are_named_once() -> None:
    """A change that several cases share has a line with some of their names."""
    results = [case(f"row_{at}", judgement=DRIFTED) for at in range(5)]
    expected = "5 drifts alike: distilgpt2 ' Paris' -> ' Lyon' in row_0, row_1, and 3 more"
    assert expected in report(summarize(results, [], Settings())).splitlines()


def test_an_end_has_no_quotes_and_no_number() -> None:
    """`<end>` is no text of a model, and there is no 9th of 8 tokens."""
    ended = dataclasses.replace(DRIFTED, position=8, baseline_token="<end>")
    tie = dataclasses.replace(ended, verdict=Verdict.NEAR_TIE, margin=0.0004, tolerance=0.001)
    results = [case("a", judgement=ended), case("b", judgement=ended), case("c", judgement=tie)]
    lines = report(summarize(results, [], Settings()), columns=100).splitlines()
    assert "2 drifts alike: distilgpt2 <end> -> ' Lyon' in a, b" in lines
    assert "near tie geo/distilgpt2/c after tok 8 <end> -> ' Lyon' margin 0.0004 (tie: up to 0.001 nats)" in lines
    assert why(ended) == "<end> → ' Lyon'"


def test_obsolete_baselines_have_a_note_and_a_command() -> None:
    """What is no longer in its table can be deleted, by a command of its own."""
    summary = summarize([], [], RUN, obsolete={KEY: [RowKey("gone"), RowKey("lost", "greedy")]})
    assert (
        report(summary, columns=100)
        == f"""\
trivia/gpt2-large: 2 obsolete baselines (gone, lost@greedy), no longer in the table

Delete 2: {COMMAND} --llm-prune"""
    )


def test_long_commands_are_continued() -> None:
    """A command stays copyable on a narrow terminal; quotes stay."""
    lines = summary_lines(
        summarize([case(judgement=MISSING)], [], Settings()),
        width=40,
        verbose=0,
        command="pytest --llm-models='a b' -k 'x or y'",
    )
    assert [line.text for line in lines[-2:]] == [
        "Record 1: pytest '--llm-models=a b' -k \\",
        "  'x or y' --llm-update-missing",
    ]


def test_ascii_outputs() -> None:
    """Where the output lacks our signs, ASCII signs stand for them, and widths stay."""
    results = [case("a", text="中" * 30, judgement=DRIFTED)]
    lines = report(summarize(results, [], Settings()), columns=40, encoding="ascii")
    assert lines.isascii()
    assert lines.startswith(
        "geo  distilgpt2\n" + "-" * 40 + "\na    # [- Paris.-]{+\\u4e2d\\u4e2d\\u4e~+}\n# drifted\n"
    )


def test_columns_give_way_on_a_narrow_terminal() -> None:
    """Numbers of less weight are left out before a model's name is cut to nothing."""
    heads = [report(whole_run(), columns=columns, verbose=-1).splitlines()[0] for columns in (80, 70, 60, 50, 40)]
    assert [head.split()[1:] for head in heads] == [
        ["cases", "identical", "drifted", "drift", "rate", "tokens", "time", "tok/s"],
        ["cases", "identical", "drifted", "drift", "rate", "time", "tok/s"],
        ["cases", "identical", "drifted", "drift", "rate", "tok/s"],
        ["cases", "identical", "drifted", "drift", "rate"],
        ["cases", "identical", "drifted"],
    ]


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 8, 13, 21])
def test_the_narrowest_terminals(columns: int) -> None:
    """A width that nothing fits into cuts lines, but for the words of a command; it does not raise."""
    lines = summary_lines(whole_run(), width=columns, verbose=1, command="c")
    assert all(width(line.text) <= max(columns, len("  --llm-update")) for line in lines)


def test_colours_go_with_the_worst_verdict() -> None:
    """Headings are bold, lines with a drift red, with a missing baseline yellow, calm lines plain."""
    results = [case("a", judgement=DRIFTED), case("b", judgement=MISSING), case("c", judgement=IDENTICAL)]
    lines = summary_lines(summarize(results, [], Settings()), width=80, verbose=1, command=COMMAND)
    assert [dict(line.markup) for line in lines[:5]] == [{"bold": True}, {}, {"red": True}, {"yellow": True}, {}]


def test_lines_are_what_the_terminal_writer_takes() -> None:
    """pytest's writer takes each line with its markup."""
    from _pytest._io import TerminalWriter

    file = io.StringIO()
    for line in summary_lines(whole_run(), width=80, verbose=0, command=COMMAND):
        write_parts(line, TerminalWriter(file))
    assert file.getvalue() == report(whole_run()) + "\n"


@given(st.text(st.sampled_from("ab 中"), max_size=80), st.integers(6, 30))
def test_wrapped_text_fits(text: str, columns: int) -> None:
    """Wrapping keeps every character and no line is too wide."""
    lines = wrap(text, columns)
    assert all(width(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


JUDGEMENTS = st.sampled_from([IDENTICAL, DRIFTED, MISSING, Judgement(Verdict.STALE), Judgement(Verdict.ERROR), None])


@st.composite
def hostile_results(draw: st.DrawFn) -> list[CaseResult]:
    names = st.text(st.characters(), min_size=1, max_size=30) | HOSTILE
    models, rows = draw(st.lists(names, min_size=1, max_size=6)), draw(st.lists(names, min_size=1, max_size=4))
    table = draw(names)
    return [
        case(row, model, draw(st.none() | HOSTILE), draw(st.none() | HOSTILE), draw(JUDGEMENTS), table=table)
        for model in models
        for row in rows
    ]


@settings(deadline=None)
@given(
    hostile_results(), HOSTILE, st.integers(30, 170), st.integers(-1, 1), st.sampled_from(["utf-8", "ascii", "cp437"])
)
def test_no_line_acts_or_is_too_wide(
    results: list[CaseResult], note: str, columns: int, verbose: int, encoding: str
) -> None:
    """Whatever models say and rows are called, lines are harmless, encodable and no wider than the terminal."""
    key = results[0].key.group
    summary = summarize(
        results,
        [GroupResult(key, notes=(note,), tokens=7, seconds=2.5)],
        Settings(),
        notes=[note],
        obsolete={key: [RowKey(note), *(result.key.row for result in results)]},
    )
    for line in summary_lines(
        summary, width=columns, verbose=verbose, command="pytest --llm-models=a,b -x", encoding=encoding
    ):
        assert width(line.text) <= columns
        assert is_harmless(line.text)
        line.text.encode(encoding)


def test_thirty_thousand_cases_are_summed_up_quickly() -> None:
    """The report of a large run takes a second or two, not minutes."""
    results = [
        case(f"row_{at}", f"m{model}", text="x" * 300, judgement=DRIFTED) for at in range(10_000) for model in range(3)
    ]
    start = time.process_time()
    summary_lines(summarize(results, [], Settings()), width=80, verbose=0, command=COMMAND)
    assert time.process_time() - start < 5


def test_what_an_update_accepted_has_a_sign_of_its_own() -> None:
    """After `--llm-update` nothing looks open that is not: a plus, what it means, and no command to go on."""
    recorded = dataclasses.replace(case("a", judgement=MISSING), passed=True)
    summary = summarize([recorded, case("b", judgement=IDENTICAL)], [], Settings(update=Update.CHANGED))
    shown = report(summary)
    assert "a    + Paris." in shown
    assert "+ now the baseline" in shown
    assert "no baseline" not in shown
    assert "--llm-update" not in shown


REASONS = (
    "threshold failed: table 'trivia', model 'm': a is 1 over 2 cases, wanted >=4",
    "no room.\nName another path.",
)


def test_reasons_to_fail_stand_last_and_in_red() -> None:
    """Each once, on lines of its own; nothing is said of a run without one."""
    lines = list(fault_lines([*REASONS, REASONS[0]], columns=None, encoding="utf-8"))
    assert [line.text for line in lines] == ["model comparison failed:", REASONS[0], "no room.", "Name another path."]
    assert all(line.markup["red"] for line in lines)
    assert list(fault_lines([], columns=None, encoding="utf-8")) == []


@given(st.lists(HOSTILE | st.sampled_from(REASONS)), st.integers(12, 120))
def test_reasons_to_fail_keep_to_a_terminal(faults: list[str], columns: int) -> None:
    """And act on it as little as anything else; in a log each line is left whole."""
    for line in fault_lines(faults, columns=columns, encoding="utf-8"):
        assert width(line.text) <= max(columns, len("model comparison failed:"))
        assert is_harmless(line.text)
    assert all(is_harmless(line.text) for line in fault_lines(faults, columns=None, encoding="ascii"))


def test_reasons_to_fail_are_no_notes() -> None:
    """They stand last of all, so they are not among the notes; remarks are said with `-v` only."""
    evaluated = GroupResult(KEY, notes=("a note",), remarks=("a remark",))
    summary = summarize([], [evaluated], RUN, notes=["a reason"], faults=["a reason"])
    assert [line for line in report(summary).splitlines() if "a " in line] == ["a note"]
    assert [line for line in report(summary, verbose=1).splitlines() if "a " in line] == ["a note", "a remark"]


def test_thresholds_stand_first() -> None:
    """A block per table and model, in the order of the models, before the tables; a quiet run leaves them out."""
    evaluated = [
        GroupResult(GroupKey("tests", "trivia", model), gates=(ThresholdResult("n", "<=4", 3.0, True, 5, 5),))
        for model in "ab"
    ]
    summary = summarize([], evaluated, RUN, models=("b", "a"))
    assert report(summary).startswith(
        "thresholds of trivia/b, over 5 cases:\n  ok  n  3  <=4\n\n"
        "thresholds of trivia/a, over 5 cases:\n  ok  n  3  <=4"
    )
    assert "thresholds" not in report(summary, verbose=-1)


def test_near_ties_of_a_model_that_changed_show_both_texts() -> None:
    """Then another text is no matter of noise; it counts in the drift budget."""
    tie = dataclasses.replace(found("spider", TIE, generation(("Eight", " legs"))), model_changed=True)
    summary = summarize([tie], [], Settings())
    text = report(summary)
    assert "  baseline   'Eight legs and no wings.'" in text
    assert "  candidate  'Eight legs'" in text
    assert "1 of 1 texts differs from its baseline" in text
    cells = {cell.key: cell for cell in summary.cells}
    (check,) = check_budget(cells, Settings(drift_budget=0), whole=True)
    assert check.rate.count == 1
