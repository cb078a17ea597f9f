"""Which prompts start with the same tokens, so that these go through the model once for all of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 16
"""Fewest tokens worth sharing: below that, lending them costs as much as reading them again."""


@dataclass(frozen=True)
class Family:
    """Prompts that start with the same tokens.

    Attributes:
        length: How many tokens they share; 0 where it is not worth it.
        members: Their places in the list of prompts.
    """

    length: int
    members: tuple[int, ...]

    @property
    def saved(self) -> int:
        """Tokens that need not be read again."""
        return self.length * (len(self.members) - 1)


def families(prompts: Sequence[Sequence[int]], least: int = LEAST) -> list[Family]:
    """Split prompts into families, such that much is shared: those with the same few-shot examples come together.

    Args:
        prompts: Token ids of each prompt.
        least: Fewest tokens worth sharing.

    Returns:
        Each prompt in exactly one family, whose prefix leaves it at least one token of its own. Those that share
        nothing with others make up one family of length 0, the last.
    """
    order = sorted(range(len(prompts)), key=lambda place: tuple(prompts[place]))
    found: list[Family] = []
    for place in order:
        alone = Family(len(prompts[place]) - 1, (place,))
        joined = together(found[-1], alone, prompts) if found else alone
        if found and joined.length * len(joined.members) > found[-1].length * len(found[-1].members):
            found[-1] = joined
        else:
            found.append(alone)
    found = merged(found, prompts)
    sharing = [family for family in found if len(family.members) > 1 and family.length >= least]
    shared = {place for family in sharing for place in family.members}
    rest = tuple(place for place in range(len(prompts)) if place not in shared)
    return [*sharing, *([Family(0, rest)] if rest else [])]


def together(one: Family, other: Family, prompts: Sequence[Sequence[int]]) -> Family:
    """Two families, neighbours in the order of their tokens, as one."""
    most = min(one.length, other.length)
    same = common(prompts[one.members[-1]], prompts[other.members[0]], most)
    return Family(same, (*one.members, *other.members))


def common(one: Sequence[int], other: Sequence[int], most: int) -> int:
    """How many tokens two prompts start with in common, counted up to `most`."""
    return next((at for at in range(most) if one[at] != other[at]), most)


def merged(found: Sequence[Family], prompts: Sequence[Sequence[int]]) -> list[Family]:
    """The families, neighbours made one for as long as that saves more."""
    kept: list[Family] = []
    for family in found:
        last = family
        while kept and (one := together(kept[-1], last, prompts)).saved > kept[-1].saved + last.saved:
            kept.pop()
            last = one
        kept.append(last)
    return kept
