"""What a JUnit file says of each case."""

from __future__ import annotations

from xml.etree import ElementTree

from .suites import TEST, TRIVIA, Suite


def test_properties_of_each_verdict(suite: Suite) -> None:
    """Model, verdict and evidence are properties of the test; tests of others have none of ours."""
    rows = [TRIVIA[0], {"id": "hamlet", "prompt": "Who?"}, TRIVIA[2], {"id": "new", "prompt": "Hi"}]
    suite.trivia([*rows, {"id": "long", "prompt": "word " * 3000}], recorded=True)
    suite.write("test_plain.py", "def test_plain(record_property): record_property('own', 1)")
    suite.write(
        "test_scores.py",
        TEST.replace("test_trivia(llm_output, llm_baseline)", "test_scores(llm_output)").replace(
            "assert llm_output == llm_baseline", "assert llm_output.text"
        ),
    )
    suite.run("--junitxml=report.xml", models=[suite.spec("m", "tiny-gpt2-distil")])
    root = ElementTree.parse(suite.path / "report.xml").getroot()
    found = {
        f"{case.get('classname')}::{case.get('name')}": {
            str(p.get("name")).removeprefix("llmcompare."): p.get("value") for p in case.iter("property")
        }
        for case in root.iter("testcase")
    }
    same = {"model": "m", "table": "trivia"}
    ran = {"tokens": "6", "stop": "length"}
    stale = "the prompt or its examples changed since the baseline was recorded"
    assert found["test_plain::test_plain"] == {"own": "1"}
    assert found["test_trivia::test_trivia[m-sky]"] == {
        **same,
        **ran,
        "prompt_id": "sky",
        "verdict": "shifted",
        "likelihood_drift": "0.0071",
        "length": "6",
        "unit": "tok",
    }
    assert found["test_trivia::test_trivia[m-ice]"] == {
        **same,
        **ran,
        "prompt_id": "ice",
        "verdict": "drifted",
        "position": "1",
        "length": "6",
        "unit": "tok",
        "baseline_token": " Yes",
        "candidate_token": " I",
        "margin": "4.1",
        "mismatches": "1",
        "likelihood_drift": "1.9",
    }
    assert found["test_trivia::test_trivia[m-hamlet]"] == {
        **same,
        **ran,
        "prompt_id": "hamlet",
        "verdict": "stale",
        "reason": stale,
    }
    assert found["test_trivia::test_trivia[m-new]"] == {
        **same,
        **ran,
        "prompt_id": "new",
        "verdict": "missing",
        "reason": "no baseline is recorded for this case",
    }
    long = found["test_trivia::test_trivia[m-long]"]
    assert {**long, "reason": ""} == {**same, "prompt_id": "long", "verdict": "error", "reason": ""}
    assert str(long["reason"]).startswith("model 'm', case 'long': ")
    assert found["test_scores::test_scores[m-sky]"] == {**same, **ran, "prompt_id": "sky", "verdict": "not compared"}
