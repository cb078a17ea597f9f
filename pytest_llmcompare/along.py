"""Another output than the baseline, judged along the baseline's tokens. Pure.

One flip then neither hides nor excuses what follows, and the decision rests on a quantity with a tolerance, not on
which of two nearly equal numbers came out larger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from .generations import Generation, Path, end_of, first_difference
from .judgements import Judgement, Likelihood, Verdict
from .noise import Limits


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
