"""Two models on the same rows: agreement, and McNemar's test on targets. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, TypeVar

from pytest_llmcompare.generation import Generation

from .statistics import PairedOutcomes, Rate, paired_outcomes, rate


class Answer(NamedTuple):
    """Output of a model for a row, with the row's target.

    Attributes:
        text: The output; None if there is none.
        target: The expected answer; None if the table has none.
        body: The text before a stop string that ended it; None if none did. transformers leaves the stop string in the
            text, most servers leave it out.
    """

    text: str | None
    target: str | None = None
    body: str | None = None

    @classmethod
    def of(cls, generation: Generation | None, target: str | None, stop_strings: Sequence[str]) -> Answer:
        """The answer of a model that wrote this output; None if it wrote none."""
        if generation is None:
            return cls(None, target)
        return cls(generation.text, target, _before_stop(generation, stop_strings))

    def is_same(self, other: Answer) -> bool:
        """True if the texts are equal, or differ only by a stop string that one of them leaves out."""
        if self.text is None or self.text == other.text:
            return self.text is not None
        return self.body is not None and self.body == other.body and self.body in (self.text, other.text)

    @property
    def on_target(self) -> bool:
        """True if the output is the target, not counting white space around both.

        The metric `exact_match`, `llm_comparison` and the reports all use this definition. MLflow's own
        `exact_match/v1` also compares white space: outputs that begin with a blank never match a target "Blue." there.
        """
        return self.text is not None and self.target is not None and self.text.strip() == self.target.strip()


def _before_stop(generation: Generation, stop_strings: Sequence[str]) -> str | None:
    if generation.stop not in ("stop", "") or not stop_strings:  # some servers do not say which end it was
        return None
    places = [place for place in map(generation.text.find, stop_strings) if place >= 0]
    return generation.text[: min(places)] if places else generation.text


def stop_strings_of(gen_config: Mapping[str, Any]) -> tuple[str, ...]:
    """The stop strings of decoding settings."""
    given = gen_config.get("stop_strings") or ()
    return (given,) if isinstance(given, str) else tuple(given)


Name = TypeVar("Name", bound=Hashable)
"""Name of a row."""


@dataclass(frozen=True)
class Pair:
    """Two models on the rows that both have.

    Attributes:
        first, second: Names of the models.
        agreement: Share of the rows with the same text, not counting a stop string that one of them leaves out; a row
            without an output counts as different.
        targets: How many rows match the target with both models, one or none; None if no row has a target.
    """

    first: str
    second: str
    agreement: Rate
    targets: PairedOutcomes | None = None


def pair_of(first: str, second: str, ones: Mapping[Name, Answer], others: Mapping[Name, Answer]) -> Pair:
    """Compare two models on the rows that both have.

    Args:
        first: Name of a model.
        second: Name of another model.
        ones: Outputs of the first, by row.
        others: Outputs of the second, by row.
    """
    rows = [row for row in ones if row in others]
    equal = sum(ones[row].is_same(others[row]) for row in rows)
    aimed = [row for row in rows if ones[row].target is not None]
    outcomes = paired_outcomes([ones[row].on_target for row in aimed], [others[row].on_target for row in aimed])
    return Pair(first, second, rate(equal, len(rows)), outcomes if aimed else None)


def pairs_of(answers: Mapping[str, Mapping[Name, Answer]]) -> tuple[Pair, ...]:
    """Compare all pairs of models that have outputs, on the rows that both have; in the order of the models."""
    rows = {model: own for model, own in answers.items() if any(answer.text is not None for answer in own.values())}
    pairs = (pair_of(first, second, rows[first], rows[second]) for first, second in combinations(rows, 2))
    return tuple(pair for pair in pairs if pair.agreement.total)
