"""`model:NAME`: another model's outputs as baselines, as far as both were asked the same."""

from __future__ import annotations

from pytest_llmcompare.baselines.sources.protocol import Outputs
from pytest_llmcompare.baselines.sources.reference_model import ModelBaselines
from pytest_llmcompare.comparison.judge import stale_reason
from pytest_llmcompare.evaluation.verdicts import Baselines
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Verdict
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row, RowKey

GROUP = GroupKey("tests", "trivia", "small")
SKY, ICE, TEA = (
    Case(CaseKey(GROUP, name), Row(name, f"{name}?"), "", {"max_new_tokens": 4}, seed=0)
    for name in ("sky", "ice", "tea")
)
OUTPUT = Generation(" Blue.", (1, 2), (-0.1, -0.2), "length")
ASKED: list[GroupKey] = []


def outputs(key: GroupKey) -> Outputs:
    """What the model `big` said: to one case the same was asked, another it was asked otherwise, one failed."""
    ASKED.append(key)
    return Outputs(
        {
            SKY.key.row: Baseline(SKY.key.row, OUTPUT, SKY.input_hash, SKY.settings_hash),
            ICE.key.row: Baseline(ICE.key.row, OUTPUT, ICE.input_hash, "another"),
            RowKey("gone"): Baseline(RowKey("gone"), OUTPUT, "", ""),
        },
        {TEA.key.row: "model 'big', case 'tea': no text"},
    )


def test_what_the_other_model_said() -> None:
    """Tokens and likelihoods where both were asked the same, else the text; what failed there is an error here."""
    found = ModelBaselines("big", outputs).load(GROUP, [SKY, ICE, TEA])
    assert [GroupKey("tests", "trivia", "big")] == ASKED
    assert {row: baseline.generation for row, baseline in found.baselines.items()} == {
        SKY.key.row: OUTPUT,
        ICE.key.row: Generation(" Blue."),
    }
    assert [stale_reason(case, found.baselines[case.key.row]) for case in (SKY, ICE)] == ["", ""]
    assert found.of_model == "big"
    judged = Baselines(found).judge(TEA, OUTPUT, None)
    assert (judged.verdict, judged.reason) == (
        Verdict.ERROR,
        "there is nothing to compare with: model 'big', case 'tea': no text",
    )
    missing = Case(CaseKey(GROUP, "new"), Row("new", "?"), "", {}, seed=0)
    judged = Baselines(found).judge(missing, OUTPUT, None)
    assert (judged.verdict, judged.reason) == (Verdict.MISSING, "model 'big' was not asked this case")


def test_the_model_itself_is_compared_with_nothing() -> None:
    """Its own outputs are no baselines of its own: that would be a pass without a comparison."""
    own = GroupKey("tests", "trivia", "big")
    found = ModelBaselines("big", outputs).load(own, [SKY])
    assert found.baselines == {}
    judged = Baselines(found).judge(SKY, OUTPUT, None)
    assert (judged.verdict, judged.reason) == (
        Verdict.MISSING,
        "model 'big' is the reference of this run (--llm-baseline), so it is not compared itself",
    )
