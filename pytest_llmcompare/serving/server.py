"""A model on a server: answers to questions, and log-probs of given tokens."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_llmcompare.errors import GenerationError
from pytest_llmcompare.generation import Environment, Generation
from pytest_llmcompare.models.conversation import Prompt

from .answer import Answer, BadAnswerError, read_answer
from .chat import question_fields
from .client import Client
from .probe import Capabilities, Level, find_capabilities
from .request_fields import keeps_choices, request_fields

__all__ = ["Capabilities", "Level", "Question", "Server"]


@dataclass(frozen=True)
class Question:
    """One prompt to answer.

    Attributes:
        prompt: The whole text, or a conversation.
        gen_config: Complete decoding settings.
        seed: Seed for sampling.
    """

    prompt: Prompt
    gen_config: Mapping[str, Any]
    seed: int | None = None


NO_TEMPERATURE = (
    "the model takes no temperature, so it can neither decode greedily nor sample at another temperature than 1. "
    'Let it sample, gen_config={"do_sample": True, "temperature": 1.0, "top_k": 0}, and compare by similarity'
)


class Server:
    """A model on a server.

    Args:
        client: Sends the requests.
        dtype: Precision that the server was started with, as the user says; it cannot be asked. Empty if unknown.
        chat: Whether questions go to the chat endpoint; a text is then the only message.

    Attributes:
        prompt_tokens: Number of prompt tokens so far, by the server's count.
        output_tokens: Number of generated tokens so far, by the server's count.
        pieces: Texts of the tokens seen so far, by id.
    """

    def __init__(self, client: Client, dtype: str = "", *, chat: bool = False) -> None:
        self.client = client
        self.dtype = dtype
        self.chat = chat
        self.prompt_tokens = 0
        self.output_tokens = 0
        self.pieces: dict[int, str] = {}
        self._capabilities: Capabilities | None = None
        self._lock = threading.RLock()  # the probe reads its answer while it holds the lock

    @property
    def is_probed(self) -> bool:
        """True once the probe has been sent."""
        return self._capabilities is not None

    def probe(self, name: str) -> Capabilities:
        """Find what the server shows, by the content of its answer to a request of one token, sent once.

        Args:
            name: Name of the model, for messages.

        Raises:
            ModelError: The server does not answer.
        """
        with self._lock:
            if self._capabilities is None:
                self._capabilities = find_capabilities(self.client, self._read, name, chat=self.chat)
            return self._capabilities

    @property
    def capabilities(self) -> Capabilities:
        """What the probe found."""
        if self._capabilities is None:
            raise RuntimeError("the server has not been probed")
        return self._capabilities

    @property
    def environment(self) -> Environment:
        """Facts that an output depends on."""
        declared = (("dtype", self.dtype),) if self.dtype else ()
        return tuple(sorted((*self.capabilities.environment, *declared)))

    @property
    def shows_choices(self) -> bool:
        """True if the token with the largest log-probability is the one that greedy decoding takes."""
        return keeps_choices(self.client.options.extra_body)

    def ask(self, question: Question) -> Answer:
        """Ask one question.

        Raises:
            GenerationError: There is no answer, or one that cannot be used.
        """
        capabilities = self.capabilities
        fields = {**request_fields(question.gen_config, question.seed), **capabilities.fields}
        if not capabilities.takes_temperature and fields["temperature"] != 1:
            raise GenerationError(NO_TEMPERATURE)
        fields = capabilities.taken(fields)
        asked = question_fields(question.prompt, chat=self.chat)
        answer = self._answer({**asked, **fields}, capabilities.extra)
        shows_none = answer.tokens is None and answer.is_spelled
        if capabilities.level is not Level.TEXT and shows_none and not capabilities.names_bytes:
            raise GenerationError("the answer shows no log-probabilities of its tokens, though the server's others do")
        return answer

    def score(self, prompt: Sequence[int], tokens: Sequence[int]) -> Answer:
        """Ask for the log-probs of given tokens after a prompt (level `path`), and for one more token.

        Args:
            prompt: Ids of the prompt's tokens, as the server made them.
            tokens: Ids of the tokens to score.

        Returns:
            An answer whose `prompt` holds the log-probs of all tokens.

        Raises:
            GenerationError: There is no answer, or it does not show the log-probs of these tokens.
        """
        capabilities, ids = self.capabilities, [*prompt, *tokens]
        fields = {"prompt": ids, "max_tokens": 1, "temperature": 0.0, **capabilities.scoring_fields}
        answer = self._answer(fields, {**capabilities.extra, **capabilities.of_prompts})
        if answer.prompt is None or list(answer.prompt.ids) != ids:
            raise GenerationError("the answer does not show the log-probabilities of the tokens that were sent")
        return answer

    def generation(self, answer: Answer) -> Generation:
        """An answer as the output of a case."""
        environment = self.environment
        facts: dict[str, Any] = {"reasoning": answer.reasoning, "prompt_shown": answer.prompt_shown}
        if self.capabilities.level is Level.TEXT or answer.tokens is None:
            return Generation(answer.text, stop=answer.stop, environment=environment, **facts)
        pieces = [answer.pieces.get(token) for token in answer.token_ids]
        known = [piece for piece in pieces if piece is not None]
        spelled = len(known) == len(pieces) and "".join(known) == answer.text
        return Generation(
            answer.text,
            answer.token_ids,
            answer.logprobs,
            answer.stop,
            environment,
            lengths=tuple(map(len, known)) if spelled else None,
            **facts,
        )

    def _answer(self, fields: Mapping[str, Any], extra: Mapping[str, Any]) -> Answer:
        """Send a request and read the answer.

        Raises:
            GenerationError: There is no answer, or one that cannot be used.
        """
        try:
            received = self.client.send(fields, extra)
            answer = self._read(received.content, has_stop_strings="stop" in fields)
            return replace(answer, seconds=received.seconds)
        except BadAnswerError as error:
            raise GenerationError(self.client.clean(str(error))) from None

    def _read(self, content: bytes, *, has_stop_strings: bool = False) -> Answer:
        answer = read_answer(content, has_stop_strings=has_stop_strings)
        with self._lock:
            self.prompt_tokens += answer.prompt_tokens
            self.output_tokens += answer.output_tokens
            self.pieces.update(answer.prompt.pieces if answer.prompt else {})
            self.pieces.update(answer.pieces)
        return answer
