"""Is the model verdict right for other architectures? `python benchmarks/verdict_models.py [MODEL_TYPE ...]`.

Small models with random weights, whose noise is larger than that of trained ones, are recorded and then asked again
after harmless and small real changes, as in `verdicts.py`. Prompts are of unequal length, some with a shared beginning.
A line per model shows the noise, and movements as shares of the limit: the largest of a harmless change, over the whole
table and over the two outputs that moved most, and the least of a real one. The exit status is 1 after a false alarm.

    python benchmarks/verdict_models.py                 # 40 architectures, about half an hour on a CPU
    python benchmarks/verdict_models.py llama t5        # some
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence

import torch
import transformers
from architectures import IDS, Bytes, small_model
from changes import HARMLESS, REAL
from verdicts import Bench, Result

from pytest_llmcompare.comparison.judge import judge
from pytest_llmcompare.judgement import Finding
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.load import LocalModel, transformers_quiet
from pytest_llmcompare.records import Case, CaseKey, GroupKey, Row

KINDS = (
    "bart", "biogpt", "bloom", "codegen", "cohere", "cohere2", "falcon", "gemma", "gemma2",
    "gemma3_text", "glm", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "granite", "granitemoe",
    "helium", "llama", "mamba", "mbart", "mistral", "mixtral", "mpt", "olmo", "olmo2",
    "opt", "persimmon", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "recurrent_gemma", "smollm3",
    "stablelm", "starcoder2", "t5", "umt5",
)  # fmt: skip
SHARED = "You answer in one word, and never in two. "
PROMPTS = (
    *(f"{SHARED}{text}" for text in ("Q: What is the capital of France?\nA:", "Q: Red?\nA:", "x")),
    f"{SHARED}Why is the sky blue over the sea and grey over the town, do you know that?",
    *("x", "ab", "Z!?", "Why? Because", "a b c a b c", "Q: What is the sum of 2 and 2?\nA:", "oh, in other words"),
    "the sky over the sea is as blue as it can be " * 2,
)
SMALL_CHANGES = ("weight noise 0.0001", "weights rounded to bfloat16", "int8 per tensor", "LoRA of size 0.0001 merged")
SETTINGS = {"greedy": {}, "top-k": {"do_sample": True, "top_k": 7}}


class SmallBench(Bench):
    """A small model with its baselines; arguments as for `Bench`, with the table's settings."""

    def __init__(self, original: LocalModel, dtype: str, settings: dict[str, object]) -> None:
        super().__init__(original, dtype, 0, 1)
        key = GroupKey(".", "questions", original.name)
        config = complete({"max_new_tokens": 10, **settings})
        self.cases = [
            Case(CaseKey(key, str(at)), Row(str(at), text), "", config, seed=0) for at, text in enumerate(PROMPTS)
        ]
        self.worst = 0.0

    def judged(self, change, model, cases, outputs) -> Result:  # type: ignore[no-untyped-def]
        """Judge the model, and note the movement of the two outputs that moved most."""
        baselines = [self.baselines[case.id] for case in cases]
        judgements = [
            judge(case, baseline, now, model.show, decode=model.decode)
            for case, baseline, now in zip(cases, baselines, outputs, strict=True)
        ]
        result = Result(self.model.name, self.dtype, change.name, change.real, len(cases))
        self.judge_model(result, baselines, outputs, judgements)
        known = [one.likelihood for one in judgements if one.likelihood and one.likelihood.as_read]
        most = sorted(known, key=lambda one: one.rms)[-2:]
        tokens = sum(one.tokens for one in most) or 1
        moved = math.sqrt(sum(one.rms**2 * one.tokens for one in most) / tokens)
        if not change.real and result.limit:
            self.worst = max(self.worst, moved / result.limit)
        return result


def measured(kind: str, dtype: str, name: str) -> tuple[str, int]:
    """A line of figures, and the number of false alarms."""
    inner = small_model(kind)
    inner.generation_config = transformers.GenerationConfig(**IDS)
    original = LocalModel(kind, inner, Bytes())
    bench = SmallBench(original, dtype, SETTINGS[name])
    bench.record()
    results = []
    for change in (*HARMLESS, *(one for one in REAL if one.name in SMALL_CHANGES)):
        is_left_out = change.variables or "medium" in change.name or (change.exact and dtype != "float32")
        if not is_left_out and change.suits(original):
            results.append(bench.try_out(change, change.model(original) if change.model else None))
    return line(results, bench.worst), sum(one.finding == Finding.CHANGED for one in results if not one.real)


def line(results: Sequence[Result], worst: float) -> str:
    """Figures of a model."""
    shares = {
        kind: [one.moved / one.limit for one in results if one.limit and one.real is kind] for kind in (False, True)
    }
    if any(one.finding == Finding.UNKNOWN for one in results):
        return "cannot tell"
    return f"{results[0].noise:>9.1e}{max(shares[False]):>10.2f}{worst:>10.2f}{min(shares[True]):>10.2f}"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help="model types, such as gpt2; 40 by default")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    alarms = 0
    print(f"{'model':<18}{'dtype':<10}{'settings':<9}{'noise':>9}{'harmless':>10}{'worst 2':>10}{'real':>10}")
    for kind in given.kinds or KINDS:
        for dtype in given.dtypes:
            for name in SETTINGS:
                with transformers_quiet():
                    shown, false = measured(kind, dtype, name)
                alarms += false
                print(f"{kind:<18}{dtype:<10}{name:<9}{shown}", flush=True)
    print(f"{alarms} false alarms")
    return bool(alarms)


if __name__ == "__main__":
    sys.exit(main())
