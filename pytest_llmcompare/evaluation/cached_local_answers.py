"""Answers of local models from the answer cache. Imports neither torch nor transformers.

The half of a key that stands for a local model is a digest of its files, of the versions of the libraries, and of
device, dtype and kernels. Device, dtype and kernels are known once the model is loaded. Before that, they are taken to
be those of the last time that it was loaded on the same machine with the same libraries, variables and options.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_llmcompare.baselines.cache_lines import (
    CachedAnswer,
    CachedModel,
    NoiseAndNotes,
    answer_line,
    key_of,
    model_line,
    noise_and_notes_line,
)
from pytest_llmcompare.comparison.environments import without_noise
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise, holds_noise
from pytest_llmcompare.decoding.request import Outcome
from pytest_llmcompare.generation import Environment, Generation
from pytest_llmcompare.models.machine import LOADED

from .cache_key import is_repeatable, live_switches
from .cached_answers import CachedAnswers

if TYPE_CHECKING:
    from pytest_llmcompare.models.load import LocalModel

ANY_DEVICE = "auto"
"""The device for which accelerate spreads a model by the memory that is free, so that it differs from run to run."""


@dataclass(kw_only=True)
class CachedLocalAnswers(CachedAnswers):
    """Answers of a model that this process loads, if it has to be asked.

    Attributes:
        place: Facts of the machine, and options, that decide on device, dtype and kernels.
        notes_key: Digest of what the notes on the model depend on.
        is_loaded: Whether it is loaded.
        fresh, fresh_noise, fresh_notes: New answers, noise and notes, which `store` writes.
    """

    place: Mapping[str, str]
    notes_key: str
    is_loaded: bool = False
    fresh: Mapping[int, Generation] = field(default_factory=dict)
    fresh_noise: NoiseAndNotes = field(default_factory=NoiseAndNotes)
    fresh_notes: Sequence[str] = ()

    def look_up(self) -> None:
        """Find answers without loading the model, if it was loaded before under the same circumstances."""
        if self.place.get("device option") == ANY_DEVICE:
            return
        now = {**self.fixed, **live_switches()}
        for key, models in self.content.models.items():
            for model in models:
                before_loading = {name: value for name, value in model.facts.items() if name not in LOADED}
                if model.place == self.place and before_loading == now:
                    self.model, self.facts = key, model.facts
        self._find()

    def bind(self, model: LocalModel) -> None:
        """Find the answers of a model that is loaded."""
        from pytest_llmcompare.decoding.numerics import numerics, torch_switches  # imports torch

        self.facts = {**self.fixed, **torch_switches(), **numerics(model)}
        self.model = key_of(self.facts)
        self.is_loaded = True
        self._find()

    @property
    def facts_now(self) -> Mapping[str, str]:
        """Facts of the model and of where it runs that are known without loading it."""
        return {**self.fixed, **live_switches(), **self.place}

    @property
    def answers_all(self) -> bool:
        """True if the model is not loaded: all that a run reports is cached, or `--llm-cache=only` forbids it."""
        if self.only or self.is_loaded:
            return self.only
        if len(self.hits) < len(self.cases) or self.notes_key not in self.noise_and_notes.notes:
            return False
        return self.noise_and_notes.has_noise or self.knows_noise(self.environment)

    @property
    def noise_and_notes(self) -> NoiseAndNotes:
        """The cached noise of the model and notes on it."""
        return self.content.noise_and_notes.get(self.model, NoiseAndNotes())

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the model for the user, as they were when it was loaded."""
        return tuple(self.noise_and_notes.notes.get(self.notes_key, ()))

    @property
    def noise(self) -> MeasuredNoise | None:
        """The noise that was measured, unless a baseline already holds it."""
        if self.noise_and_notes.noise is None or self.knows_noise(self.environment):
            return None
        return MeasuredNoise(self.noise_and_notes.noise)

    @property
    def environment(self) -> Environment:
        """Environment of the answers; empty if there are none."""
        return next((answer.generation.environment for answer in self.hits.values()), ())

    def knows_noise(self, environment: Environment) -> bool:
        """True if a baseline of this model and environment holds the noise that was measured when it was recorded."""
        return holds_noise((baseline.generation.environment for baseline in self.expected.values()), environment)

    def add(
        self,
        outcomes: Mapping[int, Outcome],
        asked: Collection[int],
        noise: MeasuredNoise | None,
        *,
        measured: bool,
        notes: Sequence[str],
    ) -> None:
        """Take what a model has just answered, for `store` to write.

        Args:
            outcomes: Answers and errors that were not in the cache, by index of their case.
            asked: Indices of those that were asked just now; others were read along a draft that may be outdated.
            noise: The noise that was measured; None if it could not be.
            measured: Whether it was tried.
            notes: Notes on the model, which depend on no single answer.
        """
        self.fresh = {
            index: one
            for index, one in outcomes.items()
            if isinstance(one, Generation) and (index in asked or self._draft(self.cases[index]) is None)
        }
        if measured:
            self.fresh_noise = NoiseAndNotes(noise.rms if noise else None, has_noise=True)
        self.fresh_notes = tuple(notes)

    def store(self, model: LocalModel, notes: Iterable[str]) -> tuple[str, ...]:
        """Write what was added, and notes on the model, into the cache.

        Returns:
            Notes for the user: what is damaged, why nothing can be cached.
        """
        lines = [
            answer_line(self._answer(model, index, generation))
            for index, generation in self.fresh.items()
            if is_repeatable(model, self.cases[index])
        ]
        merged = tuple(dict.fromkeys([*self.notes, *notes, *self.fresh_notes]))
        if merged != self.notes or self.fresh_noise.has_noise or self.notes_key not in self.noise_and_notes.notes:
            lines.append(noise_and_notes_line(self.model, replace(self.fresh_noise, notes={self.notes_key: merged})))
        known = CachedModel(self.facts, self.place)
        if known not in self.content.models.get(self.model, []):
            lines.insert(0, model_line(self.model, known, self.cases[0].key.group))
        return self._append(lines)

    def _answer(self, model: LocalModel, index: int, generation: Generation) -> CachedAnswer:
        baseline = self.expected.get(self.cases[index].key.row)
        tokens = baseline.generation.token_ids if baseline else None
        path, own = generation.path, generation.token_ids or ()
        differs = baseline is not None and (own != tokens or (path is not None and path.choices != own))
        shown = {*own, *(tokens or ()), *(path.choices if path else ())} if differs else set[int]()
        return CachedAnswer(
            self.model,
            str(self.cases[index].key.row),
            self.parts(index),
            replace(generation, environment=without_noise(generation.environment), samples=()),
            generation.untried,
            None if tokens is None else _decoded(model, tokens),
            {token: piece for token in shown if (piece := _piece(model, token)) is not None},
        )


def _decoded(model: LocalModel, tokens: Sequence[int]) -> str | None:
    try:
        return model.decode(tokens)
    except Exception:  # a tokenizer that lacks them; then the verdict asks it again, and says so
        return None


def _piece(model: LocalModel, token: int) -> str | None:
    try:
        return model.show(token)
    except Exception:  # as above
        return None
