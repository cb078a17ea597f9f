"""Which prompts go through the model together. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def batches(lengths: Sequence[int], *, tokens: int, rows: int = 0) -> list[list[int]]:
    """Split prompts into batches of similar length, longest first.

    Longest first shows at once whether memory suffices, and makes an estimate of the time left an upper bound.

    Args:
        lengths: Number of tokens of each prompt.
        tokens: Most tokens of a batch, padding included; a single prompt may be longer.
        rows: Most prompts of a batch; 0 sets no limit.

    Returns:
        Indices into `lengths`, each exactly once.
    """
    found: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        if found and has_room(found[-1], lengths[found[-1][0]], tokens, rows):
            found[-1].append(index)
        else:
            found.append([index])
    return found


def has_room(batch: Sequence[int], width: int, tokens: int, rows: int) -> bool:
    """Whether one more prompt fits into a batch that is padded to `width`."""
    return (len(batch) + 1) * width <= tokens and (not rows or len(batch) < rows)


def parts(batch: Sequence[int], rows: int) -> list[list[int]]:
    """Split a batch into parts of at most `rows` prompts, in order."""
    return [list(batch[start : start + rows]) for start in range(0, len(batch), rows)]


def left_padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of equal length and the attention mask that goes with them, both as rows."""
    width = max(len(prompt) for prompt in prompts)
    gaps = [width - len(prompt) for prompt in prompts]
    ids = [[pad] * gap + list(prompt) for prompt, gap in zip(prompts, gaps, strict=True)]
    return ids, [[0] * gap + [1] * (width - gap) for gap in gaps]
