"""Assertions on `llm_output` as one writes them of a text: they hold, and a failed one says what differs."""

from __future__ import annotations

from .suites import SKY, Suite, said

TEST = f"""
import json
import re

import pytest

marked = pytest.mark.llm_prompts(
    [dict(id="sky", prompt={SKY!r}, target="The sky is blue.")],
    name="sky",
    gen_config=dict(max_new_tokens=24, stop_strings="."),
    model_type=None,
)
"""
HOLD = """
@marked
def test_hold(llm_output, llm_case):
    assert llm_output
    assert "blue" in llm_output
    assert llm_output == " The sky is blue."
    assert " The sky is blue." == llm_output
    assert llm_output != "blue"
    assert len(llm_output) == 17
    assert llm_output.strip() == llm_case.target
    assert llm_output.strip().lower().startswith("the sky")
    assert llm_output.split()[-1] == "blue."
    assert re.search("bl.e", llm_output)
    assert json.loads(f'"{llm_output}"') == llm_output
    assert llm_output in (" The sky is blue.", "Blue.")
    assert sorted(llm_output)[0] == " "
    assert {llm_output: 1}[" The sky is blue."] == 1
"""
FAIL = """
@marked
@pytest.mark.parametrize("nothing", [0])
def test_target(llm_output, llm_case, nothing):
    assert llm_output == llm_case.target

@marked
def test_in(llm_output):
    assert "grey" in llm_output

@marked
def test_type(llm_output):
    assert llm_output == 4

@marked
def test_absent(llm_output):
    assert "blue" not in llm_output, "a message of one's own"
"""


def test_they_hold(suite: Suite) -> None:
    """Whatever one does with a text."""
    suite.write("test_sky.py", TEST + HOLD)
    suite.run().assert_outcomes(passed=1)


def test_a_failed_one_says_what_differs(suite: Suite) -> None:
    """In the words of the assertion, with both texts."""
    suite.write("test_sky.py", TEST + FAIL)
    result = suite.run()
    result.assert_outcomes(failed=4)
    assert said(result, "the output begins with a blank").endswith("compare llm_output.strip()")
    assert said(result, "not in the output: 'grey'")
    assert said(result, "llm_output is text (str), the other is int")
    assert said(result, "it is at character 13 of the output")
    assert "a message of one's own" in result.stdout.str()
