"""Compare a candidate with its baseline and give a verdict. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from pytest_llmcompare.generation import Generation, Path, end_of, first_difference, names_tokens_alike
from pytest_llmcompare.judgement import Judgement, Likelihood, Verdict
from pytest_llmcompare.records import Baseline, Case
from pytest_llmcompare.text import digest

from .noise import Limits, has_full_precision, likelihood_drift, limits, read_band

TokenText = Callable[[int], str]
"""Returns the text of a token id, to show."""

Decode = Callable[[tuple[int, ...]], str]
"""Returns the text that token ids make."""

OTHER_TOKENIZER = (
    "the text is the same, but its tokens make another one with today's tokenizer, so the tokenizer changed since the "
    "baseline was recorded"
)
NAN_LOGPROBS = "log-probabilities are NaN, so the output cannot be compared"


def judge(
    case: Case,
    baseline: Baseline | None,
    candidate: Generation,
    token_text: TokenText = str,
    *,
    decode: Decode | None = None,
    tolerance: float | None = None,
) -> Judgement:
    """Compare a candidate with its baseline.

    Tokens are compared if both sides have them, and texts always, because a changed tokenizer can make another text of
    the same tokens. Two equal outputs must also have the same finish reason, if both are known. If tokens differ, the
    model's path along the baseline (teacher forcing) decides: the margin where the argmax is another token, and the
    tokens after it.

    Args:
        case: The case; its hashes tell whether the baseline is stale.
        baseline: The baseline, or None.
        candidate: Today's output.
        token_text: Returns the text of a token id, for the evidence.
        decode: Decodes token ids with today's tokenizer; None if there is no tokenizer.
        tolerance: Largest margin (nats) that counts as a tie; None takes the noise limit.

    Returns:
        Any verdict, with its evidence. `error` if log-probs are NaN.
    """
    if baseline is None:
        return Judgement(Verdict.MISSING, reason="no baseline is recorded for this case")
    expected, actual = baseline.generation, candidate
    stale = stale_reason(case, baseline) or prompt_change(expected.prompt_shown, actual.prompt_shown)
    if stale:
        return Judgement(Verdict.STALE, reason=stale)
    by_text = _judge_texts(expected, actual)
    if expected.token_ids is None or actual.token_ids is None:
        return by_text
    if not names_tokens_alike(expected.token_ids, actual.token_ids):
        return by_text
    if decode is not None and decode(expected.token_ids) != expected.text:
        same_text = by_text.verdict is Verdict.IDENTICAL  # then nothing shows what else the other tokenizer changed
        return Judgement(Verdict.STALE, reason=OTHER_TOKENIZER) if same_text else by_text
    by_token = _judge_tokens(expected, actual, token_text, tolerance)
    passes = by_token.verdict not in (Verdict.DRIFTED, Verdict.ERROR)
    same_tokens = expected.token_ids == actual.token_ids
    return by_text if passes and same_tokens and by_text.verdict is Verdict.DRIFTED else by_token


def stale_reason(case: Case, baseline: Baseline) -> str:
    """Explain why a baseline was recorded for another question; empty if it fits the case."""
    line_ends = baseline.input_hash != case.input_hash and baseline.input_hash in _line_end_hashes(case.prompt)
    parts = (
        (f"{'only the line ends of ' * line_ends}the prompt or its examples", baseline.input_hash, case.input_hash),
        ("the decoding settings, the seed or the chat template", baseline.settings_hash, case.settings_hash),
    )
    changed = [part for part, then, now in parts if then != now]
    return f"{' and '.join(changed)} changed since the baseline was recorded" if changed else ""


def prompt_change(then: str, now: str) -> str:
    """Explain that a server makes other tokens of an equal prompt; empty if it does not, or not enough is known.

    Hashes of token ids are compared with hashes alone, and counts with counts.

    Args:
        then: `Generation.prompt_shown` of the baseline.
        now: That of today's output.
    """
    (count_then, colon_then, _), (count_now, colon_now, _) = then.partition(":"), now.partition(":")
    if not then or not now or then == now or colon_then != colon_now:
        return ""
    return (
        f"the server's chat template or tokenizer changed: {count_now} prompt tokens, {count_then} when recorded"
        f"{', with other ids' if count_now == count_then else ''}"
    )


def _line_end_hashes(prompt: str) -> set[str]:
    """Hashes of a prompt with the line ends of Unix and of Windows."""
    unix = prompt.replace("\r\n", "\n")
    return {digest(unix), digest(unix.replace("\n", "\r\n"))}


def _judge_tokens(
    expected: Generation, actual: Generation, token_text: TokenText, tolerance: float | None
) -> Judgement:
    """Compare token by token."""
    ours, theirs = expected.token_ids or (), actual.token_ids or ()
    path = actual.path if actual.path and actual.path.tokens == ours else None
    limit = limits(actual.environment, expected.environment, (path.scale or None) if path else None, tolerance)
    at = first_difference(ours, theirs)
    is_same = at is None and _same_finish(expected, actual)
    moved = _moved(expected, actual, path, limit, at, is_same=is_same)
    if moved is not None and math.isnan(moved.rms):
        return Judgement(Verdict.ERROR, reason=NAN_LOGPROBS)
    if is_same:
        shifted = moved is not None and not moved.is_noise
        verdict = Verdict.SHIFTED if shifted else Verdict.IDENTICAL
        return Judgement(verdict, length=len(ours), likelihood=moved)
    if path is not None:
        return _PathComparison(expected, actual, path, limit, moved).judge(token_text)
    at = len(ours) if at is None else at
    return Judgement(
        Verdict.DRIFTED,
        position=at,
        length=len(ours),
        baseline_token=token_text(ours[at]) if at < len(ours) else end_of(expected),
        candidate_token=token_text(theirs[at]) if at < len(theirs) else end_of(actual),
        likelihood=moved,
    )


def _moved(
    expected: Generation, actual: Generation, path: Path | None, limit: Limits, at: int | None, *, is_same: bool
) -> Likelihood | None:
    """How far log-probs of the baseline's tokens moved: as read if both sides were, else as the tokens were chosen.

    In full precision both count, because a logits processor that no setting declares moves the latter alone. Truncation
    of samples makes these too uncertain.
    """
    now = actual.logprobs if is_same or path is None else path.logprobs
    chosen = likelihood_drift(expected.logprobs, now, limit.band, most=at if path is None else None)
    before = _recorded_as_read(expected, actual, path)
    read = actual.as_read if is_same or path is None else path.as_read
    if before is not None and read is not None and (path is not None or is_same):
        band = read_band(actual.environment, expected.environment, path.scale if path else None)
        moved = likelihood_drift(before, read, band, as_read=True)
        is_exact = path and not path.draws and has_full_precision(actual.environment, expected.environment)
        return chosen if is_exact and chosen and moved and moved.is_noise and not chosen.is_noise else moved
    return chosen


def _recorded_as_read(expected: Generation, actual: Generation, path: Path | None) -> tuple[float, ...] | None:
    """Log-probs of a baseline as read in float32; None if its file has none, and those of writing are no substitute.

    A file leaves them out where they equal the log-probs of writing. So if a model is in low precision today and its
    baseline was written in float32 without logits processors, those of writing take their place.
    """
    if expected.as_read is not None or has_full_precision(actual.environment):
        return expected.as_read
    is_raw = path is not None and path.unprocessed is None and has_full_precision(expected.environment)
    return expected.logprobs if is_raw else None


def _judge_texts(expected: Generation, actual: Generation) -> Judgement:
    """Compare character by character; the evidence shows the words around the first difference."""
    at = first_difference(expected.text, actual.text)
    if at is None and _same_finish(expected, actual):
        return Judgement(Verdict.IDENTICAL, length=len(expected.text), unit="char")
    at = len(expected.text) if at is None else at
    return Judgement(
        Verdict.DRIFTED,
        position=at,
        length=len(expected.text),
        baseline_token=word_at(expected.text, at) or end_of(expected),
        candidate_token=word_at(actual.text, at) or end_of(actual),
        unit="char",
    )


def _same_finish(one: Generation, other: Generation) -> bool:
    """True if both have the same finish reason, or one of them is unknown."""
    return one.stop == other.stop or not one.stop or not other.stop


def word_at(text: str, at: int, most: int = 24) -> str:
    """Return the word around a position, or the white space there with the word after it.

    At most `most` characters, the one at `at` included; empty at the end of the text.
    """
    start = at
    if text[at : at + 1].strip():
        while start > max(0, at - most // 2) and not text[start - 1].isspace():
            start -= 1
    shown = text[start : start + most]
    word = shown.lstrip()
    return shown[: len(shown) - len(word)] + "".join(word.split(maxsplit=1)[:1])


@dataclass(frozen=True)
class _PathComparison:
    """A candidate that differs from its baseline, beside the model's path along the baseline (teacher forcing).

    Attributes:
        expected: The baseline, with tokens.
        actual: The candidate, with tokens.
        path: The path along the baseline's tokens.
        limit: What counts as noise.
        moved: How far log-probs moved; None if the baseline has none.
    """

    expected: Generation
    actual: Generation
    path: Path
    limit: Limits
    moved: Likelihood | None

    def judge(self, token_text: TokenText) -> Judgement:
        """Return the verdict: `drifted`, `shifted` or `near_tie`."""
        shifted = self.moved is not None and not self.moved.is_noise
        same = Verdict.SHIFTED if shifted else Verdict.NEAR_TIE
        judgement = Judgement(
            same if self.decisive is None else Verdict.DRIFTED,
            length=len(self.path.tokens),
            mismatches=None if self.path.draws or self.path.is_partial else len(self.flips),
            tolerance=self.limit.tolerance,
            likelihood=self.moved,
        )
        at = self.parting if self.decisive is None else self.decisive
        return self._with_position(judgement, at, token_text)

    @cached_property
    def flips(self) -> tuple[int, ...]:
        """Positions at which the model's argmax is not the baseline's token."""
        pairs = enumerate(zip(self.path.choices, self.path.tokens, strict=False))
        return tuple(at for at, (own, given) in pairs if own != given)

    @cached_property
    def parting(self) -> int:
        """Position at which the candidate leaves the baseline."""
        at = first_difference(self.path.tokens, self.actual.token_ids or ())
        return len(self.path.tokens) if at is None else at

    @cached_property
    def decisive(self) -> int | None:
        """The first position that noise does not explain; None if noise explains all of them.

        If tokens were sampled, any difference can give another token; then the log-probs decide.
        """
        positions = [*self.wrong_ends]
        if self.path.draws:
            moved = self.moved is not None and not self.moved.rms <= self.limit.tolerance
            positions += [self.parting] if moved else []
        else:
            positions += [at for at in self.flips if not self.path.margins[at] <= self.limit.tolerance]
            positions += [] if self.agrees_with_path else [self.parting]
        return min(positions, default=None)

    @property
    def wrong_ends(self) -> tuple[int, ...]:
        """The position at which the output ends and the baseline does not, or the other way round."""
        if self.path.is_partial and self.flips:
            return ()
        end, stop = len(self.path.choices), self.expected.stop
        return (end,) if end < len(self.path.tokens) or (stop and self.path.stop != stop) else ()

    @property
    def agrees_with_path(self) -> bool:
        """True if the candidate's token at the first difference is the path's argmax there, or tied with it."""
        at, tokens = self.parting, self.actual.token_ids or ()
        if at >= len(self.path.choices):
            return bool(self.wrong_ends)  # else only the finish reason differs, which no tie explains
        return at < len(tokens) and (tokens[at] == self.path.choices[at] or self.path.leads[at] <= self.limit.tolerance)

    def _with_position(self, judgement: Judgement, at: int, token_text: TokenText) -> Judgement:
        """Add a position, both tokens there, and the margin between them."""
        ours, theirs = self.path.tokens, self.actual.token_ids or ()
        before = token_text(ours[at]) if at < len(ours) else end_of(self.expected)
        if at == self.parting:
            token = theirs[at] if at < len(theirs) else None
            after = end_of(self.actual) if token is None else token_text(token)
        elif at < len(self.path.choices):
            token, after = self.path.choices[at], token_text(self.path.choices[at])
        else:
            token, after = None, f"<{self.path.stop or 'more'}>"
        known = at < len(self.path.choices) and token == self.path.choices[at] and not self.path.draws
        margin = self.path.margins[at] if known and self.path.margins[at] != math.inf else None
        return replace(judgement, position=at, baseline_token=before, candidate_token=after, margin=margin)
