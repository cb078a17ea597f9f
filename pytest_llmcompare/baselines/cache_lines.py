"""The lines of the answer cache: models, their answers, their noise and notes on them; each with a checksum."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pytest_llmcompare.generation import Generation
from pytest_llmcompare.records import GroupKey
from pytest_llmcompare.serialization import from_plain, to_plain

FORMAT = 1
_SUM = 16
_LATEST = 1e11
"""Latest time that a line may have (seconds since 1970; in the year 5138). A line with a later one is damaged."""


@dataclass(frozen=True)
class CachedModel:
    """A model whose answers are cached.

    Attributes:
        facts: Everything about it that decides its answers, by name.
        place: Facts that are known before it is loaded and that decide its device, dtype and kernels.
    """

    facts: Mapping[str, str]
    place: Mapping[str, str]


@dataclass(frozen=True)
class CachedAnswer:
    """One answer.

    Attributes:
        model: Key of the model.
        row: Name of the row.
        parts: All else that the answer depends on, by name, as digests.
        generation: The answer, with the model's log-probs of the draft that it was read with.
        untried: `Generation.untried`.
        decoded: Text that the model's tokenizer makes of the baseline's tokens; None if there are none.
        pieces: Texts of single tokens, to show where an answer leaves its baseline.
    """

    model: str
    row: str
    parts: Mapping[str, str]
    generation: Generation
    untried: str = ""
    decoded: str | None = None
    pieces: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """Key of the answer."""
        return key_of(self.model, self.parts)


@dataclass(frozen=True)
class NoiseAndNotes:
    """The noise of a model and notes on it, cached beside its answers.

    Attributes:
        noise: Its noise (nats, root mean square); None if it could not be measured.
        has_noise: Whether measuring it was tried.
        notes: Notes for the user, by a digest of what they depend on.
    """

    noise: float | None = None
    has_noise: bool = False
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass
class CacheContent:
    """The content of a file of the cache.

    Attributes:
        models: Models by their keys.
        answers: Lines by the key of their answer.
        noise_and_notes: Noise and notes by the key of their model.
        rows: For each row, the line that was written last.
        notes: Messages on what is ignored.
        oldest: When the oldest line was written.
    """

    models: dict[str, list[CachedModel]] = field(default_factory=dict)
    answers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    noise_and_notes: dict[str, NoiseAndNotes] = field(default_factory=dict)
    rows: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    oldest: float = float("inf")

    def answer(self, key: str) -> CachedAnswer | None:
        """The answer of a key; None if there is none that can be read."""
        line = self.answers.get(key)
        if line is None:
            return None
        try:
            answer = _answer(line)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        return answer if answer.key == key and _is_sound(answer.generation) else None

    def take_in(self, line: Mapping[str, Any]) -> bool:
        """Add a line to the content; False if it is of no known kind."""
        self.oldest = min(self.oldest, line["at"])
        if isinstance(line.get("answer"), str) and isinstance(line.get("row"), str):
            self.answers[line["answer"]] = self.rows[line["row"]] = line
            return True
        try:
            if "model" in line:
                model = CachedModel(_texts(line["facts"]), _texts(line["place"]))
                self.models.setdefault(key_of(model.facts), []).append(model)
                return bool(line["model"] == key_of(model.facts))
            noise = line.get("noise")
            notes = {str(key): [str(note) for note in notes] for key, notes in line["notes"].items()}
            before = self.noise_and_notes.get(line["about"], NoiseAndNotes())
            has_noise = "noise" in line and (noise is None or (isinstance(noise, int | float) and 0 <= noise < 1))
            self.noise_and_notes[line["about"]] = NoiseAndNotes(
                noise if has_noise else before.noise, has_noise or before.has_noise, {**before.notes, **notes}
            )
        except (KeyError, TypeError, AttributeError, ValueError):
            return False
        return True


def key_of(*facts: object) -> str:
    """A digest of facts."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def model_line(key: str, model: CachedModel, group: GroupKey) -> bytes:
    """A line on a model."""
    named = {"folder": group.folder, "table": group.table, "name": group.model}
    return _line({"model": key, "facts": dict(model.facts), "place": dict(model.place), "group": named})


def answer_line(answer: CachedAnswer) -> bytes:
    """A line with an answer."""
    fields = {name: getattr(answer, name) for name in ("model", "row", "untried", "decoded")}
    return _line(
        {
            "answer": answer.key,
            **fields,
            "parts": dict(answer.parts),
            "generation": to_plain(answer.generation),
            "pieces": {str(token): text for token, text in answer.pieces.items()},
        }
    )


def noise_and_notes_line(model: str, own: NoiseAndNotes) -> bytes:
    """A line with the noise of a model and notes on it."""
    noise = {"noise": own.noise} if own.has_noise else {}
    return _line({"about": model, **noise, "notes": {key: list(notes) for key, notes in own.notes.items()}})


def parse_line(text: bytes) -> dict[str, Any] | None:
    """The content of a line, with its version and time; None if it is damaged."""
    checksum, _, content = text.partition(b" ")
    if checksum.decode("ascii", "replace") != _checksum(content):
        return None
    try:
        line = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not isinstance(line.get("v"), int) or not isinstance(line.get("at"), int | float):
        return None
    return line if 0 <= line["at"] < _LATEST else None  # no NaN, and no number that a float cannot hold


def _line(fields: Mapping[str, Any]) -> bytes:
    content = json.dumps({"v": FORMAT, "at": round(time.time()), **fields}).encode("ascii")
    return f"{_checksum(content)} ".encode() + content + b"\n"


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_SUM]


def _texts(facts: Any) -> dict[str, str]:
    """A dict of texts.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(facts, dict) or not all(isinstance(value, str) for value in facts.values()):
        raise TypeError
    return facts


def _answer(line: Mapping[str, Any]) -> CachedAnswer:
    decoded = line["decoded"]
    return CachedAnswer(
        model=str(line["model"]),
        row=line["row"],
        parts=_texts(line["parts"]),
        generation=dataclasses.replace(from_plain(Generation, line["generation"]), untried=str(line["untried"])),
        untried=str(line["untried"]),
        decoded=None if decoded is None else str(decoded),
        pieces={int(token): str(text) for token, text in line["pieces"].items()},
    )


def _is_sound(generation: Generation) -> bool:
    """True if an answer has as many log-probs and margins as tokens."""
    tokens = len(generation.token_ids or ())
    of_tokens = (generation.logprobs, generation.margins, generation.as_read)
    path = generation.path
    if not all(numbers is None or len(numbers) == tokens for numbers in of_tokens):
        return False
    if path is None:
        return True
    steps = len(path.choices)
    of_steps = (path.margins, path.leads)
    logprobs = (path.logprobs, path.unprocessed or path.logprobs)
    return (
        steps <= len(path.tokens) + 1
        and all(len(numbers) == steps for numbers in of_steps)
        and all(len(numbers) <= steps for numbers in logprobs)
    )
