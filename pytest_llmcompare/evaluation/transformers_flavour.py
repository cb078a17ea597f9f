"""Looks into models of MLflow's transformers flavour, so that tokens and log-probs of their outputs are known.

Our engine asks the model inside the pipeline. MLflow and the pipeline do all the rest, prompt template, chat template,
tokens, texts: they are run with another `generate`, once to see which tokens and settings the prompts become, and once
per output to see which text its tokens become. The first rows are also asked in the ordinary way; where texts differ,
the model is compared by its texts alone.

Imports torch: it is imported where such a model is asked, and nowhere else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_llmcompare.comparison.measured_noise import holds_noise
from pytest_llmcompare.decoding.engine import EngineWarning, answers
from pytest_llmcompare.decoding.measure_noise import measure_noise
from pytest_llmcompare.decoding.request import Outcome, Request
from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Generation, joined
from pytest_llmcompare.models.conversation import Prompt
from pytest_llmcompare.models.gen_config import OF_SAMPLING, WITHOUT_EFFECT, complete, problems
from pytest_llmcompare.models.load import LocalModel, transformers_quiet
from pytest_llmcompare.text import error_line

from . import foreign_pyfunc, model_logging
from .answers import Asking, Outcomes, untried_notes
from .pyfunc_output import texts_of

if TYPE_CHECKING:
    from pytest_llmcompare.records import RowKey

    from .foreign_pyfunc import Questions
    from .verdicts import Tokenizer

CHECKED = 2
"""Rows that are also asked in the ordinary way."""
NO_SETTINGS = ("attention_mask", "pad_token_id", "tokenizer", "transformers_version", "use_cache")
"""Arguments of `generate` that decide nothing for a single prompt, or that the engine takes from the model itself."""
USUAL_LENGTH = 20
"""Most tokens, those of the prompt included, where nothing limits them: the default of `generate`."""


class NotSeenError(Exception):
    """A model that can't be looked into; the message says why."""


@dataclass(frozen=True)
class Seen:
    """The tokens and settings that a pipeline makes of a prompt.

    Attributes:
        tokens: Its token ids.
        settings: Decoding settings, complete.
    """

    tokens: list[int]
    settings: Mapping[str, Any]


@dataclass
class PipelineModel(LocalModel):
    """The model inside a pipeline, asked by the numbers of rows.

    Attributes:
        encoded: Token ids of each prompt, by the number of its row.
    """

    encoded: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a row's prompt, as the pipeline made them."""
        return list(self.encoded[str(prompt)])


@dataclass(frozen=True)
class RowTokens:
    """Shows the tokens of a row, and the text that a row's tokens become.

    Attributes:
        row: Index of the row.
        inside: The model.
    """

    row: int
    inside: Inside

    def show(self, token: int) -> str:
        """Text of a single token, special tokens included."""
        return self.inside.local.show(token)

    @property
    def decode(self) -> Callable[[Sequence[int]], str]:
        """Returns what `predict` would return if these tokens were generated; never equal to a text if it fails."""
        return lambda tokens: str(self.inside.text(self.row, tokens))


@dataclass
class Inside:
    """A loaded pyfunc with the pipeline inside it.

    Attributes:
        questions: Input of the table.
        local: The model, for the engine.
        generate: The pipeline's model, whose `generate` is replaced.
        seen: What the prompts become.
        warned: Warnings of the engine.
        seconds: Time that the model took to generate, by row.
    """

    questions: Questions
    local: PipelineModel
    seen: list[Seen] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)

    def look(self) -> None:
        """See which tokens and settings the prompts become.

        Raises:
            NotSeenError: The engine can't be asked the same.
        """

        def take(input_ids: Any = None, **options: Any) -> Any:
            if input_ids is None or input_ids.shape[0] != 1:
                raise NotSeenError("a prompt is empty, or several prompts are generated in one call")
            self.seen.append(Seen(input_ids[0].tolist(), settings_of(self.local.model, options)))
            return input_ids

        count = len(self.questions.cases)
        try:
            self._predict(range(count), take)
        except NotSeenError:
            raise
        except Exception as error:  # from MLflow or the pipeline; asking in the ordinary way reports it
            raise NotSeenError(f"its pipeline raised {error_line(error)}") from error
        if len(self.seen) != count:
            raise NotSeenError(f"its pipeline generates {len(self.seen)} times for {count} prompts")
        self.local.encoded = {str(row): seen.tokens for row, seen in enumerate(self.seen)}

    def text(self, row: int, tokens: Sequence[int]) -> str | GenerationError:
        """What `predict` returns if these tokens are generated for a row."""

        def give(input_ids: Any, **_: Any) -> Any:
            return input_ids.new_tensor([[*self.seen[row].tokens, *tokens]])

        try:
            return texts_of(self._predict([row], give), 1)[0]
        except Exception as error:  # as above
            return GenerationError(f"the model raised {error_line(error)}")

    def finished(self, row: int, outcome: Outcome) -> Outcome:
        """An outcome of the engine with the text that `predict` returns."""
        if not isinstance(outcome, Generation) or outcome.token_ids is None:
            return outcome
        text = self.text(row, outcome.token_ids)
        return replace(outcome, text=joined(text), lengths=None) if isinstance(text, str) else text

    def requests(self, rows: Sequence[int], drafts: Mapping[int, tuple[int, ...]]) -> list[Request]:
        """What the engine is asked for some rows."""
        return [Request(str(row), self.seen[row].settings, draft=drafts.get(row)) for row in rows]

    def _predict(self, rows: Sequence[int], generate: Callable[..., Any]) -> object:
        """Call `predict` with another `generate`."""
        frame, params = self.questions.rows(rows), dict(self.questions.params) or None
        with model_logging.quiet(), transformers_quiet(), generating(self.local.model, generate):
            output: object = self.questions.model.predict(frame, params=params)
        return output


@contextmanager
def generating(model: Any, generate: Callable[..., Any]) -> Iterator[None]:
    """Replace the `generate` of a model until the block ends."""
    model.generate = generate
    try:
        yield
    finally:
        del model.generate  # that of its class is in force again


def settings_of(model: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Complete decoding settings from the arguments of `generate`, over what they leave to the model.

    Raises:
        NotSeenError: Outputs are sampled, or the engine does not take a setting.
    """
    config = options.get("generation_config")
    given: dict[str, Any] = {**model.generation_config.to_diff_dict(), **(config.to_diff_dict() if config else {})}
    given |= {name: value for name, value in options.items() if name != "generation_config" and value is not None}
    if given.get("do_sample"):
        raise NotSeenError("it samples its outputs (log it with do_sample=False in its model_config)")
    own = model.generation_config.to_dict()
    chosen = {
        name: value
        for name, value in given.items()
        if name not in NO_SETTINGS and name not in OF_SAMPLING and value is not None and value is not False
        if not (name in WITHOUT_EFFECT and WITHOUT_EFFECT[name] == value and name != "max_length")
        if not (name.endswith("_token_id") and own.get(name) == value)
    }
    if "max_new_tokens" in chosen:
        chosen.pop("max_length", None)
    elif "max_length" not in chosen:
        chosen["max_length"] = USUAL_LENGTH
    if faults := problems(chosen):
        raise NotSeenError(f"its settings can't be used outside the pipeline: {faults[0]}")
    return complete(chosen)


def ask_inside(asking: Asking, questions: Questions) -> tuple[Outcomes, dict[RowKey, Tokenizer]]:
    """Ask the model inside a pipeline.

    Returns:
        Outcomes, and what shows the tokens of each row.

    Raises:
        NotSeenError: It can't be looked into, or its texts would not be those of `predict`.
    """
    pipeline = asking.model.get_raw_model()
    name = asking.group.model
    local = PipelineModel(name, pipeline.model.eval(), pipeline.tokenizer, fingerprint=asking.identity.fingerprint)
    inside = Inside(questions, local)
    inside.look()
    drafts = {row: one.token_ids for row, one in asking.drafts().items() if one.token_ids}
    first = range(min(CHECKED, len(asking.cases)))
    checked, answered = _answer(inside, asking, first, drafts)
    _check_texts(questions, [checked[row] for row in first])
    outcomes = Outcomes(asking, [foreign_pyfunc.key_of(asking, facts) for facts in questions.facts])
    left = outcomes.resume()
    for row in first:
        if row in left:
            outcomes.add(row, checked[row])
    rest = [row for row in left if row not in first]
    _, further = _answer(inside, asking, rest, drafts, outcomes.add)
    outcomes.latencies.update({row: inside.seconds[row] for row in left if row in inside.seconds})
    recorded = (baseline.generation.environment for baseline in asking.expected.values())
    if asking.shortcuts and not holds_noise(recorded, local.environment):
        noise = measure_noise(local, [*answered, *further])
        if noise is not None:
            outcomes.take_noise(noise)
    outcomes.notes.extend(dict.fromkeys(inside.warned))
    outcomes.notes.extend(untried_notes(asking, [outcomes.by_index[row] for row in left], len(drafts)))
    rows = enumerate(asking.cases)
    tokenizers: dict[RowKey, Tokenizer] = {case.key.row: RowTokens(row, inside) for row, case in rows}
    return outcomes, tokenizers


def _answer(
    inside: Inside,
    asking: Asking,
    rows: Sequence[int],
    drafts: Mapping[int, tuple[int, ...]],
    add: Callable[[int, Outcome], None] | None = None,
) -> tuple[dict[int, Outcome], list[tuple[Request, Generation]]]:
    """Have the engine answer some rows.

    Returns:
        Outcomes by row with the texts of `predict`, and requests with the engine's own outputs.
    """
    requests = inside.requests(rows, drafts if asking.shortcuts else {})
    by_row: dict[int, Outcome] = {}
    own: list[tuple[Request, Generation]] = []
    if not requests:
        return by_row, own
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", EngineWarning)  # the user may have made warnings errors
        finished = answers(
            inside.local,
            requests,
            shortcuts=asking.shortcuts,
            read=asking.shortcuts,
            take_seconds=lambda at, seconds: inside.seconds.__setitem__(rows[at], seconds),
        )
        for at, outcome in finished:
            by_row[rows[at]] = inside.finished(rows[at], outcome)
            if isinstance(outcome, Generation):
                own.append((requests[at], outcome))
            if add is not None:
                add(rows[at], by_row[rows[at]])
    inside.warned.extend(str(one.message) for one in caught if isinstance(one.message, EngineWarning))
    return by_row, own


def _check_texts(questions: Questions, outcomes: Sequence[Outcome]) -> None:
    """Check that texts are those of `predict`.

    Raises:
        NotSeenError: One is not.
    """
    with model_logging.quiet(), transformers_quiet():
        expected = questions.ask(range(len(outcomes)))
    for text, outcome in zip(expected, outcomes, strict=True):
        if not isinstance(text, str) or not isinstance(outcome, Generation) or joined(text) != outcome.text:
            raise NotSeenError("its predict returns other texts than the model inside it generates")
