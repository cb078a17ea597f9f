"""`--llm-baseline`: a commit, an MLflow run or another model of the run in the place of the files, and only read."""

from __future__ import annotations

import json
import shlex

import mlflow
import pytest

from pytest_llmcompare.cli.main import main
from tests.repositories import commit, git, init

from .suites import TEST, TRIVIA, Suite, said

DISTIL, BLOOM = "tiny-gpt2-distil", "tiny-bloom"
USAGE = pytest.ExitCode.USAGE_ERROR
FILE = "__baselines__/trivia/m.baseline"


@pytest.fixture
def repository(suite: Suite) -> Suite:
    """A suite in git, whose `main` has the baselines of `m`."""
    suite.trivia(recorded=True)
    suite.write(".gitignore", "*.db\nmlruns/\n.llmcompare/\n")
    init(suite.path)
    commit(suite.path)
    return suite


def shown(result: pytest.RunResult) -> str:
    """All that a run printed, on one line."""
    return " ".join((result.stdout.str() + result.stderr.str()).split())


def refused(result: pytest.RunResult) -> str:
    """What a run says that ends before it begins."""
    assert result.ret == USAGE
    return "\n".join(line.removeprefix("ERROR: ") for line in result.errlines if line)


def waiting(suite: Suite) -> list[str]:
    """The cases that wait for review."""
    path = suite.path / ".llmcompare" / "pending.jsonl"
    lines = path.read_text("ascii").splitlines() if path.exists() else []
    return [json.loads(line)["key"]["prompt_id"] for line in lines]


def title(suite: Suite, ref: str = "main") -> str:
    return f"git:{ref} ({git(suite.path, 'rev-parse', ref)[:8]})"


def test_a_change_cannot_edit_what_it_is_measured_against(repository: Suite) -> None:
    """Baselines that a branch has updated for its own model pass by the files, and fail by those of `main`."""
    model = repository.spec("m", DISTIL)
    git(repository.path, "checkout", "-q", "-b", "topic")
    repository.run("--llm-update", models=[model]).assert_outcomes(passed=3)
    commit(repository.path)
    before = repository.stored()
    repository.run(models=[model]).assert_outcomes(passed=3)
    result = repository.run("--llm-baseline=git:main", models=[model])
    result.assert_outcomes(passed=2, failed=1)
    source = title(repository)
    result.stdout.fnmatch_lines([f"llmcompare: models: *; baseline: {source} (command line)"])
    assert f" baselines: {source} " in shown(result)
    assert (
        f"3 of the outputs that differ from {source} are in the baseline files already, so they do not wait for "
        "review." in shown(result)
    )
    assert repository.stored() == before
    assert waiting(repository) == []


def test_what_differs_from_a_commit_is_accepted_into_the_files(repository: Suite) -> None:
    """As after any run; then the files have it, and `main` not before it is there."""
    model = repository.spec("m", DISTIL)
    repository.run("--llm-baseline=git:main", models=[model]).assert_outcomes(passed=2, failed=1)
    assert sorted(waiting(repository)) == ["hamlet", "ice", "sky"]
    assert title(repository) in (repository.path / ".llmcompare" / "pending.jsonl").read_text("ascii")
    assert main(["accept", "--all"]) == 0
    repository.run(models=[model]).assert_outcomes(passed=3)
    repository.run("--llm-baseline=git:main", models=[model]).assert_outcomes(passed=2, failed=1)
    commit(repository.path)
    repository.run("--llm-baseline=git:main", models=[model]).assert_outcomes(passed=3)


def test_accepting_replaces_what_the_files_said_at_the_run(
    repository: Suite, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that differ from the commit are no obstacle; files that have changed since the run are one."""
    model = repository.spec("m", DISTIL)
    path = repository.path / FILE
    path.write_text(path.read_text().replace("| Yes.", "| Edited."))
    repository.run("--llm-baseline=git:main", "-k", "ice", models=[model]).assert_outcomes(failed=1)
    edited = path.read_text()
    path.write_text(edited.replace("| Edited.", "| Again."))
    assert main(["accept", "--all"]) == 1
    assert "its baseline is no longer the one that this output was compared with" in capsys.readouterr().err
    path.write_text(edited)
    assert main(["accept", "--all"]) == 0
    assert "| Ice is fire" in path.read_text()


def test_a_damaged_file_keeps_nothing_of_the_others_from_waiting(repository: Suite) -> None:
    """What is to be accepted into it does not wait, which is said once; what belongs into other files does."""
    path = repository.path / FILE
    path.write_text(path.read_text().replace(".input", ".inptu"))
    models = [repository.spec("m", DISTIL), repository.spec("n", DISTIL)]
    result = repository.run("--llm-baseline=git:main", models=models)
    result.assert_outcomes(passed=2, failed=4)
    assert sorted(waiting(repository)) == ["hamlet", "ice", "sky"]
    assert shown(result).count(f"{FILE}, line 9: there is no fact '.inptu'.") == 1
    assert shown(result).count("What differs there does not wait for review.") == 1


def test_a_match_with_a_commit_settles_nothing_about_the_files(repository: Suite) -> None:
    """An output that is that of `main` still waits where the files say something else."""
    path = repository.path / FILE
    text = path.read_text()
    path.write_text(text.replace("| Yes.", "| Edited."))
    repository.run("-k", "ice").assert_outcomes(failed=1)
    repository.run("--llm-baseline=git:main").assert_outcomes(passed=3)
    assert waiting(repository) == ["ice"]
    path.write_text(text)
    repository.run("--llm-baseline=git:main").assert_outcomes(passed=3)
    assert waiting(repository) == []


def test_what_a_commit_lacks_is_missing(repository: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or a case that is in the working tree alone does not count; the command records into the files."""
    monkeypatch.setenv("LLMCOMPARE_BASELINE", "git:main")
    new = {"id": "new", "prompt": "Q: What is 2+2?\nA:"}
    repository.trivia([*TRIVIA[:1], new])
    repository.run("--llm-baseline=files", "--llm-update", models=[repository.spec(), repository.spec("d", DISTIL)])
    result = repository.run("-v", models=[repository.spec(), repository.spec("d", DISTIL)])
    result.assert_outcomes(passed=1, failed=3)
    source = title(repository)
    text = shown(result)
    assert f"missing: {source} has no baseline for this case in {FILE}" in text
    assert f"missing: {source} has no __baselines__/trivia/d.baseline" in text
    assert text.count("Record it, and commit it to main.") == 3
    models = f"{repository.spec()},{repository.spec('d', DISTIL)}"
    node = "test_trivia.py::test_trivia[d-new]"
    command = ["pytest", f"--llm-models={models}", "--llm-baseline=files", "--llm-update", node]
    assert f"Record: {shlex.join(command)}" in text
    assert f"baseline: {source} (LLMCOMPARE_BASELINE)" in text


def test_baselines_of_rows_that_are_gone_are_not_looked_for_in_a_commit(repository: Suite) -> None:
    """Neither those of the commit, which cannot be deleted there, nor those of the files, which were not read."""
    repository.trivia(TRIVIA[:2])
    assert "obsolete" in shown(repository.run())
    assert "obsolete" not in shown(repository.run("--llm-baseline=git:main"))


def test_tests_below_the_top_of_the_repository(suite: Suite) -> None:
    """pytest's root folder may be anywhere in it."""
    (suite.path / "tests").mkdir()
    suite.trivia(recorded=True)
    for name in ("trivia.jsonl", "test_trivia.py", "__baselines__"):
        (suite.path / name).rename(suite.path / "tests" / name)
    init(suite.path)
    suite.write("tests/pytest.ini", "[pytest]\n")
    commit(suite.path)
    git(suite.path, "rm", "-rq", "tests/__baselines__")
    suite.run("--llm-baseline=git:HEAD", "tests").assert_outcomes(passed=3)


MOVES = """
import pytest
import subprocess

@pytest.hookimpl(trylast=True)
def pytest_configure_node(node):
    for command in ("rm -rq --cached __baselines__", "-c user.name=a -c user.email=a@b.c commit -qm gone"):
        subprocess.run(["git", *command.split()], check=True)
"""


OPENED = """
import pytest
from pytest_llmcompare.run.stash import SOURCE

@pytest.mark.llm_prompts(["Why?"])
def test_opened(pytestconfig, worker_id, llm_case):
    source = pytestconfig.stash[SOURCE]
    assert (worker_id, source.title, source.pinned) == {expected}
"""


@pytest.mark.parametrize("named_by", ["command line", "file"])
def test_a_worker_reads_the_commit_of_the_main_process(repository: Suite, named_by: str) -> None:
    """`main` moves to a commit without baselines before the worker starts, which has still opened the other one."""
    repository.write("conftest.py", MOVES)
    before, source = git(repository.path, "rev-parse", "main"), title(repository)
    test = repository.write("test_opened.py", OPENED.format(expected=("gw0", source, before)))
    in_file = 'baseline = "git:main"\n' if named_by == "file" else ""
    model = f"[tool.llmcompare.models.m]\nsource = '{repository.models / 'tiny-gpt2'}'\n"
    repository.write("pyproject.toml", f"[tool.llmcompare]\n{in_file}{model}")
    options = [] if in_file else ["--llm-baseline=git:main"]
    repository.run_apart("-n1", *options, test.name, models=[]).assert_outcomes(passed=1)
    assert title(repository) != source


@pytest.mark.parametrize("option", ["--llm-update", "--llm-update-missing", "--llm-update-all", "--llm-prune"])
def test_nothing_is_written_to_a_commit(repository: Suite, option: str) -> None:
    """It is refused with the commands that write files; nothing has changed."""
    before = repository.stored()
    result = repository.run("--llm-baseline=git:main", option)
    assert refused(result) == (
        f"{option} would change baselines, and those of {title(repository)} (command line) are only read.\n"
        f"To write today's outputs into files: {option} --llm-baseline=files\n"
        "To copy these baselines into files: git checkout main -- ':(top,glob)**/__baselines__/**'"
    )
    assert repository.stored() == before


FAULTS = {
    "unknown commit": (
        "git:mian",
        (
            "there is no branch, tag or commit 'mian' in the repository of {root}. Did you mean 'main'?\n"
            "See what there is: git branch --all; git tag"
        ),
    ),
    "no name": ("git:", "'' cannot name a commit. Name a branch, a tag or a commit: git:origin/main"),
    "option": ("git:--all", "'--all' cannot name a commit. Name a branch, a tag or a commit: git:origin/main"),
    "no run": ("runs:/a/b", "expected runs:/ID, the id of an MLflow run. `mlflow ui` shows it."),
    "no model": ("model:", "expected model:NAME, the name of one of the models of this run."),
    "unknown model": (
        "model:n",
        "there is no model 'n' in this run. Known: m.\nCompare it, too: {option}",
    ),
    "unknown kind": ("gti:main", "there is no such source of baselines. Known: files, git:REF, model:NAME, runs:/ID."),
    "a name": ("file", "there is no such source of baselines. Did you mean 'files'?"),
    "empty": ("", "there is no such source of baselines. Known: files, git:REF, model:NAME, runs:/ID."),
}


@pytest.mark.parametrize("name", FAULTS)
def test_sources_that_cannot_be_opened(repository: Suite, name: str) -> None:
    """The run ends before it begins, with the source, where it was given, and what to do."""
    source, message = FAULTS[name]
    result = repository.run(f"--llm-baseline={source}")
    told = message.format(root=repository.path, option=shlex.quote(f"--llm-models={repository.spec()},n"))
    assert refused(result) == f"baseline {source!r} (command line): {told}"


def test_a_source_in_the_file(suite: Suite) -> None:
    """`baseline` in `pyproject.toml` counts where nothing else is said, and its faults name the file."""
    suite.trivia(recorded=True)
    suite.write("pyproject.toml", '[tool.llmcompare]\nbaseline = "git:main"\n')
    assert refused(suite.run()).startswith("baseline 'git:main' (pyproject.toml): ")
    suite.run("--llm-baseline=files").assert_outcomes(passed=3)


def test_a_source_of_the_file_is_opened_where_a_test_needs_it(suite: Suite) -> None:
    """Tests that compare nothing run without the commit that the file names; files with tests of ours do not."""
    suite.trivia(recorded=True)
    suite.write("pyproject.toml", '[tool.llmcompare]\nbaseline = "git:main"\n')
    suite.write("test_other.py", "def test_one():\n    pass\n")
    suite.run("test_other.py", models=[]).assert_outcomes(passed=1)
    result = suite.run(models=[])
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "baseline 'git:main' (pyproject.toml): " in shown(result)
    assert refused(suite.run("--llm-update", models=[])).startswith("baseline 'git:main' (pyproject.toml): ")
    assert refused(suite.run("--llm-report=a.html", models=[])).startswith("baseline 'git:main' (pyproject.toml): ")


def test_commands_write_files_whatever_is_read_otherwise(repository: Suite) -> None:
    """Where the file names a commit and the command line overrides that, the command to record does so, too."""
    repository.write("pyproject.toml", '[tool.llmcompare]\nbaseline = "git:main"\n')
    repository.trivia([{"id": "new", "prompt": "Q: What is 2+2?\nA:"}])
    for source in ("files", "git:HEAD"):
        result = repository.run("-v", f"--llm-baseline={source}")
        result.assert_outcomes(failed=1)
        node = "test_trivia.py::test_trivia[m-new]"
        words = ["pytest", f"--llm-models={repository.spec()}", "--llm-baseline=files", "--llm-update", node]
        assert f"Record: {shlex.join(words)}" in shown(result)


def run_of(suite: Suite, model: str) -> str:
    """Id of the MLflow run of a model."""
    (found,) = (run for run in suite.mlflow_runs() if run.data.tags.get("llmcompare.model") == model)
    return str(found.info.run_id)


def test_an_earlier_run(suite: Suite) -> None:
    """The same model confirms its outputs in one pass, to the token; another one is compared by its likelihoods."""
    suite.trivia(test=TEST + "    assert llm_output.verified\n")
    suite.run("--llm-update", "-k", "nothing")
    suite.run()
    source = f"runs:/{run_of(suite, 'm')}"
    result = suite.run(f"--llm-baseline={source}")
    result.assert_outcomes(passed=3)
    assert f"table 'trivia', model 'm': compared with the outputs of model 'm' in {source}" in shown(result)
    assert f" baselines: {source} " in shown(result)
    assert waiting(suite) == ["sky", "hamlet", "ice"]  # as the first run left them: the files have nothing
    other = suite.run(f"--llm-baseline={source}", models=[suite.spec("d", DISTIL)])
    other.assert_outcomes(passed=2, failed=1)
    assert said(other, "drift ").startswith("drift @tok 1/")
    assert f"table 'trivia', model 'd': compared with the outputs of model 'm' in {source}" in shown(other)


def test_a_run_is_copied_into_files(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal names the command, and it makes the very files that an update had made."""
    suite.trivia()
    suite.run("--llm-update")
    before = suite.stored()
    source = f"runs:/{run_of(suite, 'm')}"
    for path in before:
        (suite.path / path).unlink()
    message = refused(suite.run("--llm-update", f"--llm-baseline={source}"))
    assert message.endswith(f"\nTo copy these baselines into files: llmcompare copy {source}")
    assert main(shlex.split(message.rpartition(": llmcompare ")[2])) == 0
    assert capsys.readouterr().out.endswith(f"{FILE}: 3 added\n")
    assert suite.stored() == before
    assert main(["copy", source, "--model=other"]) == 0
    assert list(suite.cases("__baselines__/trivia/other.baseline")) == list(suite.cases())


def test_what_cannot_be_copied(
    suite: Suite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is not there, one with texts alone, one of tests that are elsewhere, and what is no run at all."""
    suite.trivia(TRIVIA[:1])
    suite.run()
    source = f"runs:/{run_of(suite, 'm')}"
    client = mlflow.MlflowClient()
    texts = client.create_run("0").info.run_id
    client.log_dict(texts, {"columns": ["prompt", "outputs"], "data": [["a", "b"]]}, "eval_results_table.json")
    client.set_tag(source.removeprefix("runs:/"), "llmcompare.folder", "tests/deep")
    monkeypatch.setenv("LLMCOMPARE_TRACKING_URI", f"sqlite:///{suite.path / 'mlflow.db'}")
    faults = {
        "runs:/none": (1, " has no run 'none'."),
        f"runs:/{texts}": (
            1,
            f"runs:/{texts} has only the texts, not what was asked, so they cannot become baselines.",
        ),
        source: (
            1,
            f"{source}: the tests of table 'trivia' were in folder 'tests/deep', which is not in {suite.path}.",
        ),
        "git:main": (2, "expected runs:/ID, the id of an MLflow run. `mlflow ui` shows it."),
    }
    for given, (code, message) in faults.items():
        assert main(["copy", given]) == code
        assert message in capsys.readouterr().err
    assert suite.stored() == {}


@pytest.mark.parametrize("what", ["another table", "unknown", "empty", "damaged"])
def test_runs_that_have_nothing_to_compare_with(suite: Suite, what: str) -> None:
    """Each test of the table is an error that says why; none passes."""
    suite.trivia(TRIVIA[:1])
    if what == "another table":
        suite.run()
        run_id = run_of(suite, "m")
        suite.trivia(TRIVIA[:1], TEST.replace('"trivia.jsonl",', '"trivia.jsonl", name="geo",'))
        told = f"error: runs:/{run_id} holds the outputs of table 'trivia' and model 'm', not of table 'geo'."
        way_out = "Run the tests of 'trivia' alone, or name a run of 'geo'."
    elif what == "unknown":
        run_id = "0" * 32
        told, way_out = f" has no run '{run_id}'.", "Look with `mlflow ui`, or name another store with --llm-tracking-"
    elif what == "damaged":
        run_id = mlflow.MlflowClient().create_run("0").info.run_id
        mlflow.MlflowClient().log_text(run_id, "#llmcompare-baseline one\n", "llmcompare/outputs.baseline")
        told = f"error: runs:/{run_id}/llmcompare/outputs.baseline, line 1: "
        way_out = "It is not as it was logged. Name another run."
    else:
        run_id = mlflow.MlflowClient().create_run("0").info.run_id
        told = " keeps no outputs: it has neither llmcompare/outputs.baseline nor eval_results_table.json."
        way_out = "Name a run in which a model was evaluated. Look with `mlflow ui`, or name another store with"
    result = suite.run(f"--llm-baseline=runs:/{run_id}")
    result.assert_outcomes(failed=1)
    assert told in shown(result)
    assert way_out in shown(result)


def test_the_texts_of_any_run(suite: Suite) -> None:
    """A run that somebody evaluated by hand: its outputs are matched by prompt and compared by their texts."""
    suite.trivia()
    client = mlflow.MlflowClient()
    run_id = client.create_run("0").info.run_id
    rows = [[TRIVIA[0]["prompt"], " The sky is blue."], [TRIVIA[2]["prompt"], " No."]]
    client.log_dict(run_id, {"columns": ["inputs", "outputs"], "data": rows}, "eval_results_table.json")
    result = suite.run(f"--llm-baseline=runs:/{run_id}")
    result.assert_outcomes(passed=0, failed=3)
    text = shown(result)
    assert f"compared with the outputs of its model in runs:/{run_id}, by its text alone" in text
    assert f"missing: runs:/{run_id} has no output for this case" in text
    assert "drift @char 2/4 'No.' -> 'Yes.'" in text


def test_another_model_of_the_run(suite: Suite) -> None:
    """It is asked first and compared with nothing; the other one is compared with it, token by token, with drafts."""
    suite.trivia(test=TEST.replace("llm_output,", "llm_case, llm_output,") + "    assert llm_output.verified\n")
    models = [suite.spec("d", DISTIL), suite.spec("m")]
    result = suite.run("--llm-baseline=model:m", models=models)
    result.assert_outcomes(passed=2, failed=1, deselected=3)
    assert said(result, "drift ").startswith("drift @tok 1/")
    text = shown(result)
    assert "baselines: model:m; model 'm' is not compared itself, so its tests that compare are left out" in text
    starts = {run.data.tags["llmcompare.model"]: run.info.start_time for run in suite.mlflow_runs()}
    assert starts["m"] < starts["d"]
    assert suite.stored() == {}


def test_tests_that_do_not_compare_stay(suite: Suite) -> None:
    """Of the model that is the measure, only those tests are left out that ask for its baseline."""
    marker = TEST.partition("def ")[0].partition("import pytest\n")[2]
    suite.trivia(TRIVIA[:1], f"{TEST}{marker}def test_text(llm_output):\n    assert llm_output.text\n")
    result = suite.run("--llm-baseline=model:m", models=[suite.spec(), suite.spec("n")])
    result.assert_outcomes(passed=3, deselected=1)


def test_a_run_of_the_measure_alone_fails(suite: Suite) -> None:
    """Where no other model is compared, nothing is left out and nothing passes, whatever other tests there are."""
    suite.trivia(TRIVIA[:1], f"{TEST}\ndef test_other():\n    pass\n")
    result = suite.run("--llm-baseline=model:m")
    result.assert_outcomes(passed=1, failed=1)
    assert "model 'm' is the reference of this run (--llm-baseline), so it is not compared itself" in shown(result)


def test_one_model_after_the_other(suite: Suite) -> None:
    """The measure is asked all tables before any other model is, and no gate on drift holds it back."""
    suite.trivia(TRIVIA[:1], TEST.replace("model_type=None", 'model_type=None, thresholds={"drift_rate": "<=0.5"}'))
    suite.write("test_geo.py", TEST.replace("gen_config", 'name="geo", gen_config'))
    result = suite.run("--llm-baseline=model:m", models=[suite.spec("d", DISTIL), suite.spec("m")])
    result.assert_outcomes(passed=2, deselected=2)
    assert result.ret == 0
    runs = sorted(suite.mlflow_runs(), key=lambda run: run.info.start_time)
    assert [run.data.tags["llmcompare.model"] for run in runs] == ["m", "m", "d", "d"]


def test_another_tokenizer(suite: Suite) -> None:
    """Texts are compared: an equal one is the same, and the run says why tokens are of no use."""
    suite.trivia(TRIVIA[:1], TEST.replace('"max_new_tokens": 6', '"max_new_tokens": 24, "stop_strings": "."'))
    models = [suite.spec(), suite.spec("b", BLOOM)]
    result = suite.run("--llm-baseline=model:m", models=models)
    result.assert_outcomes(passed=1, deselected=1)
    told = "models 'b' and 'm' have different tokenizers, so their outputs are compared by their texts"
    assert told in shown(result)


def test_models_that_are_asked_otherwise(suite: Suite) -> None:
    """Where one model has settings of its own, what they say is compared and not how likely it was."""
    suite.trivia(TRIVIA[:1])
    suite.write(
        "pyproject.toml",
        f"""
        [tool.llmcompare]
        default_models = ["m", "short"]
        [tool.llmcompare.models.m]
        source = "{suite.models / "tiny-gpt2"}"
        [tool.llmcompare.models.short]
        source = "{suite.models / "tiny-gpt2"}"
        examples = "Q: Is snow white?\\nA: Yes.\\n\\n"
        """,
    )
    result = suite.run("--llm-baseline=model:m", models=[])
    assert (
        "table 'trivia': models 'short' and 'm' are asked with different examples, decoding settings or chat "
        "templates, so 1 of 1 outputs are compared by their text" in shown(result)
    )


def test_a_model_that_fails_compares_nobody(suite: Suite) -> None:
    """Without its outputs there is nothing to pass by."""
    suite.trivia(TRIVIA[:1])
    result = suite.run("--llm-baseline=model:m", models=["m=./nowhere", suite.spec("d", DISTIL)])
    result.assert_outcomes(failed=1, deselected=1)
    assert "error: model 'm', which the others are compared with, failed: " in shown(result)


def test_a_table_that_is_not_asked_of_the_model(suite: Suite) -> None:
    """A marker with models of its own has to name it."""
    own = f'models=["{suite.spec("d", DISTIL)}"], '
    suite.trivia(TRIVIA[:1], TEST.replace("gen_config", f"{own}gen_config"))
    result = suite.run("--llm-baseline=model:m")
    result.assert_outcomes(failed=1)
    assert "error: table 'trivia' is not given to model 'm', so there is nothing to compare with." in shown(result)


def test_a_model_is_copied_into_files(suite: Suite) -> None:
    """The refusal names a run that records what the measure says as the baselines of the others."""
    suite.trivia(TRIVIA[2:])
    models = [suite.spec(), suite.spec("d", DISTIL)]
    message = refused(suite.run("--llm-update", "--llm-baseline=model:m", models=models))
    command = message.rpartition("To copy these baselines into files: ")[2]
    words = shlex.split(command)
    assert words == ["pytest", f"--llm-models={suite.spec('d')}", "--llm-baseline=files", "--llm-update"]
    suite.run(*words[1:], models=[]).assert_outcomes(passed=1)
    assert suite.cases("__baselines__/trivia/d.baseline")["ice"].endswith("| Yes.\n|\n|Q:")


def test_another_model_under_xdist(suite: Suite) -> None:
    """Each model is asked once, by whichever worker comes first, and the others find its outputs."""
    suite.trivia()
    models = [suite.spec("d", DISTIL), suite.spec("m")]
    result = suite.run_apart("-n2", "--llm-baseline=model:m", models=models)
    outcomes = result.parseoutcomes()
    assert (outcomes["passed"], outcomes["failed"]) == (2, 1)
    assert len(suite.mlflow_runs()) == 2
    assert sorted(waiting(suite)) == ["hamlet", "ice", "sky"]
