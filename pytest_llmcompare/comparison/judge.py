"""Verdicts: what a candidate says about its baseline. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from pytest_llmcompare.generation import Generation, Path, end_of, first_difference
from pytest_llmcompare.judgement import Judgement, Likelihood, Verdict
from pytest_llmcompare.records import Baseline, Case, digest

from .noise import Limits, likelihood_drift, limits


@dataclass(frozen=True)
class Along:
    """A candidate that is not its baseline, beside what the model says along the baseline.

    Attributes:
        expected: The baseline, with tokens.
        actual: The candidate, with tokens.
        path: What the model says along the baseline's tokens.
        limit: What counts as noise.
        moved: How far likelihoods moved, where that is known.
    """

    expected: Generation
    actual: Generation
    path: Path
    limit: Limits
    moved: Likelihood | None

    def judge(self, piece: Callable[[int], str]) -> Judgement:
        """The verdict, `drifted`, `shifted` or `near_tie`; `piece` gives the text of a token."""
        drifted = self.decisive is not None
        shifted = self.moved is not None and not self.moved.is_noise
        verdict = Verdict.DRIFTED if drifted else Verdict.SHIFTED if shifted else Verdict.NEAR_TIE
        judgement = Judgement(
            verdict,
            length=len(self.path.tokens),
            mismatches=None if self.path.draws else len(self.flips),
            tolerance=self.limit.tolerance,
            likelihood=self.moved,
        )
        place = self.decisive if self.decisive is not None else self.parting
        return self.with_place(judgement, place, piece)

    @cached_property
    def flips(self) -> tuple[int, ...]:
        """Positions at which the model would choose another token."""
        pairs = enumerate(zip(self.path.choices, self.path.tokens, strict=False))
        return tuple(at for at, (own, given) in pairs if own != given)

    @cached_property
    def parting(self) -> int:
        """Where the candidate leaves the baseline."""
        at = first_difference(self.path.tokens, self.actual.token_ids or ())
        return len(self.path.tokens) if at is None else at

    @cached_property
    def decisive(self) -> int | None:
        """The first position that noise does not explain; None where it explains all.

        A draw may be another one for any difference, so of a drawn output the likelihood says whether that is noise.
        """
        places = [*self.wrong_ends]
        if self.path.draws:
            moved = self.moved is not None and not self.moved.rms <= self.limit.tolerance
            places += [self.parting] if moved else []
        else:
            places += [at for at in self.flips if not self.path.margins[at] <= self.limit.tolerance]
            places += [] if self.writes_what_it_reads else [self.parting]
        return min(places, default=None)

    @property
    def wrong_ends(self) -> tuple[int, ...]:
        """Where the output ends otherwise than the baseline did."""
        told, stop = len(self.path.choices), self.expected.stop
        return (told,) if told < len(self.path.tokens) or (stop and self.path.stop != stop) else ()

    @property
    def writes_what_it_reads(self) -> bool:
        """Whether the candidate's token, where it parts, is the model's choice when it reads, up to a tie."""
        at, written = self.parting, self.actual.token_ids or ()
        if at >= len(self.path.choices):
            return bool(self.wrong_ends)  # else only the reason to stop is another one, which no tie explains
        return at < len(written) and (
            written[at] == self.path.choices[at] or self.path.leads[at] <= self.limit.tolerance
        )

    def with_place(self, judgement: Judgement, at: int, piece: Callable[[int], str]) -> Judgement:
        """The evidence with a position, both tokens there, and the margin between them."""
        ours, theirs = self.path.tokens, self.actual.token_ids or ()
        was = piece(ours[at]) if at < len(ours) else end_of(self.expected)
        if at == self.parting:
            token = theirs[at] if at < len(theirs) else None
            other = end_of(self.actual) if token is None else piece(token)
        elif at < len(self.path.choices):
            token, other = self.path.choices[at], piece(self.path.choices[at])
        else:
            token, other = None, f"<{self.path.stop or 'more'}>"
        known = at < len(self.path.choices) and token == self.path.choices[at] and not self.path.draws
        margin = self.path.margins[at] if known else None
        return replace(judgement, position=at, baseline_token=was, candidate_token=other, margin=margin)


Piece = Callable[[int], str]
"""Text of one token id, to show."""

Decode = Callable[[tuple[int, ...]], str]
"""Text that token ids make."""

OTHER_TOKENIZER = (
    "the text is the same, but its tokens make another one with today's tokenizer, so the tokenizer changed since the "
    "baseline was recorded"
)
NOT_NUMBERS = "log-probabilities are not numbers, so nothing can be said of this output"


def judge(
    case: Case,
    baseline: Baseline | None,
    candidate: Generation,
    piece: Piece = str,
    *,
    decode: Decode | None = None,
    tolerance: float | None = None,
) -> Judgement:
    """Compare a candidate with its baseline.

    Tokens are compared where both sides have them, and the texts in any case: they are what a user sees, and a changed
    tokenizer may make another text of equal tokens. An equal output must also have ended for the same reason, where
    both sides know theirs. Where another token was chosen, what the model says along the baseline's tokens decides: by
    how much it prefers the other one, and whether it agrees with all that follows.

    Args:
        case: What was asked; its hashes tell a stale baseline.
        baseline: The approved generation, or None.
        candidate: Today's generation.
        piece: Text of a token id, for the evidence.
        decode: Text of token ids by today's tokenizer, to notice another one; None where there is none.
        tolerance: Margin (nats) that still counts as a tie; None takes what noise amounts to.

    Returns:
        Any verdict, with its evidence. `error` stands for log-probabilities that are no numbers.
    """
    if baseline is None:
        return Judgement(Verdict.MISSING, reason="no baseline is recorded for this case")
    if stale := stale_reason(case, baseline):
        return Judgement(Verdict.STALE, reason=stale)
    expected, actual = baseline.generation, candidate
    by_text = judge_texts(expected, actual)
    if expected.token_ids is None or actual.token_ids is None:
        return by_text
    if decode is not None and decode(expected.token_ids) != expected.text:
        equal = by_text.verdict is Verdict.IDENTICAL  # then nothing shows what else the other tokenizer changed
        return Judgement(Verdict.STALE, reason=OTHER_TOKENIZER) if equal else by_text
    by_token = judge_tokens(expected, actual, piece, tolerance)
    passes = by_token.verdict not in (Verdict.DRIFTED, Verdict.ERROR)
    same_tokens = expected.token_ids == actual.token_ids
    return by_text if passes and same_tokens and by_text.verdict is Verdict.DRIFTED else by_token


def stale_reason(case: Case, baseline: Baseline) -> str:
    """Why the baseline answers another question than the case asks; empty where it does not."""
    line_ends = baseline.input_hash != case.input_hash and baseline.input_hash in line_end_hashes(case.prompt)
    changed = [
        what
        for what, then, now in (
            (f"{'only the line ends of ' * line_ends}the prompt or its examples", baseline.input_hash, case.input_hash),
            ("the decoding settings, the seed or the chat template", baseline.settings_hash, case.settings_hash),
        )
        if then != now
    ]
    return f"{' and '.join(changed)} changed since the baseline was recorded" if changed else ""


def line_end_hashes(prompt: str) -> set[str]:
    """Hashes of a prompt with the line ends of Unix and of Windows."""
    unix = prompt.replace("\r\n", "\n")
    return {digest(unix), digest(unix.replace("\n", "\r\n"))}


def judge_tokens(expected: Generation, actual: Generation, piece: Piece, tolerance: float | None) -> Judgement:
    """Compare token by token, where both sides know theirs."""
    ours, theirs = expected.token_ids or (), actual.token_ids or ()
    path = actual.path if actual.path and actual.path.tokens == ours else None
    limit = limits(actual.environment, expected.environment, path.scale if path else None, tolerance)
    at = first_difference(ours, theirs)
    same = at is None and same_stop(expected, actual)
    now = actual.logprobs if same or path is None else path.logprobs
    moved = likelihood_drift(expected.logprobs, now, limit.band, most=at if path is None else None)
    if moved is not None and moved.rms != moved.rms:  # not a number
        return Judgement(Verdict.ERROR, reason=NOT_NUMBERS)
    if same:
        shifted = moved is not None and not moved.is_noise
        verdict = Verdict.SHIFTED if shifted else Verdict.IDENTICAL
        return Judgement(verdict, length=len(ours), likelihood=moved)
    if path is not None:
        return Along(expected, actual, path, limit, moved).judge(piece)
    at = len(ours) if at is None else at
    return Judgement(
        Verdict.DRIFTED,
        position=at,
        length=len(ours),
        baseline_token=piece(ours[at]) if at < len(ours) else end_of(expected),
        candidate_token=piece(theirs[at]) if at < len(theirs) else end_of(actual),
        likelihood=moved,
    )


def judge_texts(expected: Generation, actual: Generation) -> Judgement:
    """Compare character by character; the evidence shows the words around the first difference."""
    at = first_difference(expected.text, actual.text)
    if at is None and same_stop(expected, actual):
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


def same_stop(one: Generation, other: Generation) -> bool:
    """Whether both ended for the same reason; a reason that is not known is no difference."""
    return one.stop == other.stop or not one.stop or not other.stop


def word_at(text: str, at: int, most: int = 24) -> str:
    """The word that `at` is in, or the white space that stands there with the word behind it.

    At most `most` characters, that at `at` among them; empty where the text has ended.
    """
    start = at
    if text[at : at + 1].strip():
        while start > max(0, at - most // 2) and not text[start - 1].isspace():
            start -= 1
    shown = text[start : start + most]
    behind = shown.lstrip()
    return shown[: len(shown) - len(behind)] + "".join(behind.split(maxsplit=1)[:1])
