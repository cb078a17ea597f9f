"""The Markdown report: the outcome first, nothing empty, and no text of a model's that acts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import ThresholdResult
from pytest_llmcompare.records import GroupKey, GroupResult
from pytest_llmcompare.reports.markdown import markdown_file, markdown_report
from pytest_llmcompare.reports.markdown_text import block, code, markdown_table

from .runs import ARMS, DRIFT, IDENTICAL, TIE, drawn, found, generation, hostile, mixed
from .samples import HOSTILE

DRIFTED = """\
## Model comparison: failed

**2 cases: 1 drifted, 1 identical.**

1 of 2 texts differs from its baseline.

Accept all of today's outputs as baselines, 1:

```text
pytest --llm-models=small,large --llm-update
```

| model | cases | drifted | identical | drift rate |
| --- | ---: | ---: | ---: | ---: |
| `small` | 2 | 1 | 1 | 50.0% |

### ≠ 1 drifted

<details open>
<summary><code>zoo/small/spider</code></summary>

Prompt:

```text
Q: How many legs?
A:
```

```text
drift @tok 2/6 ' legs' -> ' arms' margin 1.8
margin 1.8 nats (tie: up to 0.001); 2 of 6 tokens would differ
likelihood drift 0.7 nats per token (noise: up to 1e-05), worst -1.5 at token 2
```

```diff
- Eight legs and no wings.
+ Eight arms and two wings.
```

Accept: `pytest --llm-update tests/test_zoo.py::test_zoo[small-spider]`

</details>
"""

UNCHANGED = """\
## Model comparison: failed

**1 case: 1 identical.**

0 of 1 texts differ from their baselines.

| model | cases | identical | drift rate |
| --- | ---: | ---: | ---: |
| `small` | 1 | 1 | 0% |

### Notes

```text
metric left out
```
"""

TIED = """\
### ≈ 1 near tie

| case | at | change | margin (nats) | tie up to |
| --- | --- | --- | --- | --- |
| `zoo/small/ant` | tok 3/6 | `  and ` → `  plus ` | 0.0004 | 0.001 |
"""

SIDE_BY_SIDE = """\
### Side by side: `zoo`

| prompt | `small` | `large` |
| --- | --- | --- |
| `spider` | ≠ `Eight arms and two wings.` | = `Eight legs and no wings.` |

### Models against each other

| models | same text | alike | better on targets |
| --- | --- | --- | --- |
| `small` / `large` | 0 of 1 | 0% | equal (McNemar p 1.000) |
"""


def test_a_drift_is_told_as_its_failure_is() -> None:
    """Outcome, models, the way to accept, then each drift with its message."""
    results = [found("spider", DRIFT, generation(ARMS)), found("fox", IDENTICAL, generation())]
    assert markdown_report(drawn(results)) == DRIFTED


def test_sections_without_content_are_left_out() -> None:
    """A run without a difference has its models and its notes."""
    assert markdown_report(drawn([found("fox", IDENTICAL, generation())], (), "metric left out")) == UNCHANGED


GATED = """\
## Model comparison: failed

**No case was looked at.**

### 2 thresholds, 1 failed

|  | metric | value | wanted | table | model | cases |
| --- | --- | --- | --- | --- | --- | --- |
| **FAILED** | `n` | `12.5` | `<=4` | `zoo` | `small` | 3 of 10 |
| ok | `exact_match/v1` | `0.75` | `>=0.5` | `zoo` | `small` | 10 |

Why the run failed:

```text
threshold failed: n
no room.
```

| model | cases |
"""


def test_faults_and_gates_stand_on_top() -> None:
    """Failed gates first; a fault is no note; a run without a single case has them, too."""
    gates = (
        ThresholdResult("exact_match/v1", ">=0.5", 0.75, True, 10, 10),
        ThresholdResult("n", "<=4", 12.5, False, 3, 10),
    )
    group = GroupResult(GroupKey("tests", "zoo", "small"), gates=gates)
    faults = ["threshold failed: n", "no room."]
    report = markdown_report(drawn([], (group,), "metric left out", *faults, faults=faults))
    assert report.startswith(GATED)
    assert report.endswith("### Notes\n\n```text\nmetric left out\n```\n")


def test_a_report_of_an_earlier_version_has_no_gates() -> None:
    """It can be drawn all the same."""
    document = drawn([found("fox", IDENTICAL, generation())], (), "metric left out")
    for key in ("faults", "gates", "remarks", "mlflow", "accept_counts"):
        del document[key]
    assert markdown_report(document) == UNCHANGED


def test_near_ties_have_a_line_each() -> None:
    """With the place, both tokens, the margin and its limit."""
    assert markdown_report(drawn([found("ant", TIE, generation())])).endswith(TIED)


def test_models_stand_side_by_side() -> None:
    """The prompts in which they differ, then how often they agree."""
    results = [found("spider", DRIFT, generation(ARMS)), found("spider", IDENTICAL, generation(), model="large")]
    assert markdown_report(drawn(results)).endswith(SIDE_BY_SIDE)


def test_every_verdict_has_its_section() -> None:
    """The worst first."""
    headings = re.findall(r"^### (.*)$", markdown_report(drawn(mixed())), re.MULTILINE)
    assert headings == [
        *("! 1 error", "≠ 1 drifted", "* 1 stale", "? 1 missing", "≈ 1 near tie", "^ 1 shifted"),
        *("Side by side: `zoo`", "Models against each other"),
    ]


def outside_code(text: str) -> str:
    """A report without its code blocks and code spans, read as CommonMark reads them, and without HTML of our own."""
    text = re.sub(r"^</?(details|details open|summary)>$|</summary>$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^<summary><code>[^<>\n]*</code>", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(`{3,})(?:text|diff)\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)


def test_hostile_text_stays_code() -> None:
    """Outside of code there is nothing but our own words: no tag, link, mention or mark; no line is a command."""
    text = markdown_report(hostile())
    assert re.sub(r"[\w\s|:*#≠!.,'%/(-)-]", "", outside_code(text)) == ""
    assert "hacked" not in outside_code(text)
    assert "octocat" not in outside_code(text)
    lines = text.splitlines()
    assert not [line for line in lines if line.lstrip().startswith("::") or re.search(r"##[A-Za-z]*\[", line)]
    assert text.encode("utf-8").decode() == text


@given(HOSTILE | st.text(st.sampled_from("`|\\ \n<@#"), max_size=12))
def test_any_text_is_one_code_span_and_one_cell(text: str) -> None:
    """No text ends the span or the cell that it stands in, nor the block."""
    span = code(text)
    assert outside_code(span) == ""
    line = markdown_table(["a"], [[span]]).splitlines()[-1]
    assert len(re.findall(r"(?:\\.|[^|\\])+", line.strip("|"), re.DOTALL)) == 1
    lines = block([text]).splitlines()
    assert outside_code("\n".join(lines)).strip() == ""


def test_cases_with_equal_texts_are_one_part() -> None:
    """All are named; the texts stand there once."""
    results = [found(f"p{at}", DRIFT, generation(ARMS)) for at in range(3)]
    text = markdown_report(drawn(results))
    assert text.count("```diff") == 1
    assert "<summary><code>zoo/small/p0</code>, and 2 more cases with equal texts</summary>" in text
    assert "Also: `zoo/small/p1`, `zoo/small/p2`" in text


def test_long_prompts_are_cut_and_say_so() -> None:
    """The first lines, and how many characters there are after them."""
    result = found("p", DRIFT, generation(ARMS), prompt="line\n" * 1000)
    text = markdown_report(drawn([result]))
    assert text.count("\nline") == 20
    assert "… 4,901 more characters" in text


def test_a_file_fits_in_a_comment() -> None:
    """GitHub takes 65,536 characters, of which some are left for what stands around the report."""
    results = [found(f"p{at:03}", DRIFT, Generation("é" * 400), f"{at}" * 100) for at in range(400)]
    text = markdown_file(drawn(results))
    assert 50_000 < len(text) <= 61_440
    assert "it may have 61,440 characters here" in text


@pytest.mark.parametrize("cases", [3, 400])
def test_a_report_too_large_is_cut_and_says_so(cases: int) -> None:
    """It keeps whole parts from the beginning, within the bytes that there are."""
    results = [found(f"p{at:03}", DRIFT, Generation("é" * 400), f"{at:03}" * 100) for at in range(cases)]
    whole = markdown_report(drawn(results))
    text = markdown_report(drawn(results), most=20_000)
    if cases == 3:
        assert text == whole
        return
    assert len(text.encode()) <= 20_000
    *kept, said = text.rstrip("\n").split("\n\n")
    assert whole.startswith("\n\n".join(kept))
    parts = re.fullmatch(r"\*(\d+) more parts of this report left out: it may have 20,000 bytes here\.\*", said)
    assert parts
    assert 350 < int(parts[1]) < 400
