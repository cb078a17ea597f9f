"""Are verdicts right? `python benchmarks/verdicts.py [--json FILE]`.

Baselines are recorded as a run of pytest records them. Then something changes, the same prompts are asked again with
the baselines as drafts, and each output is judged. A change is harmless if model, prompts and settings are the same;
then every alarm is false. Otherwise it is real, and should be seen. Other ways to compare are tried on the same
outputs:

    text    texts that differ in any character
    edit    texts whose edit similarity (difflib) is below 0.9
    top-5   vLLM's rule: at the first token that differs, one side's is not among the other's five likeliest

An alarm of ours is a verdict of `shifted`, `drifted`, `stale` or `error`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from changes import HARMLESS, REAL, Change, copied
from rivals import dissimilar, other_text, outside_top
from subjects import TRAINED, examples, machine, questions, subject

from pytest_llmcompare.comparison.judge import judge, stale_reason
from pytest_llmcompare.decoding.drafts import draft_of
from pytest_llmcompare.decoding.engine import generate
from pytest_llmcompare.decoding.request import Request
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.judgement import Judgement, Verdict
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.load import LocalModel, transformers_quiet
from pytest_llmcompare.records import Baseline, Case, CaseKey, GroupKey, Row

SUBJECTS = (*((name, "float32") for name in (*TRAINED, "llama")), ("tiny-gpt2", "bfloat16"), ("llama", "bfloat16"))
ALARMS = (Verdict.SHIFTED, Verdict.DRIFTED, Verdict.STALE, Verdict.ERROR)
METHODS = ("ours", "text", "edit", "top-5")
QUICK = ("nothing", "batch of 8", "plain, batch of 64 (left padding)", "eager attention", "2 threads")
QUICK_REAL = ("weights rounded to bfloat16", "int8 per tensor", "10 fine-tuning steps", "last layer dropped")


@dataclass(frozen=True)
class Result:
    """Verdicts and alarms for one change of one model.

    Attributes:
        model, dtype, change, real: Names of the three, and whether the change is real.
        cases: Number of prompts.
        verdicts: How many of each.
        flagged: How many alarms, by method.
        drifts: Log-prob drift (rms, nats) of its outputs: least, median, most; empty if unknown.
        band: Least drift that does not count as noise.
    """

    model: str
    dtype: str
    change: str
    real: bool
    cases: int
    verdicts: dict[str, int]
    flagged: dict[str, int]
    drifts: list[float]
    band: float


class Bench:
    """A model with its baselines.

    Args:
        name: Name of the model.
        dtype: Its precision.
        prompts: How many to ask; a third of them comes after the article's examples.
        length: Most tokens of an output.
    """

    def __init__(self, name: str, dtype: str, prompts: int, length: int) -> None:
        self.dtype = dtype
        self.original = subject(name)
        self.model = in_precision(self.original, dtype)
        self.cases = self.make_cases(name, prompts, complete({"max_new_tokens": length}))
        said = self.ask(self.model, self.cases, Change("baseline"), {})
        # As the tokens file keeps them.
        kept = [replace(one, logprobs=tuple(round(number, 6) for number in one.logprobs or ())) for one in said]
        self.baselines = {
            case.id: Baseline(case.key.row, found, case.input_hash, case.settings_hash)
            for case, found in zip(self.cases, kept, strict=True)
        }

    @staticmethod
    def make_cases(name: str, prompts: int, gen_config: dict[str, object]) -> list[Case]:
        """The table."""
        key = GroupKey(".", "questions", name)
        before = examples()
        return [
            Case(CaseKey(key, str(at)), Row(str(at), text), before if at % 3 == 0 else "", gen_config, seed=0)
            for at, text in enumerate(questions(prompts))
        ]

    def ask(
        self, model: LocalModel, cases: Sequence[Case], change: Change, drafts: dict[str, tuple[int, ...]]
    ) -> list[Generation]:
        """Outputs of a model for cases."""
        requests = [
            Request(case.prompt, {**case.gen_config, **change.settings}, case.seed, drafts.get(case.id))
            for case in cases
        ]
        model = replace(model, chat_template=change.template) if change.template else model
        with change.around(model):
            said = generate(model, requests, batch_size=change.batch_size, shortcuts=change.shortcuts)
        if faults := [one for one in said if isinstance(one, Exception)]:
            raise faults[0]
        return [one for one in said if isinstance(one, Generation)]

    def try_out(self, change: Change) -> Result:
        """Make a change, ask again and judge."""
        model = self.model
        if change.model or change.dtype:
            made = change.model(self.original) if change.model else self.original
            model = in_precision(made, change.dtype or self.dtype)
        cases = [self.declared(case, change) for case in self.cases][:: change.step]
        stored = [self.baselines[case.id] for case in cases]
        drafts = {
            case.id: draft_of(model, baseline.generation)
            for case, baseline in zip(cases, stored, strict=True)
            if not stale_reason(case, baseline)
        }
        said = self.ask(model, cases, change, drafts)
        judged = [
            judge(case, baseline, now, model.show, decode=model.decode)
            for case, baseline, now in zip(cases, stored, said, strict=True)
        ]
        asked = replace(model, chat_template=change.template)
        flagged = Counter(
            method
            for case, baseline, now, one in zip(cases, stored, said, judged, strict=True)
            for method, alarm in self.alarms(case, baseline.generation, now, one, asked).items()
            if alarm
        )
        moved = [one.likelihood for one in judged if one.likelihood is not None]
        drifts = sorted(one.rms for one in moved)
        middle = statistics.median(drifts) if drifts else 0.0
        return Result(
            model=model.name,
            dtype=self.dtype,
            change=change.name,
            real=change.real,
            cases=len(cases),
            verdicts=dict(Counter(str(one.verdict) for one in judged)),
            flagged={method: flagged[method] for method in METHODS},
            drifts=[float(f"{number:.3g}") for number in (drifts[0], middle, drifts[-1])] if drifts else [],
            band=float(f"{min((one.band for one in moved), default=0.0):.3g}"),
        )

    def alarms(
        self, case: Case, then: Generation, now: Generation, judged: Judgement, after: LocalModel
    ) -> dict[str, bool]:
        """Who says that an output changed."""
        before, asked = self.model.encode(case.prompt), after.encode(case.prompt)
        return {
            "ours": judged.verdict in ALARMS,
            "text": other_text(then, now),
            "edit": dissimilar(then, now),
            "top-5": outside_top(then, now, (self.model, before), (after, asked)),
        }

    @staticmethod
    def declared(case: Case, change: Change) -> Case:
        """The case as a test that says what changed has it."""
        if not change.declared:
            return case
        return replace(case, gen_config={**case.gen_config, **change.settings}, template=change.template)


def in_precision(model: LocalModel, dtype: str) -> LocalModel:
    """A model in float32, or a copy of it in another precision."""
    return model if dtype == "float32" else copied(model, getattr(torch, dtype))


def tried(name: str, dtype: str, prompts: int, length: int, changes: Sequence[Change]) -> Iterator[Result]:
    """All changes that make sense for a model in a precision."""
    with transformers_quiet():
        bench = Bench(name, dtype, prompts, length)
        for change in changes:
            print(f"{name}, {dtype}: {change.name}", file=sys.stderr, flush=True)
            if change.exact and dtype != "float32":
                continue
            if "eager" in change.name and bench.model.model.config._attn_implementation == "eager":
                continue
            yield bench.try_out(change)


def scientific(number: float) -> str:
    """Such as `3.1e-05`."""
    return f"{number:.1e}" if number else "0"


def by_change(found: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """The figures of each change, over all models."""
    names = dict.fromkeys(one.change for one in found)
    return [(name, [one for one in found if one.change == name]) for name in names]


def table(found: Sequence[Result]) -> str:
    """One line per change."""
    lines = [
        f"{'change':<38}{'outputs':>8}{'median drift':>20}{'largest':>9}"
        + "".join(f"{method:>7}" for method in METHODS)
        + "  verdicts"
    ]
    for name, group in by_change(found):
        cases = sum(one.cases for one in group)
        middle = [one.drifts[1] for one in group if one.drifts]
        span = f"{scientific(min(middle))} .. {scientific(max(middle))}" if middle else "-"
        most = scientific(max(one.drifts[2] for one in group if one.drifts)) if middle else "-"
        verdicts: Counter[str] = sum((Counter(one.verdicts) for one in group), Counter())
        told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
        counts = "".join(f"{sum(one.flagged[method] for one in group):>7}" for method in METHODS)
        lines.append(f"{name:<38}{cases:>8}{span:>20}{most:>9}{counts}  {told}")
    return "\n".join(lines)


def rates(found: Sequence[Result]) -> str:
    """One line per method: false alarms, changes seen, the smallest of them."""
    harmless, real = ([one for one in found if one.real is kind] for kind in (False, True))
    columns = f"{'method':<8}{'false alarms':>13}{'of outputs':>12}{'seen':>8}{'of outputs':>12}"
    lines = [f"{columns}  smallest change seen (largest drift)"]
    for method in METHODS:
        seen = [one for one in real if one.flagged[method]]
        alarms = f"{sum(bool(one.flagged[method]) for one in harmless)}/{len(harmless)}"
        parts = [
            f"{sum(one.flagged[method] for one in kind)}/{sum(one.cases for one in kind)}" for kind in (harmless, real)
        ]
        sight = f"{len(seen)}/{len(real)}"
        numbered = [one for one in seen if one.drifts]
        least = min(numbered, key=lambda one: one.drifts[2], default=None)
        shown = f"{least.change}, {least.model} ({scientific(least.drifts[2])})" if least else "none"
        lines.append(f"{method:<8}{alarms:>13}{parts[0]:>12}{sight:>8}{parts[1]:>12}  {shown}")
    return "\n".join(lines)


def report(found: Sequence[Result]) -> str:
    """All figures, precision by precision, and what went wrong."""
    parts = []
    for dtype in dict.fromkeys(one.dtype for one in found):
        own = [one for one in found if one.dtype == dtype]
        models = ", ".join(dict.fromkeys(one.model for one in own))
        band = min(one.band for one in own if one.band)
        parts += [f"{dtype}: {models}; noise up to {scientific(band)} nats", "", table(own), "", rates(own), ""]
    wrong: list[tuple[str, Callable[[Result], bool]]] = [
        ("false alarm", lambda one: not one.real and bool(one.flagged["ours"])),
        ("not seen", lambda one: one.real and not one.flagged["ours"]),
    ]
    for what, is_wrong in wrong:
        places = [f"{one.change} ({one.model}, {one.dtype})" for one in found if is_wrong(one)]
        parts.append(f"{what}: {'; '.join(places) or 'none'}")
    return "\n".join(parts)


def save(path: Path, head: str, found: Sequence[Result]) -> None:
    """Write the figures, a line for each."""
    lines = ",\n".join(json.dumps(asdict(one)) for one in found)
    path.write_text(f'{{"head": {json.dumps(head)}, "found": [\n{lines}\n]}}\n', encoding="ascii")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=96)
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="one model, few prompts and changes")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--show", type=Path, help="print the figures in a file instead of measuring")
    given = parser.parse_args()
    if given.show:
        kept = json.loads(given.show.read_text(encoding="ascii"))
        print(f"{kept['head']}\n\n{report([Result(**one) for one in kept['found']])}")
        return
    subjects, changes = SUBJECTS, (*HARMLESS, *REAL)
    if given.quick:
        subjects, given.prompts, given.new_tokens = (("tiny-gpt2", "float32"),), 12, 8
        changes = tuple(one for one in changes if one.name in (*QUICK, *QUICK_REAL))
    torch.set_num_threads(1)
    found = [one for name, dtype in subjects for one in tried(name, dtype, given.prompts, given.new_tokens, changes)]
    head = f"{machine()}\n{given.prompts} prompts, at most {given.new_tokens} new tokens"
    print(f"{head}\n\n{report(found)}")
    if given.json:
        save(given.json, head, found)


if __name__ == "__main__":
    main()
