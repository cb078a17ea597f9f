"""Text from a hostile server, in its answers and in its names: it acts nowhere, and a run with it can be repeated."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.plugin.suites import Suite

from .servers import Faulty

HOSTILE = "\x1b[31mred\x1b]0;t\x07 <script>alert(1)</script> ![x](http://h/x) |`a`| ::error::x\n##[error]y\u202e\x00\r"
LONE = "\ud800"
"""Half a character, which JSON can hold and UTF-8 cannot."""
REPORTS = ("html", "md", "json")


def answer(number: int, body: dict[str, Any]) -> bytes:
    """A completion whose text, names and tokens are hostile."""
    text = f"{HOSTILE}{LONE}" if "0" in body["prompt"] else HOSTILE
    token = {"id": 1, "token": text, "bytes": None, "logprob": -0.5}
    choice = {
        "index": 0,
        "text": text,
        "finish_reason": f"stop{HOSTILE}" if "1" in body["prompt"] else "stop",
        "logprobs": {"content": [{**token, "top_logprobs": [token, {**token, "id": 2, "logprob": -1.0}]}]},
    }
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    name = f"{HOSTILE}{LONE}"
    return json.dumps({"model": name, "system_fingerprint": name, "choices": [choice], "usage": usage}).encode()


def refusal(_: int, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return 400, {}, json.dumps({"error": {"message": HOSTILE + LONE}}).encode()


def outside_fences(markdown: str) -> list[str]:
    return [line for part in markdown.split("```")[::2] for line in part.splitlines()]


@pytest.mark.parametrize("refuses", [False, True])
def test_it_acts_nowhere(suite: Suite, refuses: bool) -> None:
    """Neither on the terminal nor in a report, whether it is an answer, a name, a fingerprint or an error."""
    suite.trivia([{"id": f"q{number}", "prompt": f"Question {number}"} for number in range(3)])
    with Faulty(answer) as faulty:
        models = [f"m=openai:m@{faulty.url}"]
        if not refuses:
            suite.run("--llm-update", models=models).assert_outcomes(passed=3)
            stored = suite.stored()
        else:
            faulty.reply = lambda number, body: refusal(number, body) if number else answer(number, body)
        options = [f"--llm-report=report.{suffix}" for suffix in REPORTS]
        result = suite.run("-v", "--junitxml=junit.xml", *options, models=models)
    result.assert_outcomes(**({"errors": 3} if refuses else {"passed": 3}))
    if not refuses:
        assert suite.stored() == stored
    shown = result.stdout.str() + result.stderr.str()
    files = {
        name: (suite.path / name).read_text(encoding="utf-8") for name in ("report.html", "report.md", "junit.xml")
    }
    for text in (shown, *files.values()):
        assert not {"\x1b", "\x00", "\x07", "\u202e"} & set(text)
    assert not any(line.startswith(("::error", "##[error]")) for line in shown.splitlines())
    assert "<script>alert" not in files["report.html"]
    assert not any("<script>" in line for line in outside_fences(files["report.md"]))
    ElementTree.fromstring(files["junit.xml"])
    assert json.loads((suite.path / "report.json").read_text(encoding="utf-8"))["models"]
