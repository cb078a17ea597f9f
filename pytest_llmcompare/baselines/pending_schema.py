"""Checks a line of the pending file, which is untrusted: it may come from CI of a fork.

Imported when a pending file is read, and no earlier: pydantic takes a tenth of a second.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, Strict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from pytest_llmcompare.judgement import Verdict

LARGEST = 2**63 - 1
SHOWN = 40  # characters of a value


def _name(value: str) -> str:
    if not value:
        raise PydanticCustomError("name", "a name")
    return value


def _folder(value: str) -> str:
    """A folder of a project; that it is below the root is checked when something is to be written there."""
    try:
        usable = bool(value) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        usable = False
    if not usable:
        raise PydanticCustomError("folder", "a folder")
    return value


Text = Annotated[str, Strict()]
Name = Annotated[Text, AfterValidator(_name)]
Folder = Annotated[Text, AfterValidator(_folder)]
Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=-LARGEST, lt=LARGEST)]

EXPECTED = {
    "string_type": "text",
    "string_unicode": "text without lone surrogates",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "too_long": "a list of two texts",
    "model_type": "an object",
    "float_type": "a finite number",
    "finite_number": "a finite number",
    "greater_than": "a number of at most 64 bits",
    "less_than": "a number of at most 64 bits",
    **dict.fromkeys(("int_type", "greater_than_equal", "less_than_equal"), "a whole number from 0 on"),
}
"""What a value should have been, by pydantic's name of the error."""


class GroupFields(BaseModel):
    """A `GroupKey`."""

    folder: Folder
    table: Name
    model: Name


class KeyFields(BaseModel):
    """A `CaseKey`."""

    group: GroupFields
    prompt_id: Text
    variant: Text


class GenerationFields(BaseModel):
    """A `Generation`."""

    text: Text
    token_ids: tuple[Whole, ...] | None
    logprobs: tuple[Number, ...] | None
    stop: Text
    environment: tuple[tuple[Text, Text], ...]
    margins: tuple[Number, ...] | None = None
    verified: Flag = False
    unverified: Text = ""
    lengths: tuple[Whole, ...] | None = None
    as_read: tuple[Number, ...] | None = None
    reasoning: Text = ""
    prompt_shown: Text = ""

    @model_validator(mode="after")
    def _one_value_per_token(self) -> GenerationFields:
        count = None if self.token_ids is None else len(self.token_ids)
        for name in ("logprobs", "margins", "lengths", "as_read"):
            values = getattr(self, name)
            if values is not None and len(values) != count:
                expected = "none" if count is None else count
                raise ValueError(f"{name} has {len(values)} values, expected {expected}, one for each token")
        return self


class LikelihoodFields(BaseModel):
    """A `Likelihood`."""

    rms: Number
    mean: Number
    worst: Number
    position: Whole
    band: Number
    tokens: Whole = 0
    as_read: Flag = False


class JudgementFields(BaseModel):
    """A `Judgement`."""

    verdict: Verdict
    likelihood: LikelihoodFields | None
    position: Whole | None = None
    length: Whole | None = None
    baseline_token: Text = ""
    candidate_token: Text = ""
    unit: Literal["tok", "char"] = "tok"
    margin: Number | None = None
    mismatches: Whole | None = None
    tolerance: Number | None = None
    reason: Text = ""


class OutputFields(BaseModel):
    """A `Baseline`, without its row."""

    input_hash: Text
    settings_hash: Text
    generation: GenerationFields


class AssertionFields(BaseModel):
    """An `AssertionResult`."""

    text: Text
    passed: Flag
    why: Text = ""


class RemovalFields(BaseModel):
    """A line that removes the entry of a case."""

    key: KeyFields


class EntryFields(RemovalFields):
    """An `Entry`."""

    run: Text
    commit: Text
    test: Text
    old: Text
    prompt: Text
    judgement: JudgementFields
    baseline: Text | None
    new: OutputFields
    against: Text = ""
    target: Text | None = None
    assertions: tuple[AssertionFields, ...] = ()


def checked_line(data: dict[str, Any]) -> dict[str, Any]:
    """The data of a line, with tuples for lists, and without keys that this version does not know.

    Raises:
        ValueError: Something is wrong with it; the message is half a sentence: `key.prompt_id is 1, expected text`.
    """
    try:
        return (EntryFields if "new" in data else RemovalFields).model_validate(data).model_dump()
    except ValidationError as error:
        raise ValueError(_complaint(error)) from None


def _complaint(error: ValidationError) -> str:
    """The first fault of a line."""
    fault = error.errors(include_url=False)[0]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).removeprefix(".")
    if fault["type"] == "missing":
        return f"{name} is missing"
    if fault["type"] == "value_error":
        return f"{name}.{fault['ctx']['error']}"
    if fault["type"] in ("enum", "literal_error"):
        expected = f"one of {fault['ctx']['expected'].replace(chr(39), '')}"
    else:
        expected = EXPECTED.get(fault["type"], fault["msg"])
    return f"{name} is {_shown(fault['input'])}, expected {expected}"


def _shown(value: Any) -> str:
    shown = repr(value) if not isinstance(value, int) or abs(value) <= LARGEST else "a huge number"
    return shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "..."
