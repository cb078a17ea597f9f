"""How far log-probs and margins move although nothing changed: `python benchmarks/noise.py`.

`comparison/noise.py` says what counts as noise. Here it is measured: every model generates its tokens one at
a time, each prompt alone, on one thread. Then the same tokens are scored in other ways that should make no difference:
other batches, padding, threads, attention kernels, one pass instead of many, and the instructions of other processors.
The differences of the scores are noise:

    rms     root mean square of the differences of the tokens' log-probs; the largest of any prompt, because each
            prompt is judged by itself
    max     the largest of these differences
    margin  the largest difference of a top-2 margin

All in nats, and in units of a step of the format times the largest score (logit), in which the limits grow.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from subjects import TRAINED, examples, machine, questions, subject
from torch import Tensor
from ways import Subject, threads, ways

from pytest_llmcompare.comparison.noise import PRECISIONS, limits
from pytest_llmcompare.models.load import transformers_quiet

MODELS = (*TRAINED, "sharp", "llama", "gemma2")
DTYPES = ("float32", "bfloat16", "float16")
SHARED = 2  # examples that all prompts start with
PROCESSORS = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "SSE4": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
"""Instructions of older processors, as environment variables that keep torch and its libraries from using others."""


@dataclass(frozen=True)
class Difference:
    """How far the scores of one way differ, for one model and precision.

    Attributes:
        model, dtype, way: Names of the three.
        rms, most, margin: As above, in nats.
        rms_units, margin_units: The same in steps of the format times the prompt's largest score.
        scale: Largest score.
        holds: Whether all of it is within the limits that `noise.py` sets.
    """

    model: str
    dtype: str
    way: str
    rms: float
    most: float
    margin: float
    rms_units: float
    margin_units: float
    scale: float
    holds: bool


def compare(
    model: str, dtype: str, way: str, reference: Tensor, scores: Tensor, drafts: Sequence[list[int]]
) -> Difference:
    """Compare two tensors of scores [rows, length, vocab]."""
    tokens = torch.tensor(drafts)[..., None]  # [rows, length, 1]
    logprobs = [(found.gather(-1, tokens) - found.logsumexp(-1, keepdim=True))[..., 0] for found in (reference, scores)]
    moved = (logprobs[1] - logprobs[0]).double()  # [rows, length]
    best = reference.topk(2, dim=-1).indices  # [rows, length, 2]
    gaps = [found.gather(-1, best).double() for found in (reference, scores)]
    margins = ((gaps[1][..., 0] - gaps[1][..., 1]) - (gaps[0][..., 0] - gaps[0][..., 1])).abs()  # [rows, length]
    scales = reference.max(-1).values.abs().amax(-1).double()  # [rows]
    rms, worst = moved.square().mean(-1).sqrt(), margins.amax(-1)  # [rows]
    environment = (("dtype", dtype),)
    allowed = [limits(environment, environment, scale) for scale in scales.tolist()]
    return Difference(
        model,
        dtype,
        way,
        rms=float(rms.max()),
        most=float(moved.abs().max()),
        margin=float(worst.max()),
        rms_units=float((rms / scales).max()) / PRECISIONS[dtype].step,
        margin_units=float((worst / scales).max()) / PRECISIONS[dtype].step,
        scale=float(scales.max()),
        holds=all(
            one <= limit.band and other <= limit.tolerance
            for one, other, limit in zip(rms.tolist(), worst.tolist(), allowed, strict=True)
        ),
    )


@dataclass(frozen=True)
class Reference:
    """Output of a model for each prompt alone: scores [rows, length, vocab], and the tokens chosen from them."""

    model: str
    dtype: str
    reference: Tensor
    drafts: list[list[int]]


@torch.no_grad()
def measured(name: str, dtype: str, prompts: int, length: int) -> tuple[Reference, list[Difference]]:
    """Measure all ways of one model in one precision in this process."""
    with transformers_quiet(), threads(1):
        one = Subject(subject(name, dtype), questions(prompts), length, examples(SHARED))
        reference = one.write(1)
        one.drafts = reference.argmax(-1).tolist()
        found = [compare(name, dtype, way, reference, run(), one.drafts) for way, run in ways(one).items()]
    return Reference(name, dtype, reference, one.drafts), found


def elsewhere(told: Sequence[Reference], processor: str) -> Iterator[Difference]:
    """Measure in a process that uses the instructions of another processor."""
    with tempfile.TemporaryDirectory() as folder:
        asked, said = Path(folder) / "asked.json", Path(folder) / "said.pt"
        asked.write_text(json.dumps([[one.model, one.dtype, one.drafts] for one in told]), encoding="ascii")
        command = [sys.executable, __file__, "--child", str(asked), str(said)]
        subprocess.run(command, env={**os.environ, **PROCESSORS[processor]}, check=True)
        for one, found in zip(told, torch.load(said), strict=True):
            for way, scores in zip(("", ", one pass"), found, strict=True):
                name = f"instructions of {processor} only, batch of 8{way}"
                yield compare(one.model, one.dtype, name, one.reference, scores, one.drafts)


@torch.no_grad()
def child(asked: Path, said: Path) -> None:
    """Score known tokens one at a time and in one pass; the process that `elsewhere` starts."""
    found = []
    for name, dtype, drafts in json.loads(asked.read_text(encoding="ascii")):
        with transformers_quiet(), threads(1):
            one = Subject(subject(name, dtype), questions(len(drafts)), len(drafts[0]), examples(SHARED))
            one.drafts = drafts
            found.append([one.write(8), one.read(8)])
    torch.save(found, said)


def grouped(
    found: Iterable[Difference], by: Callable[[Difference], tuple[str, str]]
) -> dict[tuple[str, str], list[Difference]]:
    """Group figures, in the order in which they come."""
    groups: dict[tuple[str, str], list[Difference]] = {}
    for one in found:
        groups.setdefault(by(one), []).append(one)
    return groups


def report(found: Sequence[Difference]) -> str:
    """The figures as two tables, and whether the limits hold."""
    lines = []
    for title, by in (
        ("model", lambda one: (one.dtype, one.model)),
        ("way", lambda one: (one.dtype, one.way)),
    ):
        lines.append(f"{'dtype':<10}{title:<44}{'rms':>9}{'max':>9}{'margin':>9}{'rms/u':>8}{'margin/u':>9}  holds")
        groups = grouped(found, by)
        for dtype, name in sorted(groups, key=lambda key: DTYPES.index(key[0])):
            group = groups[dtype, name]
            largest = [max(getattr(one, key) for one in group) for key in ("rms", "most", "margin")]
            units = [max(getattr(one, key) for one in group) for key in ("rms_units", "margin_units")]
            holds = "yes" if all(one.holds for one in group) else "NO"
            numbers = "".join(f"{number:>9.1e}" for number in largest)
            lines.append(f"{dtype:<10}{name:<44}{numbers}{units[0]:>8.2f}{units[1]:>9.2f}  {holds}")
        lines.append("")
    for dtype in dict.fromkeys(one.dtype for one in found):
        own = PRECISIONS[dtype]
        lines.append(
            f"{dtype}: likelihoods may move by {own.band:g} units (at least {own.least_band:g} nats), "
            f"ties are up to {own.tie:g} units (at least {own.least_tie:g})"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=16)
    parser.add_argument("--quick", action="store_true", help="one model, few prompts")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--show", type=Path, help="print the figures in a file instead of measuring")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    if given.show:
        kept = json.loads(given.show.read_text(encoding="ascii"))
        print(f"{kept['head']}\n\n{report([Difference(**one) for one in kept['found']])}")
        return
    if given.quick:
        given.models, given.prompts, given.new_tokens = ["tiny-gpt2-distil"], 8, 8
    told, found = [], []
    for dtype in given.dtypes:
        for name in given.models:
            print(f"{name}, {dtype}", file=sys.stderr, flush=True)
            said, differences = measured(name, dtype, given.prompts, given.new_tokens)
            told.append(said)
            found += differences
    found += [one for processor in PROCESSORS for one in elsewhere(told, processor)]
    head = f"{machine()}\n{given.prompts} prompts x {given.new_tokens} tokens"
    print(f"{head}\n\n{report(found)}")
    if given.json:
        lines = ",\n".join(json.dumps(asdict(one)) for one in found)
        given.json.write_text(f'{{"head": {json.dumps(head)}, "found": [\n{lines}\n]}}\n', encoding="ascii")
    sys.exit(0 if all(one.holds for one in found) else 1)


if __name__ == "__main__":
    main()
