"""Column names of a prompt table: names with a role, near misses of these, and names that cannot be used. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from pytest_llmcompare.models.gen_config import REFUSED as REFUSED_SETTINGS
from pytest_llmcompare.models.gen_config import RULES

INPUT_COLUMNS = ("input_text", "prompt", "question", "text", "inputs")
"""Columns that may hold the prompts, in order of preference, unless `input=` names one."""

ID, TARGET, EXAMPLES, CONFIG, EXPECT = "id", "target", "few_shot_examples", "config_dict", "expect"
MESSAGES, TOOLS = "messages", "tools"
INPUT, IDEAL = "input", "ideal"
"""Names of the prompt and the expected answer in the tables of OpenAI's evals and of Inspect."""

RESERVED_COLUMNS = frozenset(
    {
        "prompt_id", "variant", "seed", "baseline", "outputs", "verdict",
        "margin", "likelihood_drift", "token_count",
    }
)  # fmt: skip
"""Columns of the results table; columns of the user cannot have these names."""

UNSEEN = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u00ad"  # zero-width: byte order mark, joiners, marks of direction
EDGES = re.compile(rf"\A[\s{UNSEEN}]+|[\s{UNSEEN}]+\Z")

OTHER_NAMES = {
    ID: {"ids"},
    TARGET: {"targets"},
    EXPECT: {"assert", "asserts", "assertion", "assertions"},
    EXAMPLES: {"fewshot", "fewshots", "fewshotprompt", "fewshotprompts", "fewshotexemplars"},
    CONFIG: {
        "config", "configs", "configuration", "cfg", "configjson", "generationconfig", "generationconfigs",
        "decodingconfig", "decodingsettings", "gensettings", "genkwargs", "generationkwargs", "generatekwargs",
        "samplingconfig", "samplingparams", "samplingparameters", "generationparams", "generationparameters",
    },
}  # fmt: skip
"""Names of a role in other tools, as `compact` writes them."""

MARKER_KEYWORDS = frozenset(
    {
        "examples", "gen_config", "variants", "models", "seed", "samples", "tolerance", "similarity",
        "metrics", "thresholds", "model_type",
    }
)  # fmt: skip
"""Keywords of the marker that users may try to set row by row. Not all of them: `name`, `input`, `table` and
`experiment` are words for columns of one's own, too."""

ROLE_OF_KEYWORD = {"examples": EXAMPLES, "gen_config": CONFIG}

ORDINARY = {"constraints", "transformers_version"}  # settings that cannot be set anyway, and words for other things
FROM_OTHER_TOOLS = {
    "max_tokens", "max_output_tokens", "max_completion_tokens", "stop_sequences", "frequency_penalty",
    "presence_penalty", "logit_bias",
}  # fmt: skip


class NameFault(NamedTuple):
    """What is wrong with a column's name, and what to do."""

    what: str
    advice: str


def trimmed(name: str) -> str:
    """A name without spaces and zero-width characters at its ends."""
    return EDGES.sub("", name)


def folded(name: str) -> str:
    """A name in lower case, trimmed, with full-width letters made plain; equal for spellings of one name."""
    return trimmed(unicodedata.normalize("NFKC", name)).casefold()


def compact(name: str) -> str:
    """Letters and digits of a name: `fewshotexamples` for both `fewShotExamples` and `few-shot examples`."""
    return "".join(char for char in unicodedata.normalize("NFKD", folded(name)) if char.isalnum())


SETTINGS = {compact(name): name for name in ({*RULES, *REFUSED_SETTINGS} - ORDINARY - {"seed"}) | FROM_OTHER_TOOLS}


def spellings(name: str, columns: Iterable[str]) -> list[str]:
    """The columns that equal a name up to case and surrounding spaces."""
    wanted = folded(name)
    return [column for column in columns if folded(column) == wanted]


def is_near(column: str, role: str) -> bool:
    """True if a column misspells a role: another separator, a letter or two, another tool's name.

    A number at the end (`target2`) or a further word (`target_language`) makes it an ordinary column.
    """
    ours, theirs = compact(role), compact(column)
    if ours == theirs or theirs in OTHER_NAMES.get(role, ()):
        return True
    if len(ours) < 6 or theirs[-1:].isdigit():  # `idx` is no slip for `id`, `test` none for `text`
        return False
    return slips(ours, theirs) <= (1 if len(ours) <= 8 else 2)


def misspelled_role(column: str, roles: Iterable[str]) -> str | None:
    """The role that a column misspells; None if it misspells none."""
    return next((role for role in roles if is_near(column, role)), None)


def slips(one: str, other: str) -> int:
    """Edit distance between two words; swapping neighbours counts as one edit. More than 3 is reported as 4."""
    if abs(len(one) - len(other)) > 3:
        return 4
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def python_literal(name: str) -> str:
    """A name as a Python literal, in double quotes if that needs no escapes."""
    return f'"{name}"' if name.isprintable() and not {'"', "\\"} & set(name) else repr(name)


def column_label(column: str) -> str:
    """A column's name in a sentence about one of its cells."""
    name = trimmed(column)
    return name if name.isprintable() else repr(name)


def another_name(column: str) -> str:
    """Advice for users who want a further column, which has no role."""
    return f"A column of your own needs another name, e.g. {f'own_{trimmed(column)}'!r}."


def near_miss(column: str, role: str) -> NameFault:
    """The fault of a column that misspells a role which no other column has."""
    keyword = {TARGET: "target", **dict.fromkeys(INPUT_COLUMNS, "input")}.get(role)
    named = f" or name it in the marker: {keyword}={python_literal(trimmed(column))}" if keyword else ""
    return NameFault(
        f"column {column!r} is not read. Did you mean {role!r}?",
        f"Rename column {column!r} to {role!r}{named}. {another_name(column)}",
    )


def name_fault(column: str) -> NameFault | None:
    """Why a column without a role cannot have its name; None if it can."""
    name = folded(column)
    if name in MARKER_KEYWORDS:
        return keyword_fault(column, name)
    if setting := setting_meant(column):
        return NameFault(
            f"column {column!r} is named like the decoding setting {setting}, and sets nothing. "
            f"Did you mean {CONFIG!r}?",
            f'Settings of a row go into {CONFIG} as JSON: {{"max_new_tokens": 10}}; '
            f"those of all rows into the marker: gen_config={{...}}. {another_name(column)}",
        )
    if column in {*RESERVED_COLUMNS, INPUT_COLUMNS[0], TARGET} or name in (MESSAGES, TOOLS):
        what = f"column {column!r} has the name of a column of the results table."
        return NameFault(what, f"Rename column {column!r}.")
    return None


def keyword_fault(column: str, keyword: str) -> NameFault:
    """The fault of a column named like a keyword of the marker."""
    what = f"column {column!r} is named like a keyword of the marker, and sets nothing."
    if keyword in ROLE_OF_KEYWORD:
        role = ROLE_OF_KEYWORD[keyword]
        advice = f"Rename column {column!r} to {role!r}, or write llm_prompts(..., {keyword}=...) for all rows."
        return NameFault(f"{what} Did you mean {role!r}?", f"{advice} {another_name(column)}")
    return NameFault(
        what, f"{keyword} holds for the whole table: llm_prompts(..., {keyword}=...). {another_name(column)}"
    )


def setting_meant(column: str) -> str | None:
    """The decoding setting that a column is named after, other spellings and misspelled long names included."""
    name = compact(column)
    if name in SETTINGS:
        return SETTINGS[name]
    rules = [compact(rule) for rule in RULES]
    near = [rule for rule in rules if len(rule) >= 8 and not name[-1:].isdigit() and slips(rule, name) <= 1]
    return SETTINGS[near[0]] if near else None
