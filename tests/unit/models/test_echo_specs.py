"""Specs of `echo:` models, their answers, and lists of specs in which `,`, `=` and `@` may stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.models.echo import DRIFTED, EchoSettings, parse_echo
from pytest_llmcompare.models.resolve import resolve
from pytest_llmcompare.models.spec import ModelSpec, SourceKind, parse_specs, shown_spec
from pytest_llmcompare.models.uris import join_specs, split_specs
from pytest_llmcompare.text import in_text_without_secrets, source_without_secrets

ECHO = SourceKind.ECHO


def parse(*texts: str, others: bool = False) -> tuple[ModelSpec, ...]:
    return parse_specs(texts, {}, Path("/nowhere"), others=others)


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("echo:", "echo", "echo:"),
        ("echo:?drift=0.1&delay=0.01", "echo", "echo:?drift=0.1&delay=0.01"),
        ("new=echo:?drift=0.1&delay=0.01", "new", "echo:?drift=0.1&delay=0.01"),
        ("new = echo:", "new", "echo:"),
        ("ECHO:?drift=1", "echo", "ECHO:?drift=1"),
    ],
)
def test_text_names_an_echo_model(text: str, name: str, source: str, others: bool) -> None:
    """With or without parameters and name; a plugin's kinds change nothing."""
    assert parse(text, others=others) == (ModelSpec(name, source, ECHO),)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("echo:?drfit=0.1", "echo: has no parameter 'drfit'. Did you mean 'drift'?"),
        ("echo:?speed=1", "echo: has no parameter 'speed'."),
        ("echo:?drift=2", "drift='2', expected a number from 0 to 1"),
        ("echo:?drift=-0.1", "drift='-0.1', expected a number from 0 to 1"),
        ("echo:?drift=nan", "drift='nan', expected a number from 0 to 1"),
        ("echo:?drift=", "drift='', expected a number from 0 to 1"),
        ("echo:?drift", "drift='', expected a number from 0 to 1"),
        ("echo:?delay=61", "delay='61', expected a number from 0 to 60: seconds per prompt"),
        ("echo:?drift=0.1&drift=0.2", "drift is given twice"),
        ("echo:?", "is not an echo model. Expected echo: or echo:?drift=0.1&delay=0.01."),
        ("echo:gpt2", "is not an echo model. Expected echo: or echo:?drift=0.1&delay=0.01."),
        ("echo:@main", "is not an echo model."),
        ("m=echo:?drift=0.1@main", "drift='0.1@main', expected a number from 0 to 1"),
    ],
)
def test_faulty_parameters_are_usage_errors(source: str, message: str) -> None:
    """They are found when the spec is read, with the nearest name or the range."""
    with pytest.raises(UsageError) as error:
        parse(source)
    assert message in str(error.value)


def test_a_table_names_an_echo_model() -> None:
    """`source = "echo:?..."` works, with the settings that any model has; what has no meaning is refused."""
    table = {"source": "echo:?drift=1", "examples": "e", "gen_config": {"top_k": 3}}
    expected = ModelSpec("m", "echo:?drift=1", ECHO, None, {"top_k": 3}, "e")
    assert parse_specs(["m"], {"m": table}, Path("/nowhere")) == (expected,)
    for extra in ({"revision": "v1"}, {"chat_template": True}):
        with pytest.raises(UsageError, match="an echo: model "):
            parse_specs(["m"], {"m": {**table, **extra}}, Path("/nowhere"))


def test_two_without_names_are_told_how_to_name_one() -> None:
    """The message can be copied: parameters are no secrets."""
    with pytest.raises(UsageError) as error:
        parse("echo:,echo:?drift=0.1")
    assert "echo-2=echo:?drift=0.1" in str(error.value)


def test_fingerprint_changes_with_the_parameters_and_not_with_their_order() -> None:
    """So a baseline says which of them it was recorded with."""
    sources = ["echo:", "echo:?drift=0.1", "echo:?drift=0.2", "echo:?delay=0.1"]
    fingerprints = [resolve(parse(source)[0], root=Path("/nowhere")).fingerprint for source in sources]
    assert len(set(fingerprints)) == 4
    assert parse_echo("echo:?drift=0.1&delay=1", "") == parse_echo("echo:?delay=1&drift=0.1", "")
    assert parse_echo("echo:?drift=0&delay=0", "") == parse_echo("echo:", "")


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Q: What color is the sky?\nA:", "What color is the sky?"),
        ("Q: One?\nA: Yes.\n\nQ: Two?\nA:", "Two?"),
        ("Translate: good morning", "good morning"),
        ("### Question:\nWho is Hamlet?\n\n### Answer:\n", "Who is Hamlet?"),
        ("see https://example.com/x", "see https://example.com/x"),
        ("Customer question 3: what about my refund?", "Customer question 3: what about my refund?"),
        ("A:", "A:"),
        ("", ""),
        ("x" * 500, "x" * 200),
    ],
)
def test_answer_is_the_last_line_that_says_something(prompt: str, answer: str) -> None:
    """Labels such as `Q:` are left out, and lines that hold nothing else."""
    assert EchoSettings().answer(prompt) == answer
    assert EchoSettings(drift=1).answer(prompt) == answer + DRIFTED


@given(st.lists(st.text(), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_prompts_that_drift_still_drift_with_a_larger_share(prompts: list[str], one: float, other: float) -> None:
    """Which prompts drift follows from the prompt alone, whatever else is asked."""
    few, many = (EchoSettings(drift=share) for share in sorted((one, other)))
    for prompt in prompts:
        assert few.answer(prompt) == few.answer(prompt)
        if few.answer(prompt) != EchoSettings().answer(prompt):
            assert many.answer(prompt) == few.answer(prompt)


def test_share_of_drifted_prompts() -> None:
    """About as many as asked for."""
    prompts = [f"prompt {number}" for number in range(2000)]
    drifted = sum(EchoSettings(drift=0.1).answer(prompt).endswith(DRIFTED) for prompt in prompts)
    assert 150 <= drifted <= 250


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("a,b", ("a", "b")),
        (" a , ,b,", ("a", "b")),
        ("echo:,gpt2,x=echo:?drift=0.1&delay=1,./m", ("echo:", "gpt2", "x=echo:?drift=0.1&delay=1", "./m")),
        ("models:/qa@champion,gpt2,runs:/1a/m,b=gpt2", ("models:/qa@champion", "gpt2", "runs:/1a/m", "b=gpt2")),
        ("models:/q,a/3,gpt2", ("models:/q,a/3", "gpt2")),
        ("mine:a,b=c@d,e", ("mine:a,b=c@d,e",)),
        ("mine:a,mine:b,other:c", ("mine:a", "mine:b", "other:c")),
        ("x=mine:a,y=mine:b", ("x=mine:a", "y=mine:b")),
        ("mine:a,./m,/abs,~/x", ("mine:a", "./m", "/abs", "~/x")),
        ("mine:a,qa,b=models/tiny", ("mine:a", "qa", "b=models/tiny")),
        ("mine:a,qa@v1", ("mine:a", "qa@v1")),
        ("gpt2,mine:a, b", ("gpt2", "mine:a, b")),
    ],
)
def test_lists_of_specs(text: str, specs: tuple[str, ...]) -> None:
    """A comma in `KIND:ANYTHING` ends it only before something that begins a new spec."""
    assert split_specs([text], named=("qa",)) == specs


PLAIN = st.sampled_from(
    ["gpt2", "org/m@main", "./models/tiny", "n=gpt2", "echo:", "n=echo:?drift=0.1&delay=1", "models:/a/1"]
)
ANYTHING = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1)


@given(ANYTHING)
def test_nothing_in_a_text_with_a_scheme_is_split(rest: str) -> None:
    """Unless what follows a comma begins a new spec: a scheme, a path, a folder with a name."""
    rest = re.sub(r",\s*(?=[.~])", "", re.sub(r"[:/\\]", "", rest)).strip(" ,")
    assume(rest)
    assert split_specs([f"mine:{rest}"]) == (f"mine:{rest}",)
    assert parse(f"name=mine:{rest}", others=True) == (ModelSpec("name", f"mine:{rest}", SourceKind.OTHER),)


@given(st.lists(PLAIN, min_size=1))
def test_a_list_of_plain_specs_is_split_at_every_comma(specs: list[str]) -> None:
    """Hub ids, folders, `echo:` and MLflow's URIs hold no commas, so lists of them are what they seem."""
    assert split_specs([",".join(specs)]) == tuple(specs)


@given(st.lists(st.one_of(PLAIN, ANYTHING.map("mine:{}".format)), min_size=1))
def test_specs_are_split_once_and_can_be_joined_again(texts: list[str]) -> None:
    """What was split is not split further, and the command that repeats a run names the same models."""
    specs = split_specs(texts)
    assert split_specs(specs) == specs
    assert split_specs(join_specs(specs)) == specs


def test_parameters_are_no_secrets() -> None:
    """They are shown, where the query of any other address is not."""
    (spec,) = parse("m=echo:?drift=0.1&delay=1e-2")
    for text in (shown_spec(spec), source_without_secrets("m=echo:?drift=0.1&delay=1e-2")):
        assert text.endswith("echo:?drift=0.1&delay=1e-2")
    message = "model 'm' (echo:?drift=0.1): no"
    assert in_text_without_secrets(message) == message
    assert source_without_secrets("echo:?key=SECRET&drift=0.1") == "echo:"
    assert "SECRET" not in in_text_without_secrets("echo:?drift=1&key=SECRET, http://u:SECRET@h/echo:?drift=1")
