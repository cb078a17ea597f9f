"""Runs to report on: three models, five prompts, and text that wants to do harm."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.records import CaseKey, CaseResult, GroupKey, GroupResult, RowKey

MODELS = ("gpt2-large", "distilgpt2", "bloom-560m")
COMMAND = "pytest --llm-models=gpt2-large,distilgpt2,bigscience/bloom-560m"
NO_BASELINE = "no baseline is recorded for this case"

TEXTS = {
    "sky_color": " Blue.\n\nQ: What color is the",
    "hamlet": " William Shakespeare.",
    "capital_of_france": " The capital of France is Paris.",
    "legs_of_a_spider": " Eight.",
    "bees": " Honey, and wax for the combs of the hive in which they live together.",
}

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x07\r\n\t\u202e\u2066\u200d\u200b\ud800\u0301\ufe0f中👩🎉:#[]\\ '\""),
    ),
    max_size=40,
) | st.sampled_from(
    ["::error::x", "  ::set-output name=a::b", "##[group]x", "##vso[task.x]y", "\u0301" * 30, "x" * 1000]
)
"""Model text that acts, where a terminal or a CI service lets it."""


def is_harmless(line: str) -> bool:
    """Whether a line has nothing in it that acts."""
    printable = all(char.isprintable() or char in "\u200c\u200d" for char in line)
    marks = re.search("[\u0300-\u036f\u200c\u200d\ufe0f]{6}", line)
    command = line.lstrip().startswith("::") or re.search(r"##[A-Za-z]*\[", line)
    return printable and not marks and not command


def case(
    prompt_id: str = "paris",
    model: str = "distilgpt2",
    text: str | None = " Paris.",
    baseline: str | None = " Paris.",
    judgement: Judgement | None = None,
    *,
    table: str = "geo",
    test: str = "test_geo",
) -> CaseResult:
    """One test's result; without a judgement the test compared nothing."""
    return CaseResult(
        CaseKey(GroupKey("tests", table, model), prompt_id),
        f"tests/{test}.py::{test}[{model}-{prompt_id}]",
        None if text is None else Generation(text, token_ids=tuple(range(8)), stop="eos"),
        judgement,
        baseline,
        input=f"Tell me about {prompt_id}.",
        passed=judgement is not None and judgement.verdict is Verdict.IDENTICAL,
    )


IDENTICAL = Judgement(Verdict.IDENTICAL, length=8)
DRIFTED = Judgement(Verdict.DRIFTED, 6, 8, " Paris", " Lyon")
MISSING = Judgement(Verdict.MISSING, reason=NO_BASELINE)


def trivia() -> list[CaseResult]:
    """Five prompts by three models: one of them drifts in one, another answers two of them differently."""
    results = []
    for model in MODELS:
        for prompt_id, answer in TEXTS.items():
            baseline = " Milk." if model == "bloom-560m" and prompt_id in ("bees", "hamlet") else answer
            text, judgement = baseline, IDENTICAL
            if (model, prompt_id) == ("distilgpt2", "capital_of_france"):
                text, judgement = baseline.replace("Paris", "Lyon"), DRIFTED
            results.append(case(prompt_id, model, text, baseline, judgement, table="trivia", test="test_trivia"))
    return results


def groups() -> list[GroupResult]:
    """What evaluating the groups of `trivia` gave."""
    note = "left out: readability, because textstat is not installed (pip install textstat)"
    return [
        GroupResult(GroupKey("tests", "trivia", model), notes=(note,), seconds=1.7 + 7 * at, tokens=50)
        for at, model in enumerate(MODELS)
    ]


def declared() -> dict[GroupKey, list[RowKey]]:
    """The rows of `trivia`, as its table has them."""
    return {GroupKey("tests", "trivia", model): [RowKey(prompt_id) for prompt_id in TEXTS] for model in MODELS}
