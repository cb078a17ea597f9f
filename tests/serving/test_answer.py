"""Answers of servers: what becomes an output, and what is an error."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmcompare.generation import Path, names_tokens_alike
from pytest_llmcompare.serving.answer import BadAnswerError, read_answer
from pytest_llmcompare.serving.partial_path import partial_path
from pytest_llmcompare.serving.request_fields import request_fields, without_counterpart

from .servers import completion


def shown(token: int, text: str, logprob: float, **others: float) -> dict[str, Any]:
    """A token in llama.cpp's shape; others are named `t5`."""
    tops = [{"id": token, "bytes": list(text.encode()), "logprob": logprob}]
    tops += [{"id": int(name[1:]), "bytes": [120], "logprob": value} for name, value in others.items()]
    return {**tops[0], "top_logprobs": tops}


def answer(*tokens: dict[str, Any], text: str, **fields: Any) -> bytes:
    return completion(text, logprobs={"content": list(tokens)}, **fields)


def test_tokens_of_llama() -> None:
    """Ids, log-probs and alternatives are read, and the pieces of tokens."""
    read = read_answer(answer(shown(1, " a", -0.5, t7=-1.5), shown(2, "é", 0.0), text=" aé"), has_stop_strings=False)
    assert (read.token_ids, read.logprobs, read.stop) == ((1, 2), (-0.5, 0.0), "eos")
    assert read.tokens is not None
    assert read.tokens[0].lead == 1.0
    assert read.pieces == {1: " a", 2: "é", 7: "x"}


def test_tokens_of_vllm() -> None:
    """Older completions name tokens by their ids if they were asked to; by text they are of no use."""
    logprobs = {"tokens": ["token_id:5"], "token_logprobs": [-0.25], "top_logprobs": [{"token_id:5": -0.25}]}
    read = read_answer(completion(logprobs=logprobs, stop_reason="."), has_stop_strings=True)
    assert (read.token_ids, read.logprobs, read.stop) == ((5,), (-0.25,), "stop")


def test_tokens_without_ids() -> None:
    """They are named by their bytes, if all of these are known and spell the text; such names are no ids."""
    logprobs: dict[str, Any] = {
        "tokens": ["hi", "bytes:\\xc3", "bytes:\\xa9"],
        "token_logprobs": [-0.25, -0.5, -0.5],
        "top_logprobs": [{"hi": -0.25, "\ufffd": -2.0, "ho": -3.0}, None, None],
    }
    read = read_answer(completion("hi\u00e9", logprobs=logprobs), has_stop_strings=False)
    assert read.tokens is not None
    assert [read.pieces[token] for token in read.token_ids] == ["hi", "\udcc3", "\udca9"]
    assert read.tokens[0].lead == 2.75
    chat = [
        {"token": "hi", "logprob": -0.25, "top_logprobs": []},
        {"token": "", "bytes": [0xC3, 0xA9], "logprob": -1.0},
    ]
    again = read_answer(completion("hi\u00e9", logprobs={"content": chat}), has_stop_strings=False)
    assert again.token_ids[0] == read.token_ids[0]
    assert not names_tokens_alike(read.token_ids, (1, 2))
    for other in ("\ufffd", "\u0120hi"):
        unknown = {**logprobs, "tokens": [other, *logprobs["tokens"][1:]]}
        assert read_answer(completion("hi\u00e9", logprobs=unknown), has_stop_strings=False).tokens is None


def test_a_stop_string_cuts_tokens_or_text() -> None:
    """Tokens may spell more or less than the text; with stop strings the finish reason is not known."""
    for text in (" a", " a b c"):
        read = read_answer(answer(shown(1, " a", -0.5), shown(2, " b", -0.5), text=text), has_stop_strings=True)
        assert (read.text, read.stop) == (text, "")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>login</html>", "not a JSON object: '<html>login</html>'"),
        (b"[]", "not a JSON object"),
        (completion().replace(b'"choices": [', b'"choices": [], "x": ['), "exactly one choice"),
        (completion("", finish_reason="content_filter"), "content filter"),
        (completion(finish_reason=None), "no finish reason"),
        (completion(text=None), "no text"),
        (answer(shown(1, "hi", float("nan")), text="hi"), "not finite: NaN"),
        (answer(shown(1, "hi", 0.5), text="hi"), "above 0"),
        (answer({**shown(1, "hi", -1.0), "logprob": None}, text="hi"), "not a finite number"),
        (answer({"id": 1}, text="hi"), "cannot be read"),
        (answer(shown(1, "ho", -0.5), text="hi"), "spell 'ho', its text is 'hi'"),
    ],
)
def test_bad_answers(body: bytes, message: str) -> None:
    """Whatever is no whole, finite answer is an error that shows what came."""
    with pytest.raises(BadAnswerError) as caught:
        read_answer(body, has_stop_strings=False)
    assert message in str(caught.value)


def parted(*tokens: dict[str, Any], text: str, baseline: tuple[int, ...]) -> Path | None:
    return partial_path(baseline, read_answer(answer(*tokens, text=text), has_stop_strings=False))


def test_path_until_the_first_other_token() -> None:
    """It ends there, with the margin where the alternatives show the baseline's token."""
    steps = (shown(1, "a", -0.1, t2=-3.0), shown(4, "b", -0.5, t9=-0.75), shown(5, "c", -0.1))
    path = parted(*steps, text="abc", baseline=(1, 9, 8))
    assert path == Path((1, 9, 8), (1, 4), (-0.1, -0.75), (0.0, 0.25), (2.9, 0.25), is_partial=True)
    unknown = parted(*steps, text="abc", baseline=(1, 8, 8))
    assert unknown is not None
    assert (unknown.margins, unknown.logprobs) == ((0.0, float("inf")), (-0.1,))
    assert parted(*steps, text="abc", baseline=(1, 4, 5)) is None


def test_settings_of_requests() -> None:
    """Temperature and length are always sent; what a server cannot follow is named."""
    assert request_fields({"do_sample": False, "max_new_tokens": 6, "top_k": 50}, 1) == {
        "max_tokens": 6,
        "temperature": 0.0,
    }
    sampled = {"do_sample": True, "max_new_tokens": 6, "temperature": 0.7, "top_k": 50, "stop_strings": "."}
    assert request_fields(sampled, 3) == {
        "max_tokens": 6,
        "temperature": 0.7,
        "top_k": 50,
        "stop": ["."],
        "seed": 3,
    }
    harmless = {"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "top_p": 0.5}
    assert without_counterpart(harmless) == []
    assert without_counterpart({"no_repeat_ngram_size": 2, "num_beams": 4, "max_length": 20}) == [
        *("max_length", "no_repeat_ngram_size", "num_beams"),
    ]
