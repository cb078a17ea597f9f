"""`eval_results_table.json` of any run: matched with the rows of a table, and never with a guess."""

from __future__ import annotations

import json

import pytest

from pytest_llmcompare.baselines.sources import results_table
from pytest_llmcompare.baselines.store import BaselineSet
from pytest_llmcompare.comparison.judge import stale_reason
from pytest_llmcompare.errors import BaselineError
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row, RowKey

GROUP = GroupKey("tests", "trivia", "m")
SKY, ICE = "Q: Sky?\nA:", "Q: Ice?\nA:"


def case(prompt_id: str, prompt: str, variant: str = "", examples: str = "") -> Case:
    return Case(CaseKey(GROUP, prompt_id, variant), Row(prompt_id, prompt), examples, {}, seed=0)


CASES = [case("sky", SKY), case("ice", ICE)]
TWO_OUTPUTS = "runs:/1 has different outputs for 'sky' in rows 1, 2 of eval_results_table.json, so none of them counts"


def table(**columns: list[object]) -> str:
    rows = list(zip(*columns.values(), strict=True))
    return json.dumps({"columns": list(columns), "data": rows})


def matched(text: str, cases: list[Case] | None = None) -> BaselineSet:
    return results_table.matched(results_table.read(text, "runs:/1/t.json"), cases or CASES, "runs:/1")


def texts(found: BaselineSet) -> dict[str, str]:
    return {str(row): baseline.generation.text for row, baseline in found.baselines.items()}


@pytest.mark.parametrize("outputs", results_table.OUTPUTS)
@pytest.mark.parametrize("prompts", results_table.PROMPTS)
def test_by_prompt(outputs: str, prompts: str) -> None:
    """Whatever the columns are called, in whatever order the rows are; what is not there has none."""
    columns: dict[str, list[object]] = {prompts: [ICE, "other"], outputs: [" Cold.", " x"], "score": [1, 2]}
    found = matched(table(**columns))
    assert texts(found) == {"ice": " Cold."}
    assert found.lacking == "runs:/1 has no output for this case"
    baseline = found.baselines[RowKey("ice")]
    assert baseline.generation.token_ids is None
    assert stale_reason(CASES[1], baseline) == ""


def test_prompts_with_their_examples() -> None:
    """A table whose prompts hold the examples is matched by the whole prompt."""
    cases = [case("sky", SKY, examples="Q: Tea?\nA: Hot.\n\n")]
    assert texts(matched(table(inputs=[cases[0].prompt], outputs=[" Blue."]), cases)) == {"sky": " Blue."}


def test_by_name() -> None:
    """Names and variants count before prompts; a row with another prompt than then is stale."""
    cases = [*CASES, case("sky", SKY, "hot")]
    found = matched(
        table(
            prompt_id=["sky", "sky", "ice"],
            variant=["", "hot", None],
            input_text=[SKY, SKY, "Q: Is ice hot?\nA:"],
            outputs=[" Blue.", " Red.", " No."],
        ),
        cases,
    )
    assert texts(found) == {"sky": " Blue.", "sky@hot": " Red.", "ice": " No."}
    stale = {str(one.key.row): stale_reason(one, found.baselines[one.key.row]) for one in cases}
    assert stale == {
        "sky": "",
        "sky@hot": "",
        "ice": "the prompt or its examples changed since the baseline was recorded",
    }


def test_two_outputs_for_one_prompt() -> None:
    """Which of them counts nobody knows, so none does; equal ones are one."""
    found = matched(table(prompt=[SKY, SKY, ICE, ICE], outputs=[" Blue.", " Red.", " Cold.", " Cold."]))
    assert texts(found) == {"ice": " Cold."}
    assert found.faults == {RowKey("sky"): TWO_OUTPUTS}


def test_two_outputs_for_one_name() -> None:
    """The same holds where rows have names."""
    found = matched(
        table(
            prompt_id=["sky", "sky", "ice", "ice"],
            input_text=[SKY, SKY, ICE, ICE],
            outputs=[" Blue.", " Red.", " Cold.", " Cold."],
        )
    )
    assert texts(found) == {"ice": " Cold."}
    assert found.faults == {RowKey("sky"): TWO_OUTPUTS}


def test_what_is_no_text_is_no_output() -> None:
    """A row that failed has none."""
    assert texts(matched(table(prompt=[SKY, ICE], outputs=[None, " Cold."]))) == {"ice": " Cold."}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "this is not a results table of mlflow.models.evaluate."),
        (b'{"\xff', "is not UTF-8: byte 0xff at position 2."),
        pytest.param("[" * 100_000, "this is not a results table of mlflow.models.evaluate.", id="deep"),
        ("[1]", "this is not a results table of mlflow.models.evaluate."),
        ('{"columns": ["a"], "data": [[1, 2]]}', "this is not a results table of mlflow.models.evaluate."),
        (
            table(prompt=[SKY], answer=[" Blue."]),
            (
                "no column with outputs. Expected one of outputs, predictions, prediction, output; "
                "there are prompt, answer."
            ),
        ),
        (
            table(question_text=[SKY], outputs=[" Blue."]),
            (
                "no column with prompts. Expected one of prompt_id, input_text, prompt, question, text, inputs; "
                "there are question_text, outputs."
            ),
        ),
    ],
)
def test_tables_that_cannot_be_used(text: str | bytes, message: str) -> None:
    """It says what was looked for and what there is."""
    with pytest.raises(BaselineError) as caught:
        results_table.read(text, "runs:/1/t.json")
    assert str(caught.value) == f"runs:/1/t.json: {message}"


def test_a_table_about_something_else() -> None:
    """Not a single row in common is an error, and not a table full of missing cases."""
    with pytest.raises(BaselineError) as caught:
        matched(table(prompt=["other"], outputs=[" x"]))
    assert str(caught.value) == "runs:/1 has none of the 2 prompts of table 'trivia'."
