"""Collecting: which tests a marker makes, what they are called, and what a faulty marker or table says."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import mlflow
import pytest

from .suites import HAMLET, SKY, TRIVIA, Suite

A_TEST = """
import pytest

@pytest.mark.llm_prompts({marker})
def test_trivia(llm_output, llm_baseline):
    assert llm_output == llm_baseline
"""


def test_tests_are_named_after_model_and_row(suite: Suite) -> None:
    """Each model x row is one test, `[model-prompt_id]`, model by model, rows in the order of the table."""
    suite.trivia()
    assert suite.collect(models=[suite.spec("one"), suite.spec("b2", "tiny-bloom")]) == [
        "test_trivia.py::test_trivia[one-sky]",
        "test_trivia.py::test_trivia[one-hamlet]",
        "test_trivia.py::test_trivia[one-ice]",
        "test_trivia.py::test_trivia[b2-sky]",
        "test_trivia.py::test_trivia[b2-hamlet]",
        "test_trivia.py::test_trivia[b2-ice]",
    ]


def test_variants_stand_behind_the_row(suite: Suite) -> None:
    """Each variant of a row is a test of its own, `[model-prompt_id@variant]`."""
    suite.trivia(
        TRIVIA[:2],
        A_TEST.format(marker='"trivia.jsonl", variants={"greedy": {}, "top_k": {"do_sample": True, "top_k": 5}}'),
    )
    assert suite.collect() == [
        "test_trivia.py::test_trivia[m-sky@greedy]",
        "test_trivia.py::test_trivia[m-sky@top_k]",
        "test_trivia.py::test_trivia[m-hamlet@greedy]",
        "test_trivia.py::test_trivia[m-hamlet@top_k]",
    ]


def test_rows_without_id_are_named_after_their_prompt(suite: Suite) -> None:
    """Inserting and reordering rows renames no test."""
    suite.trivia([{"prompt": SKY}, {"prompt": HAMLET}])
    before = suite.collect()
    assert before == [
        "test_trivia.py::test_trivia[m-what_color_is_the_sky_26b0a8]",
        "test_trivia.py::test_trivia[m-who_is_hamlet_92e023]",
    ]
    suite.table("trivia.jsonl", [{"prompt": "Q: Is gold a metal?\nA:"}, {"prompt": HAMLET}, {"prompt": SKY}])
    assert suite.collect()[1:] == before[::-1]


def test_equal_names_are_told_apart_by_our_own_rule(suite: Suite) -> None:
    """Model `a` with row `b-c` and model `a-b` with row `c` get names that no version of pytest decides."""
    suite.trivia([{"id": "b-c", "prompt": SKY}, {"id": "c", "prompt": HAMLET}])
    digits = hashlib.sha256(b"a-b-c2").hexdigest()[:4]
    assert suite.collect(models=[suite.spec("a"), suite.spec("a-b", "tiny-bloom")]) == [
        "test_trivia.py::test_trivia[a-b-c]",
        "test_trivia.py::test_trivia[a-c]",
        "test_trivia.py::test_trivia[a-b-b-c]",
        f"test_trivia.py::test_trivia[a-b-c~{digits}]",
    ]


def test_a_test_on_the_whole_table_runs_once_per_model(suite: Suite) -> None:
    """A test that asks for the evaluation or the model alone has the model's name in brackets."""
    suite.trivia(
        test="""
        import pytest

        pytestmark = pytest.mark.llm_prompts("trivia.jsonl")

        def test_scores(llm_evaluation): ...
        def test_model(llm_model): ...
        def test_case_and_scores(llm_case, llm_evaluation): ...
        """
    )
    assert suite.collect()[:3] == [
        "test_trivia.py::test_scores[m]",
        "test_trivia.py::test_model[m]",
        "test_trivia.py::test_case_and_scores[m-sky]",
    ]


def test_models_of_a_marker_stand_in_for_those_of_the_run(suite: Suite) -> None:
    """`models=[...]` of a marker is what its test compares."""
    suite.trivia(test=A_TEST.format(marker=f'["Hi"], models=["{suite.spec("own")}"]'))
    assert [re.sub(r".*\[(\w+)-.*", r"\1", test) for test in suite.collect()] == ["own"]


def test_marker_on_class_and_module(suite: Suite) -> None:
    """The nearest marker holds: function, then class, then module; a helper without our fixtures is left alone."""
    suite.trivia()
    suite.table("other.jsonl", [{"id": "hi", "prompt": "Hi"}])
    suite.write(
        "test_trivia.py",
        """
        import pytest

        pytestmark = pytest.mark.llm_prompts("trivia.jsonl")

        def test_module(llm_output): ...

        @pytest.mark.llm_prompts("other.jsonl")
        class TestOther:
            def test_class(self, llm_output): ...

            @pytest.mark.llm_prompts(["Ho"], name="ho")
            def test_function(self, llm_output): ...

        def test_without_model(): ...
        """,
    )
    assert suite.collect() == [
        "test_trivia.py::test_module[m-sky]",
        "test_trivia.py::test_module[m-hamlet]",
        "test_trivia.py::test_module[m-ice]",
        "test_trivia.py::TestOther::test_class[m-hi]",
        "test_trivia.py::TestOther::test_function[m-ho_996534]",
        "test_trivia.py::test_without_model",
    ]


def test_other_parameters_multiply(suite: Suite) -> None:
    """A test may have parameters of its own; each combination compares the same case."""
    suite.trivia(
        TRIVIA[:2],
        """
        import pytest

        @pytest.mark.parametrize("least", [1, 2])
        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
        def test_trivia(least, llm_output, llm_baseline):
            assert llm_output == llm_baseline
            assert len(llm_output.text) >= least
        """,
        recorded=True,
    )
    tests = suite.collect()
    assert {frozenset(re.split(r"[\[\]-]", test)[1:4]) for test in tests} == {
        frozenset(parts) for parts in (("m", "sky", "1"), ("m", "sky", "2"), ("m", "hamlet", "1"), ("m", "hamlet", "2"))
    }
    assert len(tests) == 4
    suite.run().assert_outcomes(passed=4)


def test_tests_that_share_a_table_share_one_evaluation(suite: Suite) -> None:
    """Whether by one marker or by equal ones, in one file or in two: the table is asked once."""
    suite.trivia(recorded=True)
    suite.write(
        "test_more.py",
        """
        import pytest

        pytestmark = pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)

        def test_length(llm_output):
            assert llm_output.text

        def test_scores(llm_evaluation):
            assert llm_evaluation.metrics["token_count/mean"] == 6

        class TestShape:
            def test_start(self, llm_case, llm_output):
                assert llm_output.text.startswith(" ")
        """,
    )
    result = suite.run()
    result.assert_outcomes(passed=3 + 1 + 3 + 3)
    assert len(suite.mlflow_runs()) == 1


def test_tests_of_one_model_run_together(suite: Suite) -> None:
    """Model by model across tests and files, so that one is in memory at a time; other tests stay where they are."""
    suite.trivia(TRIVIA[:1])
    suite.write("test_a_first.py", "def test_plain(): ...")
    suite.write("test_zoo.py", A_TEST.replace("test_trivia", "test_zoo").format(marker='["Hi"]'))
    models = [suite.spec("one"), suite.spec("two", "tiny-bloom")]
    assert [re.sub(r".*::(\w+)(?:\[(\w+)-.*)?", r"\1 \2", test).strip() for test in suite.collect(models=models)] == [
        "test_plain",
        "test_trivia one",
        "test_zoo one",
        "test_trivia two",
        "test_zoo two",
    ]


def test_table_paths_are_relative_to_the_test_file(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    """From wherever pytest is started, tables and baselines are found beside the test."""
    suite.write("pytest.ini", "[pytest]\n")
    suite.table("geo/tables/capitals.jsonl", TRIVIA[:1])
    suite.write("geo/test_geo.py", A_TEST.format(marker='"tables/capitals.jsonl", gen_config={"max_new_tokens": 2}'))
    suite.run("--llm-update").assert_outcomes(passed=1)
    monkeypatch.chdir(suite.path / "geo")
    suite.run("test_geo.py").assert_outcomes(passed=1)
    assert "geo/__baselines__/capitals/m.baseline" in suite.stored()


def test_table_from_a_data_frame(suite: Suite) -> None:
    """A DataFrame or a list is a table too, named after the test."""
    suite.write(
        "test_frames.py",
        """
        import pandas as pd
        import pytest

        FRAME = pd.DataFrame({"question": ["Q: Is ice cold?\\nA:"], "id": ["ice"], "topic": ["weather"]})

        @pytest.mark.llm_prompts(FRAME, gen_config={"max_new_tokens": 2}, model_type=None)
        def test_weather(llm_case, llm_output, llm_baseline):
            assert llm_case.columns == {"topic": "weather"}
            assert llm_output == llm_baseline
        """,
    )
    suite.run("--llm-update").assert_outcomes(passed=1)
    assert "__baselines__/weather/m.baseline" in suite.stored()


FAULTS: dict[str, tuple[str, str, list[str]]] = {
    "missing file": (
        '"trvia.jsonl"',
        "",
        ["test_trivia.py::test_trivia: trvia.jsonl: no such file. Did you mean 'trivia.jsonl'?"],
    ),
    "broken CSV": (
        '"table.csv"',
        'id,prompt\nsky,"Q: sky\n',
        [
            "test_trivia.py::test_trivia: table.csv, row 1, line 2: a double quote is opened and never closed.",
            'Inside a cell in double quotes, write a double quote as "".',
        ],
    ),
    "broken JSON Lines": (
        '"table.jsonl"',
        '{"prompt": "Hi"}\n{"prompt" "Ho"}\n',
        [
            "test_trivia.py::test_trivia: table.jsonl, line 2: broken JSON: Expecting ':' delimiter at column 11.",
            "Write one JSON object per line.",
        ],
    ),
    "wrong column": (
        '"table.csv", input="questoin"',
        "id,question\nsky,Hi\n",
        [
            (
                "test_trivia.py::test_trivia: table.csv, line 1: no column 'questoin', which input= names. "
                "Did you mean 'question'?"
            )
        ],
    ),
    "all faulty rows": (
        '"table.csv"',
        "id,prompt\nsky,Hi\nice,\nsky,Ho\n",
        [
            "test_trivia.py::test_trivia: table.csv, row 2, line 3: prompt is empty.",
            "table.csv, row 3, line 4: id 'sky' occurs twice (first in row 1, line 2).",
        ],
    ),
    "empty table": (
        '"table.csv"',
        "id,prompt\n",
        [
            (
                "test_trivia.py::test_trivia: table.csv, line 1: the table has no rows, only the names of its columns "
                "('id', 'prompt'). Write one row per prompt below them."
            )
        ],
    ),
    "empty file": (
        '"table.jsonl"',
        "",
        ["test_trivia.py::test_trivia: table.jsonl: the file is empty. Write one row per prompt."],
    ),
    "unknown keyword": (
        '"trivia.jsonl", exampels="Q"',
        "",
        ["test_trivia.py::test_trivia: llm_prompts: unknown keyword 'exampels'. Did you mean 'examples'?"],
    ),
    "unknown decoding setting": (
        '"trivia.jsonl", gen_config={"max_new_token": 3}',
        "",
        ["test_trivia.py::test_trivia: llm_prompts, gen_config: *'max_new_token'*Did you mean 'max_new_tokens'?"],
    ),
    "faulty spec": (
        '"trivia.jsonl", models=["a="]',
        "",
        ["test_trivia.py::test_trivia: model spec 'a=': there is no source after '='.*"],
    ),
    "no table": (
        "",
        "",
        ["test_trivia.py::test_trivia: llm_prompts: no prompt table. Give a file, e.g. *"],
    ),
}


@pytest.mark.parametrize("what", FAULTS)
def test_faults_are_collection_errors(suite: Suite, what: str) -> None:
    """A faulty marker or table is an error of its own file at collection: its text, and nothing of our insides."""
    marker, content, lines = FAULTS[what]
    suite.trivia(test=A_TEST.format(marker=marker))
    if name := re.search(r'"(table\.\w+)"', marker):
        suite.write(name[1], content)
    suite.write("test_sound.py", "def test_sound(): ...")
    result = suite.run("--continue-on-collection-errors")
    result.assert_outcomes(passed=1, errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*ERROR collecting test_trivia.py*", *(line.replace("[", "[[]") for line in lines)])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_llmcompare*")
    result.stdout.no_fnmatch_line("*no test compared*")


def test_two_tables_of_one_name_are_refused(suite: Suite) -> None:
    """Two tests of a folder that give one name to different rows would overwrite each other's baselines."""
    suite.trivia()
    suite.write("test_zoo.py", A_TEST.replace("test_trivia", "test_zoo").format(marker='["Hi"], name="trivia"'))
    result = suite.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "test_zoo.py::test_zoo: test_zoo.py::test_zoo and test_trivia.py::test_trivia both use a table named *",
            'Give one of them another name, llm_prompts(..., name="trivia_2"), or put both settings into *',
        ]
    )


def test_collecting_touches_nothing(suite: Suite) -> None:
    """`--collect-only` loads no model, imports no heavy library, writes no file and exits with success."""
    suite.trivia(TRIVIA[:1], recorded=True)
    suite.write(
        "conftest.py",
        """
        import json, sys

        def pytest_unconfigure(config):
            heavy = {"torch", "transformers", "mlflow", "pandas", "numpy"} & set(sys.modules)
            print("IMPORTED", json.dumps(sorted(heavy)))
        """,
    )
    before = files(suite.path)
    options = ("--collect-only", "--llm-update", "--llm-prune=yes", "-p", "no:cacheprovider")
    result = suite.run_apart(*options, models=[suite.spec(), "not/there"], warm=False)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*<Function test_trivia[[]m-sky[]]>", "*<Function test_trivia[[]there-sky[]]>"])
    result.stdout.no_fnmatch_line("*model comparison*")
    assert json.loads(next(line for line in result.outlines if line.startswith("IMPORTED ")).split(" ", 1)[1]) == []
    assert files(suite.path) == before


def files(folder: Path) -> dict[Path, bytes]:
    """All files, less what pytester and the compiler write."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    return {path: path.read_bytes() for path in found if path.name not in ("stdout", "stderr")}


def test_tests_that_share_a_table_share_the_experiment_that_one_of_them_names(suite: Suite) -> None:
    """It counts for all of them, whichever comes first; two names for one evaluation are an error."""
    test = """
        import pytest

        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None)
        def test_first(llm_output):
            pass

        @pytest.mark.llm_prompts("trivia.jsonl", gen_config={"max_new_tokens": 6}, model_type=None, experiment="mine")
        def test_second(llm_evaluation):
            pass
        """
    suite.trivia(test=test)
    suite.run().assert_outcomes(passed=4)
    (run,) = suite.mlflow_runs()
    assert mlflow.get_experiment(run.info.experiment_id).name == "mine"

    suite.trivia(test=test.replace("model_type=None)", 'model_type=None, experiment="yours")', 1))
    result = suite.run()
    result.assert_outcomes(errors=1)
    assert (
        "test_trivia.py::test_second: experiment='mine', but test_trivia.py::test_first evaluates the same table "
        "'trivia' in the experiment 'yours'. Name one of the two."
    ) in result.stdout.str()


@pytest.mark.parametrize("folder", ["mlruns", "mlartifacts"])
def test_no_tests_are_looked_for_among_files_of_mlflow(suite: Suite, folder: str) -> None:
    """Neither a model's code nor a log is a test, unless the command line names it."""
    suite.trivia(TRIVIA[:1])
    kept = suite.write(f"{folder}/1/models/m-1/artifacts/code/test_of_model.py", "def test_code(): pass")
    assert suite.collect() == ["test_trivia.py::test_trivia[m-sky]"]
    assert suite.collect(str(kept)) == [f"{folder}/1/models/m-1/artifacts/code/test_of_model.py::test_code"]


def test_a_module_may_have_the_name_of_a_folder_of_mlflow(suite: Suite) -> None:
    """Only folders are left out."""
    suite.write("mlruns.py", "def test_code(): pass")
    assert suite.collect("-o", "python_files=*.py", models=[]) == ["mlruns.py::test_code"]
