"""Prompt tables in a run: what their files and columns are called and how their lines end changes no test."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from .suites import HAMLET, SKY, Suite

TEST = """
import pytest

@pytest.mark.llm_prompts({table!r}, gen_config={{"max_new_tokens": 6}}, model_type=None{more})
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""


def in_table(suite: Suite, name: str, data: bytes, more: str = "") -> None:
    """The one test of the suite, on a table of its own."""
    (suite.path / name).write_bytes(data)
    suite.write("test_trivia.py", TEST.format(table=name, more=more))


def test_line_ends_and_kinds_of_files_make_no_baseline_stale(suite: Suite) -> None:
    """Recorded from a CSV as Unix writes it; Windows', Excel's and packed JSON Lines ask the same."""
    text = f'id,prompt\nsky,"{SKY}"\nhamlet,"{HAMLET}"\n'
    in_table(suite, "trivia.csv", text.encode())
    suite.run("--llm-update").assert_outcomes(passed=2)
    rows = [json.dumps({" ID": name, "Prompt": prompt}) for name, prompt in (("sky", SKY), ("hamlet", HAMLET))]
    excel = f"\ufeffsep=;\n{text.replace(',', ';')};\n;\n".replace("\n", "\r\n")
    tables = {
        "trivia.csv": [text.replace("\n", "\r\n").encode(), text.replace("\n", "\r").encode(), excel.encode()],
        "trivia.jsonl.gz": [gzip.compress("\n".join(rows).encode())],
    }
    for name, versions in tables.items():
        for data in versions:
            in_table(suite, name, data)
            suite.run().assert_outcomes(passed=2)


def test_made_ids_of_other_scripts_name_tests_that_can_be_selected(suite: Suite) -> None:
    """pytest escapes them, baseline files do not; digits, and the name that pytest prints, find one test."""
    in_table(suite, "trivia.jsonl", b"\n".join(json.dumps(text).encode() for text in ("你好", "ما هو لون السماء؟")))
    suite.run("--llm-update").assert_outcomes(passed=2)
    sky, greeting = suite.cases()
    assert re.fullmatch("你好_[0-9a-f]{6}", greeting)
    assert re.fullmatch("ما_هو_لون_السماء_[0-9a-f]{6}", sky)
    printed = [line for line in suite.collect() if "test_trivia[" in line]
    assert [line.rpartition("_")[2] for line in printed] == [f"{name.rpartition('_')[2]}]" for name in (greeting, sky)]
    assert all(line.isascii() for line in printed)
    suite.run(printed[0]).assert_outcomes(passed=1)
    suite.run("-k", greeting.rpartition("_")[2]).assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize(
    ("header", "row", "said"),
    [
        ("prompt,targets", "x,y", "column 'targets' is not read. Did you mean 'target'?"),
        ("prompt,max_new_tokens", "x,3", "column 'max_new_tokens' is named like the decoding setting*config_dict'?"),
        ("prompt,expects", "x,contains: y", "column 'expects' is not read. Did you mean 'expect'?"),
        ("prompt,assert", "x,contains: y", "column 'assert' is not read. Did you mean 'expect'?"),
    ],
)
def test_a_column_that_would_do_nothing_is_an_error_at_collection(
    suite: Suite, header: str, row: str, said: str
) -> None:
    in_table(suite, "trivia.csv", f"{header}\n{row}\n".encode())
    result = suite.run("-q")
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*test_trivia: trivia.csv, line 1: {said}*"])
