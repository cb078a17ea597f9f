"""Are verdicts right? `python benchmarks/verdicts.py [--json FILE]`.

Baselines are recorded as a run of pytest records them: outputs, their log-probs as read, and the noise. Then something
changes, the same prompts are asked again with the baselines as drafts, each output is judged, and the model by all of
them. A change is harmless if model, prompts and settings are the same; then every alarm is false. Otherwise it is real,
and should be seen. What raises an alarm:

    model   the model verdict is `changed`; or it has nothing to compare, because every case is stale or drifted
    cases   an output is `shifted`, `drifted`, `stale` or an `error`
    text    a text differs in any character
    edit    a text has an edit similarity (difflib) below 0.9
    top-5   vLLM's rule: at the first token that differs, one side's is not among the other's five likeliest

Changes of instruction sets, and of libraries (`--other PYTHON`, an interpreter that has an older torch and transformers
beside what the plugin needs), are asked in a process of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from changes import HARMLESS, REAL, Change, copied
from pydantic import TypeAdapter
from rivals import dissimilar, other_text, outside_top
from subjects import SUITE, examples, machine, questions, subject
from verdict_tables import report

from pytest_llmcompare.comparison.judge import judge, stale_reason
from pytest_llmcompare.comparison.measured_noise import MeasuredNoise
from pytest_llmcompare.comparison.model_verdict import Movement, judge_model
from pytest_llmcompare.decoding.drafts import draft_of
from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.measure_noise import measure_noise
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import COMPARED, Finding, Judgement, Verdict
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.load import LocalModel, transformers_quiet
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row

MODELS = {
    "float32": ("tiny-gpt2", "tiny-bloom", "llama", "mamba"),
    "bfloat16": ("tiny-gpt2", "llama"),
    "float16": ("tiny-gpt2", "llama"),
}
ALARMS = (Verdict.SHIFTED, Verdict.DRIFTED, Verdict.STALE, Verdict.ERROR)
QUICK = ("nothing", "batch of 8", "plain, batch of 8 (left padding)", "eager attention", "2 threads")
QUICK_REAL = ("weights rounded to bfloat16", "int8 per tensor", "10 fine-tuning steps", "last layer dropped")
OUTPUTS = TypeAdapter(list[Generation])


@dataclass
class Result:
    """Verdicts and alarms for one change of one model.

    Attributes:
        model, dtype, change, real: Names of the three, and whether the change is real.
        cases, tokens: Number of prompts, and of tokens that the model verdict compares.
        finding: What the model verdict says; empty if no case can be compared.
        moved, noise, limit: Its numbers (nats, root mean square).
        largest: Largest movement of a case, in units of the limit for a case.
        verdicts: How many cases have each.
        flagged: How many alarms, by method.
    """

    model: str
    dtype: str
    change: str
    real: bool
    cases: int
    tokens: int = 0
    finding: str = ""
    moved: float = 0.0
    noise: float = 0.0
    limit: float = 0.0
    largest: float = 0.0
    verdicts: dict[str, int] = field(default_factory=dict)
    flagged: dict[str, int] = field(default_factory=dict)


class Bench:
    """A model with its baselines.

    Args:
        original: The model in float32.
        dtype: Its precision.
        prompts: How many to ask, in low precision half of them; a third comes after the article's examples.
        length: Most tokens of an output.
    """

    def __init__(self, original: LocalModel, dtype: str, prompts: int, length: int) -> None:
        self.dtype = dtype
        self.model = in_precision(original, dtype)
        count = prompts if dtype == "float32" else prompts // 2  # low precision is written prompt by prompt
        self.cases = make_cases(original.name, count, complete({"max_new_tokens": length}))
        self.baselines: dict[str, Baseline] = {}

    def record(self) -> None:
        """Ask for the baselines."""
        outputs = self.ask(self.model, self.cases, Change("baseline"), {})
        requests = [Request(case.prompt, case.gen_config, case.seed) for case in self.cases]
        noise = MeasuredNoise(measure_noise(self.model, list(zip(requests, outputs, strict=True))) or 0.0)
        for case, output in zip(self.cases, outputs, strict=True):
            kept = replace(
                output,
                logprobs=stored(output.logprobs),
                as_read=stored(output.as_read),
                environment=noise.write(output.environment),
            )
            self.baselines[case.id] = Baseline(case.key.row, kept, case.input_hash, case.settings_hash)

    def ask(
        self, model: LocalModel, cases: Sequence[Case], change: Change, drafts: dict[str, tuple[int, ...]]
    ) -> list[Generation]:
        """Outputs of a model for cases, read along themselves or their drafts."""
        requests = [
            Request(case.prompt, {**case.gen_config, **change.settings}, case.seed, drafts.get(case.id))
            for case in cases
        ]
        with change.around(model):
            model = replace(model, chat_template=change.template)  # with an environment of its own
            outcomes = generate(model, requests, batch_size=change.batch_size, shortcuts=change.shortcuts, read=True)
        if faults := [outcome for outcome in outcomes if isinstance(outcome, Exception)]:
            raise faults[0]
        return [outcome for outcome in outcomes if isinstance(outcome, Generation)]

    def drafts(self, model: LocalModel, cases: Sequence[Case]) -> dict[str, tuple[int, ...]]:
        """What a run takes as drafts: the baselines that are not stale."""
        return {
            case.id: draft_of(model, self.baselines[case.id].generation)
            for case in cases
            if not stale_reason(case, self.baselines[case.id])
        }

    def try_out(self, change: Change, changed: LocalModel | None) -> Result:
        """Make a change, ask again and judge."""
        model = in_precision(changed, self.dtype) if changed else self.model
        cases = [declared(case, change) for case in self.cases][:: change.step]
        return self.judged(change, model, cases, self.ask(model, cases, change, self.drafts(model, cases)))

    def judged(self, change: Change, model: LocalModel, cases: Sequence[Case], outputs: Sequence[Generation]) -> Result:
        """Judge outputs, and the model by all of them."""
        baselines = [self.baselines[case.id] for case in cases]
        judgements = [
            judge(case, baseline, now, model.show, decode=model.decode)
            for case, baseline, now in zip(cases, baselines, outputs, strict=True)
        ]
        result = Result(self.model.name, self.dtype, change.name, change.real, len(cases))
        result.verdicts = dict(Counter(str(judgement.verdict) for judgement in judgements))
        self.judge_model(result, baselines, outputs, judgements)
        asked = replace(model, chat_template=change.template)
        pairs = [
            (baseline.generation, now, (self.model, self.model.encode(case.prompt)), (asked, asked.encode(case.prompt)))
            for case, baseline, now in zip(cases, baselines, outputs, strict=True)
        ]
        result.flagged = {
            "model": int(result.finding == Finding.CHANGED or (not result.tokens and fails(judgements))),
            "cases": sum(judgement.verdict in ALARMS for judgement in judgements),
            "text": sum(other_text(then, now) for then, now, _, _ in pairs),
            "edit": sum(dissimilar(then, now) for then, now, _, _ in pairs),
            "top-5": sum(outside_top(*pair) for pair in pairs),
        }
        return result

    @staticmethod
    def judge_model(
        result: Result, baselines: Sequence[Baseline], outputs: Sequence[Generation], judgements: Sequence[Judgement]
    ) -> None:
        """Put the model verdict into a result."""
        verdict = judge_model(
            [
                Movement(baseline.generation.environment, judgement.likelihood)
                for baseline, judgement in zip(baselines, judgements, strict=True)
                if judgement.verdict in COMPARED
            ],
            outputs[0].environment,
        )
        if verdict is not None:
            result.finding, result.tokens = str(verdict.finding), verdict.tokens
            numbers = (verdict.moved, verdict.noise, verdict.limit)
            result.moved, result.noise, result.limit = (float(f"{number or 0.0:.3g}") for number in numbers)
        moved = [one.likelihood.rms / one.likelihood.band for one in judgements if one.likelihood is not None]
        result.largest = float(f"{max(moved, default=0.0):.3g}")


def fails(judgements: Sequence[Judgement]) -> bool:
    """Whether every case fails its test."""
    return all(judgement.verdict in ALARMS and judgement.verdict is not Verdict.SHIFTED for judgement in judgements)


def make_cases(name: str, prompts: int, gen_config: dict[str, object]) -> list[Case]:
    """The table."""
    key = GroupKey(".", "questions", name)
    before = examples()
    return [
        Case(CaseKey(key, str(at)), Row(str(at), text), before if at % 3 == 0 else "", gen_config, seed=0)
        for at, text in enumerate(questions(prompts))
    ]


def stored(logprobs: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Log-probs as the tokens file keeps them."""
    return None if logprobs is None else tuple(round(value, 6) for value in logprobs)


def declared(case: Case, change: Change) -> Case:
    """The case as a test has it that says what changed."""
    if not change.declared:
        return case
    return replace(case, gen_config={**case.gen_config, **change.settings}, template=change.template)


def in_precision(model: LocalModel, dtype: str) -> LocalModel:
    """A model in float32, or a copy of it in another precision."""
    return model if dtype == "float32" else copied(model, getattr(torch, dtype))


def elsewhere(benches: Sequence[Bench], change: Change, python: str, sizes: tuple[int, int]) -> Iterator[Result]:
    """Ask all models in a process of its own, with environment variables or an interpreter of its own."""
    asked = [
        [one.model.name, one.dtype, *sizes, [list(draft) for draft in one.drafts(one.model, one.cases).values()]]
        for one in benches
    ]
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "given.json", Path(folder) / "taken.json"
        for one in benches:  # random numbers depend on the instruction set, too
            torch.save(one.model.model.state_dict(), Path(folder) / f"{one.model.name}-{one.dtype}.pt")
        given.write_text(json.dumps(asked), encoding="ascii")
        variables = {**os.environ, "PYTHONPATH": str(SUITE.parent), **change.variables}
        subprocess.run([python, __file__, "--child", str(given), str(taken)], env=variables, check=True)
        for one, outputs in zip(benches, json.loads(taken.read_text(encoding="utf-8")), strict=True):
            yield one.judged(change, one.model, one.cases, OUTPUTS.validate_python(outputs))


def versions_of(python: str) -> str:
    """Versions of torch and transformers in another interpreter."""
    code = (
        'from importlib.metadata import version as v; print(f\'torch {v("torch")}, transformers {v("transformers")}\')'
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def child(given: Path, taken: Path) -> None:
    """Answer what `elsewhere` asks."""
    answers = []
    torch.set_num_threads(1)
    for name, dtype, prompts, length, drafts in json.loads(given.read_text(encoding="ascii")):
        with transformers_quiet():
            bench = Bench(subject(name), dtype, prompts, length)
            bench.model.model.load_state_dict(torch.load(given.with_name(f"{name}-{dtype}.pt"), weights_only=True))
            known = {case.id: tuple(draft) for case, draft in zip(bench.cases, drafts, strict=True)}
            answers.append(OUTPUTS.dump_python(bench.ask(bench.model, bench.cases, Change(""), known), mode="json"))
    taken.write_text(json.dumps(answers), encoding="utf-8")


def measured(
    models: dict[str, tuple[str, ...]], changes: Sequence[Change], sizes: tuple[int, int], other: str
) -> Iterator[Result]:
    """Try all changes with all models, in each precision."""
    benches: list[Bench] = []
    for name in dict.fromkeys(name for names in models.values() for name in names):
        original = subject(name)
        own = [Bench(original, dtype, *sizes) for dtype, names in models.items() if name in names]
        for bench in own:
            bench.record()
        benches += own
        for change in [change for change in changes if not change.variables and change.suits(original)]:
            changed = change.model(original) if change.model else None
            yield from (one.try_out(change, changed) for one in own if one.dtype == "float32" or not change.exact)
    for change in [change for change in changes if change.variables]:
        yield from elsewhere(benches, change, sys.executable, sizes)
    if other:
        yield from elsewhere(benches, Change("older libraries", real=False), other, sizes)


def arguments() -> Any:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--new-tokens", type=int, default=8)
    parser.add_argument("--models", nargs="+", default=MODELS["float32"], choices=MODELS["float32"])
    parser.add_argument("--quick", action="store_true", help="one model, few prompts and changes")
    parser.add_argument("--other", default="", metavar="PYTHON", help="interpreter with older libraries")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--show", type=Path, help="print the figures in a file instead of measuring")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    given = arguments()
    if given.child:
        child(*given.child)
        return
    if given.show:
        kept = json.loads(given.show.read_text(encoding="ascii"))
        print(f"{kept['head']}\n\n{report(kept['results'])}")
        return
    models = {dtype: tuple(name for name in names if name in given.models) for dtype, names in MODELS.items()}
    changes = (*HARMLESS, *REAL)
    if given.quick:
        models = {"float32": ("tiny-gpt2",), "bfloat16": ("tiny-gpt2",)}
        given.prompts, given.new_tokens = 12, 8
        changes = tuple(one for one in changes if one.name in (*QUICK, *QUICK_REAL))
    torch.set_num_threads(1)
    with transformers_quiet():
        sizes = (given.prompts, given.new_tokens)
        results = []
        for result in measured(models, changes, sizes, given.other):
            print(f"{result.model}, {result.dtype}, {result.change}: {result.moved:.1e}", file=sys.stderr, flush=True)
            results.append(asdict(result))
    head = f"{machine()}\n{given.prompts} prompts (low precision {given.prompts // 2}) x {given.new_tokens} tokens"
    head += f"; older libraries: {versions_of(given.other)}" if given.other else "; older libraries not tried (--other)"
    print(f"{head}\n\n{report(results)}")
    if given.json:
        lines = ",\n".join(json.dumps(result) for result in results)
        given.json.write_text(f'{{"head": {json.dumps(head)}, "results": [\n{lines}\n]}}\n', encoding="ascii")


if __name__ == "__main__":
    main()
