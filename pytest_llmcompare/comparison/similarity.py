"""Similarity of two texts by characters or by meaning, for models that expose no tokens."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from pytest_llmcompare.errors import LlmCompareError, UsageError, did_you_mean
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.settings import SEMANTIC_MODEL

RATIO, SEMANTIC = "ratio", "semantic"
PACKAGES = {RATIO: ("rapidfuzz", "similarity"), SEMANTIC: ("sentence_transformers", "semantic")}
"""Package of each kind, and our extra that installs it."""

LEAST = {RATIO: 0.9, SEMANTIC: 0.9}
"""Default threshold of each kind, measured on answers of one sentence.

By characters, a change of punctuation scores 0.97 and of a word 0.79 to 0.85. By meaning, with the default model, a
paraphrase scores 0.90 to 0.99 and another fact 0.67 to 0.75. Neither sees everything: another number in a sentence
scores 0.97 by both, an added `not` 0.93 by meaning.
"""

FORMS = 'similarity="ratio", "semantic" or e.g. {"ratio": 0.95}'


@dataclass(frozen=True)
class Similarity:
    """A measure of similarity with a threshold.

    Attributes:
        kind: `ratio`: normalised indel similarity of characters; `semantic`: cosine similarity of embeddings.
        least: The threshold, above 0 and at most 1; a score equal to it passes.
        model: Embedding model of `semantic`: hub id or folder.
    """

    kind: str
    least: float
    model: str = SEMANTIC_MODEL

    def score(self, one: str, other: str) -> float:
        """Score two texts: 1 for equal ones, 0 if they have nothing in common or one of them is blank.

        Raises:
            ModelError: The embedding model cannot be found or loaded.
        """
        if one == other:
            return 1.0
        if not one.strip() or not other.strip():
            return 0.0
        score = ratio(one, other) if self.kind == RATIO else cosine(self.model, one, other)
        return min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0

    def located(self, model: str, root: Path) -> Similarity:
        """Return the same measure with its embedding model found on this machine, or downloaded if that is allowed.

        Args:
            model: Hub id or folder.
            root: Base of a relative folder.

        Raises:
            ModelError: The model cannot be found.
        """
        if self.kind != SEMANTIC:
            return self
        from pytest_llmcompare.models.embedding import embedding_folder

        return dataclasses.replace(self, model=str(embedding_folder(model, root)))


def ratio(one: str, other: str) -> float:
    """Normalised indel similarity of characters."""
    from rapidfuzz.distance import Indel

    return float(Indel.normalized_similarity(one, other))


def cosine(model: str, one: str, other: str) -> float:
    """Cosine similarity of embeddings."""
    from pytest_llmcompare.models.embedding import load_embedding

    return load_embedding(model).similarity(one, other)


def read_similarity(given: object) -> Similarity | None:
    """Read `similarity="ratio"` or `similarity={"semantic": 0.9}`.

    Raises:
        UsageError: An unknown kind, a least similarity out of range, or a package that is not installed.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return usable(given, None)
    if not isinstance(given, Mapping) or len(given) != 1:
        raise UsageError(f"llm_prompts: similarity={given!r}, expected {FORMS}.")
    ((kind, least),) = given.items()
    return usable(kind, least)


def usable(kind: object, least: object) -> Similarity:
    """Check a kind and a threshold.

    Raises:
        UsageError: The kind is unknown, the threshold is out of range, or the package is not installed.
    """
    if not isinstance(kind, str) or kind not in PACKAGES:
        raise UsageError(f"llm_prompts: similarity {kind!r} is not known.{did_you_mean(str(kind), PACKAGES)}")
    if least is None:
        least = LEAST[kind]
    if isinstance(least, bool) or not isinstance(least, (int, float)) or not 0 < least <= 1:
        raise UsageError(f"llm_prompts: similarity={{{kind!r}: {least!r}}}, expected a number above 0, at most 1.")
    package, extra = PACKAGES[kind]
    if importlib.util.find_spec(package) is None:
        raise UsageError(
            f"llm_prompts: similarity={kind!r} needs the package {package}, which is not installed.\n"
            f'Install it: pip install "pytest-llmcompare[{extra}]"'
        )
    return Similarity(kind, float(least))


def similar(judgement: Judgement, expected: Sequence[str], actual: str, similarity: Similarity) -> Judgement:
    """Let texts that are similar enough pass as a near tie.

    Args:
        judgement: Result of comparing them character by character.
        expected: The baseline's text, or the texts of all its samples. Samples differ by the model's own noise, so the
            nearest one counts, and the threshold is at most the least similarity between two of them.
        actual: The candidate's text.
        similarity: The measure with its threshold.

    Returns:
        `near_tie` if they are similar enough, else `drifted`, both with the score; the judgement itself if tokens were
        compared or nothing drifted.
    """
    if judgement.verdict is not Verdict.DRIFTED or judgement.unit != "char":
        return judgement
    try:
        score = max(similarity.score(text, actual) for text in expected)
        floor = min((similarity.score(one, other) for one, other in combinations(expected, 2)), default=1.0)
    except LlmCompareError as error:
        return Judgement(Verdict.ERROR, reason=str(error))
    least = min(similarity.least, floor)
    asked = "at least {} asked" if least == similarity.least else f"as the {len(expected)} samples are to {{}} at least"
    reason = f"texts are {percent_at_least(score)} similar ({similarity.kind}), {asked.format(percent_at_least(least))}"
    verdict = Verdict.NEAR_TIE if score >= least else Verdict.DRIFTED
    return dataclasses.replace(judgement, verdict=verdict, reason=reason)


def percent_at_least(part: float) -> str:
    """Format a share, rounded down so that too little never looks like enough: `97 %`, `89.9 %`."""
    return f"{math.floor(round(part * 1000, 6)) / 10:g} %"
