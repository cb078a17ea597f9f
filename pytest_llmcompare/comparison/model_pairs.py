"""Two models on the same rows: how often they say the same, and which of them is right more often. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, TypeVar

from .statistics import PairedOutcomes, Rate, paired_outcomes, rate


class Answer(NamedTuple):
    """What a model said to a row.

    Attributes:
        text: The output; None where it gave none.
        target: The expected answer, where the table has one.
    """

    text: str | None
    target: str | None = None

    @property
    def on_target(self) -> bool:
        """True if the output is the target, without the white space around both; no output is on no target.

        This is what a match means everywhere: in the metric `exact_match`, in `llm_comparison` and in reports. MLflow's
        own `exact_match/v1` compares the white space, too, so a model that begins its answers with a blank never meets
        a target "Blue." there.
        """
        return self.text is not None and self.target is not None and self.text.strip() == self.target.strip()


Name = TypeVar("Name", bound=Hashable)
"""How rows are named."""


@dataclass(frozen=True)
class Pair:
    """Two models on the rows that both were asked.

    Attributes:
        first, second: Their names.
        agreement: Rows to which both gave the same text; a row without an output is not one of them.
        targets: Rows whose target each of them met; None where no row has a target.
    """

    first: str
    second: str
    agreement: Rate
    targets: PairedOutcomes | None = None


def pair_of(first: str, second: str, ones: Mapping[Name, Answer], others: Mapping[Name, Answer]) -> Pair:
    """Compare two models on the rows that both were asked.

    Args:
        first: Name of a model.
        second: Name of another.
        ones: What the first said, by row.
        others: What the second said.
    """
    rows = [row for row in ones if row in others]
    equal = sum(ones[row].text is not None and ones[row].text == others[row].text for row in rows)
    aimed = [row for row in rows if ones[row].target is not None]
    outcomes = paired_outcomes([ones[row].on_target for row in aimed], [others[row].on_target for row in aimed])
    return Pair(first, second, rate(equal, len(rows)), outcomes if aimed else None)


def pairs_of(answers: Mapping[str, Mapping[Name, Answer]]) -> tuple[Pair, ...]:
    """Every pair of models that gave any output, on the rows that both were asked; in the order of the models."""
    said = {model: own for model, own in answers.items() if any(answer.text is not None for answer in own.values())}
    pairs = (pair_of(first, second, said[first], said[second]) for first, second in combinations(said, 2))
    return tuple(pair for pair in pairs if pair.agreement.total)
