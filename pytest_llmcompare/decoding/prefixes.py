"""Which prompts start with the same tokens, so that these go through the model once for all of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LEAST = 16
"""Fewest tokens worth sharing: below that, lending them costs as much as reading them again."""
PASS = 64
"""What a family costs besides its prefix, in tokens: a pass of its own, and a last batch that is not full."""


@dataclass(frozen=True)
class Family:
    """Prompts that start with the same tokens.

    Attributes:
        length: How many tokens they share; 0 where it is not worth it.
        members: Their places in the list of prompts.
    """

    length: int
    members: tuple[int, ...]


@dataclass
class Block:
    """Neighbours in the order of their tokens, and how best to share among them.

    Attributes:
        first, last: Which ones.
        length: How many tokens all of them share, with one of its own left to each.
        saved: Tokens that need not be read if they are split as `parts` say.
        parts: Blocks to split it into, none to share within the whole.
    """

    first: int
    last: int
    length: int
    saved: int = 0
    parts: tuple[Block, ...] = ()


def families(prompts: Sequence[Sequence[int]], least: int = LEAST) -> list[Family]:
    """Split prompts into families, such that most is shared: those with the same few-shot examples come together.

    Args:
        prompts: Token ids of each prompt.
        least: Fewest tokens worth sharing.

    Returns:
        Each prompt in exactly one family, whose prefix leaves it at least one token of its own. Those that share
        nothing with others make up one family of length 0, the last.
    """
    order = sorted(range(len(prompts)), key=lambda place: tuple(prompts[place]))
    found = [
        Family(block.length, tuple(order[block.first : block.last + 1]))
        for block in best_blocks([prompts[place] for place in order], least)
        if block.saved
    ]
    shared = {place for family in found for place in family.members}
    rest = tuple(place for place in range(len(prompts)) if place not in shared)
    return [*found, *([Family(0, rest)] if rest else [])]


def best_blocks(prompts: Sequence[Sequence[int]], least: int) -> list[Block]:
    """Blocks of prompts in the order of their tokens: neighbours are joined, those that share most first."""
    blocks = [Block(at, at, len(prompt) - 1) for at, prompt in enumerate(prompts)]
    of = dict(enumerate(blocks))  # by the first and by the last of its prompts
    shared = [common(one, other) for one, other in pairwise(prompts)]
    for at in sorted(range(len(shared)), key=lambda at: -shared[at]):
        whole = joined(of[at], of[at + 1], shared[at], least)
        of[whole.first] = of[whole.last] = whole
    waiting, found = [of[0]] if of else [], []
    while waiting:
        block = waiting.pop()
        waiting.extend(reversed(block.parts))
        if not block.parts:
            found.append(block)
    return found


def joined(one: Block, other: Block, shared: int, least: int) -> Block:
    """Two neighbours as one block, to be split again where that saves more."""
    length = min(one.length, other.length, shared)
    block = Block(one.first, other.last, length)
    whole = length * (block.last - block.first) - PASS if length >= least else 0
    split = one.saved + other.saved
    block.saved = max(whole, split, 0)
    block.parts = (one, other) if split >= whole and split else ()
    return block


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two prompts start with in common."""
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)
