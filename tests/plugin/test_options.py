"""Options and settings: where they come from, which wins, and what a wrong one says."""

from __future__ import annotations

import pytest

from .suites import TRIVIA, Suite, says

USAGE = pytest.ExitCode.USAGE_ERROR


def header(result: pytest.RunResult) -> list[str]:
    """Our lines in the header of a run."""
    return [line.removeprefix("llmcompare: ") for line in result.outlines if line.startswith("llmcompare: ")]


def test_help_tells_every_option(suite: Suite) -> None:
    """`pytest --help` has a group of ours that tells each option, and `--markers` the marker."""
    text = " ".join(suite.run("--help", models=[]).stdout.str().split())
    assert "comparison of language models (pytest-llmcompare):" in text
    for told in (
        "--llm-models=A,B models to compare, comma-separated, repeatable: [NAME=]SOURCE[@REVISION]",
        "--llm-update write today's outputs as baselines where they drifted, shifted, are missing or stale; deletes",
        "--llm-update-missing write baselines only where there is none yet",
        "--llm-update-all like --llm-update, also for near ties, and record log-probs and environment of unchanged",
        "of unchanged baselines anew",
        "--llm-prune delete baselines of rows that the tables no longer have",
        "--llm-prune=yes the same, even if that is more than 20% of a file",
        "--llm-baseline=SOURCE where baselines come from: files (the default), git:REF (as in that commit),",
        "--llm-device=DEVICE cpu, cuda, cuda:1, auto (default: a GPU if there is one; env LLMCOMPARE_DEVICE)",
        "--llm-dtype=DTYPE auto, float32, bfloat16, float16 (default: the checkpoint's own; env LLMCOMPARE_DTYPE)",
        "--llm-batch-size=N most prompts in a forward pass (env LLMCOMPARE_BATCH_SIZE)",
        "--llm-tolerance=NATS largest margin, the log-prob difference of two tokens, that counts as a near",
        "--llm-cache=HOW on (the default): answers of an unchanged model come from the cache in .llmcompare/answers;",
        "--llm-shift=HOW warn (the default) or fail if a model, or the log-probs of an output, changed (env",
        "--llm-drift-budget=PCT percentage of each model's cases that may drift: drifted cases do not fail their tests",
        "too many fail the run (env LLMCOMPARE_DRIFT_BUDGET)",
        "--llm-report=PATH write a report of the run to a file that ends in .html, .md or .json; repeatable; github",
        "--llm-tracking-uri=URI MLflow tracking store (default: MLFLOW_TRACKING_URI, or MLflow's own; env",
    ):
        assert told in text
    suite.run("--markers", models=[]).stdout.fnmatch_lines(["@pytest.mark.llm_prompts(table, [*], name, *"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--llm-modles=echo:", "there is no option --llm-modles. Did you mean '--llm-models'?"),
        ("--llm-updte", "there is no option --llm-updte. Did you mean '--llm-update'?"),
        ("--llm-prune=no", "expected --llm-prune or --llm-prune=yes. To switch it off, leave it out."),
        ("--llm-update=yes", "expected --llm-update. To switch it off, leave it out."),
    ],
)
def test_misspelt_options(suite: Suite, option: str, message: str) -> None:
    """A usage error that names the nearest option, or what a flag may be."""
    suite.trivia()
    result = suite.run(option, models=[])
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([f"*: {message}"])


def test_flags_with_a_value_in_a_configuration(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in `addopts` and PYTEST_ADDOPTS."""
    suite.trivia()
    suite.write("pytest.ini", "[pytest]\naddopts = --llm-prune=maybe\n")
    suite.run(models=[]).stderr.fnmatch_lines(["ERROR: --llm-prune=maybe: expected --llm-prune or *"])
    suite.write("pytest.ini", "[pytest]\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--llm-update-all=on")
    result = suite.run(models=[])
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["ERROR: --llm-update-all=on: expected --llm-update-all. *"])


def test_options_of_others_may_begin_as_ours_do(suite: Suite) -> None:
    """An option that a `conftest.py` declares is accepted."""
    suite.trivia()
    suite.write("conftest.py", 'def pytest_addoption(parser):\n    parser.addoption("--llm-judge")\n')
    assert suite.run("--llm-judge=strict", "--collect-only").ret == pytest.ExitCode.OK


def test_header_shows_what_is_not_default_and_its_origin(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is shown with its value and where it came from."""
    suite.trivia()
    suite.write("pyproject.toml", '[tool.llmcompare]\ndtype = "float32"\n')
    monkeypatch.setenv("LLMCOMPARE_DEVICE", "cpu")
    result = suite.run("--llm-batch-size=2", "--llm-update", "--llm-prune", "--collect-only")
    (line,) = header(result)
    assert line.split("; ") == [
        f"models: {suite.spec()} (command line)",
        "device: cpu (LLMCOMPARE_DEVICE)",
        "dtype: float32 (pyproject.toml)",
        "batch size: 2 (command line)",
        "--llm-update writes baselines",
        "--llm-prune deletes obsolete baselines",
    ]


def test_header_hides_passwords(suite: Suite) -> None:
    """The password of a tracking server is not printed."""
    result = suite.run("--llm-tracking-uri=https://me:hush@mlflow.example", "--collect-only", models=[])
    assert header(result) == ["tracking uri: https://mlflow.example (command line)"]
    result.stdout.no_fnmatch_line("*hush*")


def test_command_line_beats_environment_beats_file(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearer source wins, setting by setting."""
    suite.trivia(TRIVIA[:1])
    suite.write(
        "pyproject.toml",
        f"""
        [tool.llmcompare]
        default_models = ["{suite.spec("file")}"]
        dtype = "bfloat16"
        """,
    )
    from_file = suite.run("--collect-only", models=[])
    assert says(from_file, f"llmcompare: models: {suite.spec('file')} (pyproject.toml); dtype: bfloat16 (")
    monkeypatch.setenv("LLMCOMPARE_MODELS", suite.spec("env"))
    monkeypatch.setenv("LLMCOMPARE_DTYPE", "float16")
    from_env = suite.run("--collect-only", models=[])
    assert says(from_env, f"llmcompare: models: {suite.spec('env')} (LLMCOMPARE_MODELS); dtype: float16 (")
    from_env.stdout.fnmatch_lines(["*<Function test_trivia[[]env-sky[]]>"])
    from_command = suite.run("--collect-only", "--llm-dtype=float32")
    assert says(from_command, f"llmcompare: models: {suite.spec('m')} (command line); dtype: float32 (")


def test_models_are_repeatable_and_comma_separated(suite: Suite) -> None:
    """`--llm-models=A,B --llm-models=C` compares three models."""
    suite.trivia(TRIVIA[:1])
    tests = suite.collect(f"--llm-models={suite.spec('c')}", models=[suite.spec("a"), suite.spec("b")])
    assert tests == [f"test_trivia.py::test_trivia[{name}-sky]" for name in "abc"]


def test_named_models_hold_by_themselves(suite: Suite) -> None:
    """Without a list, a run compares every `[tool.llmcompare.models.NAME]`; one of them is picked by its name."""
    suite.trivia(TRIVIA[:1])
    suite.write(
        "pyproject.toml",
        f"""
        [tool.llmcompare.models.small]
        source = "{suite.models / "tiny-gpt2-distil"}"

        [tool.llmcompare.models.large]
        source = "{suite.models / "tiny-gpt2"}"
        """,
    )
    assert suite.collect(models=[]) == [f"test_trivia.py::test_trivia[{name}-sky]" for name in ("small", "large")]
    assert suite.collect(models=["large"]) == ["test_trivia.py::test_trivia[large-sky]"]


FAULTS = {
    "unknown dtype": (["--llm-dtype=bfloat61"], "", "dtype 'bfloat61' (command line) is not known. Did you mean *"),
    "batch size that is no number": (["--llm-batch-size=many"], "", "*--llm-batch-size: invalid int value: 'many'"),
    "negative batch size": (["--llm-batch-size=-1"], "", "batch size -1 (command line) must be 1 or more, or 0 to *"),
    "two updates": (
        ["--llm-update", "--llm-update-all"],
        "",
        "--llm-update and --llm-update-all exclude each other: give one of them.",
    ),
    "faulty model": (["--llm-models=qa="], "", "model spec 'qa=': there is no source after '='. Expected a hub id *"),
    "two models of one name": (["--llm-models=a=gpt2,a=distilgpt2"], "", "*'a'*"),
    "unknown key": ([], "batchsize = 3", "[[]tool.llmcompare] in *pyproject.toml: unknown key 'batchsize'. Did you *"),
    "value of a wrong type": ([], "device = 3", "[[]tool.llmcompare] in *: device = 3, expected text such as *"),
    "models instead of default_models": ([], 'models = ["gpt2"]', "[[]tool.llmcompare] in *use default_models*"),
    "named model without source": ([], "[tool.llmcompare.models.qa]\ndtype = 'auto'", "[[]tool.llmcompare.models.qa]*"),
    "broken TOML": ([], "device = ", "*pyproject.toml: Invalid value *"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_wrong_settings_end_the_run(suite: Suite, what: str) -> None:
    """A wrong option or file entry is a usage error, before anything is collected."""
    options, content, message = FAULTS[what]
    suite.trivia()
    suite.write("pyproject.toml", f"[tool.llmcompare]\n{content}\n")
    result = suite.run(*options, models=[])
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([f"ERROR: {message}" if not message.startswith("*") else message])
    result.stdout.no_fnmatch_line("*collected*")


def test_wrong_environment_variable_is_named(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that holds no number ends the run with its name and value."""
    monkeypatch.setenv("LLMCOMPARE_BATCH_SIZE", "many")
    result = suite.run(models=[])
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["ERROR: LLMCOMPARE_BATCH_SIZE: batch_size = 'many', expected a whole number."])


@pytest.mark.parametrize(("name", "near"), [("LLMCOMPARE_MODLES", "LLMCOMPARE_MODELS"), ("LLMCOMPARE_HOME_PAGE", "")])
def test_misspelt_environment_variable_is_named(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    """A variable that would set nothing ends the run; one that is unlike ours is none of our business."""
    monkeypatch.setenv(name, "gpt2")
    result = suite.run(models=[])
    if near:
        assert result.ret == USAGE
        result.stderr.fnmatch_lines([f"ERROR: there is no environment variable {name}. Did you mean '{near}'?"])
    else:
        assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_without_models_tests_fail_with_the_way_out(suite: Suite) -> None:
    """Nothing to compare is a failure of the test, never a pass or a skip."""
    suite.trivia()
    result = suite.run(models=[])
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "no models to compare. Name them with --llm-models=gpt2-large,distilgpt2, as default_models or [[]tool.*",
            "ERROR test_trivia.py::test_trivia[[]no_models] - *",
        ]
    )


ACCEPTS = "llmcompare: this run in CI accepts {}: {} ({})"


@pytest.mark.parametrize(
    ("place", "option", "what", "origin"),
    [
        ("pytest.ini", "--llm-update", "everything", "addopts in pytest.ini"),
        ("environment", "--llm-update-all", "everything", "PYTEST_ADDOPTS"),
        ("pytest.ini", "--llm-update-missing", "every output without a baseline", "addopts in pytest.ini"),
        ("command line", "--llm-update", "", ""),
    ],
)
def test_an_update_that_nobody_typed_is_said_in_ci(
    suite: Suite, monkeypatch: pytest.MonkeyPatch, place: str, option: str, what: str, origin: str
) -> None:
    """The header says in one line that the run accepts, and where that came from; elsewhere than in CI it does not."""
    suite.write("test_plain.py", "def test_plain(): ...")
    if place == "pytest.ini":
        suite.write("pytest.ini", f"[pytest]\naddopts = -ra {option}\n")
    elif place == "environment":
        monkeypatch.setenv("PYTEST_ADDOPTS", f"-ra {option}")
    given = [option] if place == "command line" else []
    monkeypatch.setenv("CI", "true")
    lines = suite.run(*given, models=[]).outlines
    assert (ACCEPTS.format(what, option, origin) in lines) is bool(what)
    monkeypatch.setenv("CI", "false")
    assert "this run accepts" not in suite.run(*given, models=[]).stdout.str()


def test_models_of_the_file_may_go_unused(suite: Suite) -> None:
    """Models that the file names for all runs need not be compared by each of them."""
    suite.write("pyproject.toml", '[tool.llmcompare]\ndefault_models = ["gpt2"]\n')
    suite.write("test_plain.py", "def test_plain(): ...")
    result = suite.run(models=[])
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*model comparison*")


def test_a_suite_that_does_not_use_us_is_left_alone(suite: Suite) -> None:
    """No line of ours, no file of ours."""
    suite.write("test_plain.py", "def test_plain(tmp_path): ...\ndef test_bad(): assert 0")
    (suite.path / "mlflow.db").unlink()
    result = suite.run("-p", "no:cacheprovider", models=[])
    result.assert_outcomes(passed=1, failed=1)
    ours = [line for line in result.outlines if "llm" in line.lower() and not line.startswith(("plugins:", "rootdir:"))]
    assert ours == []
    names = {path.name for path in suite.path.iterdir()} - {"__pycache__"}
    assert names == {"test_plain.py"}
