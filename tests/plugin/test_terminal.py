"""The summary at the end of a run, as it stands on a terminal or in a log."""

from __future__ import annotations

import shlex

import mlflow
import pytest

from .suites import TEST, TRIVIA, Suite

HEADING = " model comparison "


def summary(result: pytest.RunResult) -> list[str]:
    """Our part of the output, from below its heading to pytest's list of failures."""
    lines = result.outlines
    start = next(at for at, line in enumerate(lines) if HEADING in line)
    return lines[start + 1 : next(at for at, line in enumerate(lines) if at > start and line.startswith("==="))]


def models(suite: Suite) -> list[str]:
    return [suite.spec("m", "tiny-gpt2-distil"), suite.spec("bigscience-bloom", "tiny-bloom")]


@pytest.mark.parametrize("columns", [80, 160])
def test_models_stand_side_by_side(suite: Suite, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beside models, only those that differ; a line per model; the commands to go on with. No line is wider."""
    monkeypatch.setenv("COLUMNS", str(columns))
    suite.trivia(recorded=True)
    result = suite.run(models=models(suite))
    verdict, *lines = summary(result)
    while lines.pop(0):
        pass
    assert verdict.startswith("m: weights changed. Log-probs of 18 tokens moved by ")
    assert lines[:5] == [
        "trivia  m                                bigscience-bloom",
        "──────────────────────────────────────────────────────────",
        "sky     ^ The sky is blue                ? The sky is blue",
        "hamlet  ^ Hamlet is a                    ? Hamlet is a",
        r"ice     ≠ [-Yes.\n\nQ:-]{+Ice is fire+}  ? No, froses are",
    ]
    assert lines[5] == "^ shifted likelihood   ≠ drifted   ? no baseline"
    assert all(len(line) <= columns or "--llm-models=" in line for line in lines)
    table = [line.split() for line in lines[7:10]]
    assert table[0][:8] == ["model", "cases", "identical", "shifted", "drifted", "missing", "drift", "rate"]
    assert ("tokens" in table[0]) == (columns > 80)
    assert table[1][:7] == ["m", "3", "0", "2", "1", "0", "33.3%"]
    assert table[2][:6] == ["bigscience-bloom", "3", "0", "0", "0", "3"]
    text = " ".join(" ".join(lines).replace("\\", "").split())
    named = shlex.quote(f"--llm-models={','.join(models(suite))}")
    accept = f"Accept 6 (1 drifted, 3 missing, 2 shifted): pytest {named} --llm-update"
    assert f"{accept} or: llmcompare review Record 3: " in text
    assert f"Record 3: pytest {named} --llm-update-missing" in text


def test_verbose_shows_every_row(suite: Suite) -> None:
    """Rows without a difference are counted; `-v` shows them."""
    suite.trivia(recorded=True)
    model = [suite.spec("m", "tiny-gpt2-distil")]
    shown = summary(suite.run(models=model))
    shown = shown[shown.index("") + 1 :]
    assert shown[:4] == [
        "trivia  m",
        "───────────────────────────────────────",
        r"ice     ≠ [-Yes.\n\nQ:-]{+Ice is fire+}",
        "and 2 prompts without a difference (-v shows all)",
    ]
    rows = summary(suite.run("-v", models=model))
    rows = rows[rows.index("") + 1 :]
    assert [row.split()[0] for row in rows[2:5]] == ["sky", "hamlet", "ice"]


def test_quiet_shows_the_counts(suite: Suite) -> None:
    """`-q` leaves the table out and the counts in."""
    suite.trivia(recorded=True)
    lines = summary(suite.run("-q", models=[suite.spec("m", "tiny-gpt2-distil")]))
    lines = lines[lines.index("") + 1 :]
    assert [line.split()[0] for line in lines] == ["model", "m", "1"]


def test_colour_only_where_it_is_wanted(suite: Suite) -> None:
    """Piped output has no colour; with colour the same words stand there."""
    suite.trivia(recorded=True)
    model = [suite.spec("m", "tiny-gpt2-distil")]
    plain = suite.run(models=model)
    assert "\x1b" not in plain.stdout.str()
    coloured = suite.run("--color=yes", models=model)
    assert (
        "ice     \x1b[31m≠\x1b[0m \x1b[31m[-Yes.\\n\\nQ:-]\x1b[0m\x1b[32m{+Ice is fire+}\x1b[0m"
        in coloured.stdout.str()
    )


ECHO = """
import mlflow

class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str], params=None) -> list[str]:
        return model_input

mlflow.models.set_model(Echo())
"""

HOSTILE = [
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "::error file=a.py::pwned",
    "fine\n::error::pwned on a line of its own",
    "##[group]hidden and ##vso[task.complete result=Failed]",
    "left \u202eright\u202c\u2066 and back",
    "carriage\rFAKE PASSED",
    "\x9b31m and \x00 and \x08\x08\x08",
    "zero\u200bwidth\ufeff",
]


def test_text_of_a_model_cannot_act(suite: Suite) -> None:
    """Escape sequences, workflow commands, overrides and line breaks of a model are shown, not obeyed."""
    with mlflow.start_run(experiment_id=mlflow.create_experiment("hostile")) as run:
        path = suite.write("echo.py", ECHO)
        mlflow.pyfunc.log_model(name="echo", python_model=str(path), pip_requirements=[])
    rows = [{"id": f"h{at}", "prompt": text} for at, text in enumerate(HOSTILE)]
    suite.trivia(rows, TEST.replace(", llm_baseline", ", llm_baseline, llm_case"))
    result = suite.run("-v", "-rA", "--junitxml=report.xml", models=[f"e=runs:/{run.info.run_id}/echo"])
    result.assert_outcomes(failed=len(HOSTILE))
    text = result.stdout.str()
    for char in "\x1b\x07\x9b\x00\x08\r\u202e\u202c\u2066\u200b\ufeff":
        assert char not in text, repr(char)
    for line in result.outlines:
        assert not line.lstrip().startswith("::")
        assert not line.lstrip().startswith("FAKE")
        assert "##[" not in line.replace("prompt='##[", "")
        assert "##vso[" not in line
    assert r"\x1b[31mred" in text


def test_nothing_to_say_says_nothing(suite: Suite) -> None:
    """Without models or failures of ours there is no section."""
    suite.trivia(TRIVIA[:1], recorded=True)
    suite.write("test_plain.py", "def test_plain(): ...")
    result = suite.run("test_plain.py", models=[])
    assert HEADING not in result.stdout.str()
