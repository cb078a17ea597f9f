"""What to say of a model that can't be loaded, and of one that can although it's no whole language model."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pytest_llmcompare.errors import ModelError

from .chat_template import TOKENIZER, probe, tells_the_time
from .faults import reason
from .model_files import file_names, matches

OTHER_TASKS = re.compile(
    r"For\w*(?:Classification|QuestionAnswering|MultipleChoice|SentencePrediction|Regression|Detection|Segmentation"
    r"|Retrieval|Embedding|Encoding|Ranking|Reward\w*|Score|CTC|XVector)\Z|Reward\w*\Z|Classifier\Z"
)
"""Classes of transformers, or of somebody else's, that judge or find something and write no text."""

MASKED = "ForMaskedLM"
HEADS = re.compile(
    r"(?:\w+\.)?(?:score|\w*classif\w*|qa_outputs|\w*scorer|logits_proj|sequence_summary|start_logits|end_logits"
    r"|(?:reward|regression|rank|ranking|ner|token|cls|similarity|classification|sentiment)_heads?)\."
)
"""Weights of such classes, beside the language model's own."""

BUFFERS = re.compile(r"(?:(?:attn|attention)\.(?:masked_)?bias|inv_freq|position_ids|token_type_ids)\Z")
"""What older versions of transformers saved and newer ones compute."""

PACKAGES: Mapping[str, str] = {
    "sentencepiece": "sentencepiece",
    "tiktoken": "tiktoken",
    "protobuf": "google.protobuf",
    "blobfile": "blobfile",
    "sacremoses": "sacremoses",
    "jieba": "jieba",
    "rjieba": "rjieba",
    "pythainlp": "pythainlp",
    "fugashi": "fugashi",
    "ipadic": "ipadic",
    "unidic_lite": "unidic_lite",
    "sudachipy": "sudachipy",
    "mistral-common": "mistral_common",
    "jinja2": "jinja2",
    "einops": "einops",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed_tensors",
    "gptqmodel": "gptqmodel",
    "optimum": "optimum",
    "autoawq": "awq",
    "auto-round": "auto_round",
    "hqq": "hqq",
    "aqlm": "aqlm",
    "torchao": "torchao",
    "timm": "timm",
    "kernels": "kernels",
}
"""Packages that some tokenizers and some kinds of weights need, and their modules."""

SENTENCEPIECE = ("*.model", "*.spm")


def unloadable(name: str, location: str | Path, place: object, error: Exception) -> ModelError:
    """The error for a model that a library can't load."""
    if package := missing_package(Path(location), error):
        return ModelError(
            f"model {name!r}: {location} needs the Python package {package!r}, which is not installed here "
            f"({reason(error)}).\nInstall it: pip install {package}"
        )
    return ModelError(
        f"model {name!r}: {location} cannot be loaded on {place}: {reason(error)}\n"
        "To see the whole error: "
        f"python -c \"from transformers import pipeline; pipeline('text-generation', '{location}')\""
    )


def missing_package(folder: Path, error: BaseException) -> str:
    """Name of the package that a model could not be loaded without; empty if it's not for the lack of one.

    transformers tries one library after another and complains of the last, so a tokenizer's own file says more.
    """
    told = " ".join(f"{getattr(link, 'name', '') or ''} {link}" for link in chain_of(error))
    mentioned = [package for package, module in PACKAGES.items() if names(package, module, told)]
    if not mentioned:
        return ""
    if needs_sentencepiece(folder):
        mentioned.insert(0, "sentencepiece")
    return next((package for package in mentioned if not is_installed(PACKAGES[package])), "")


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it, the last ones first."""
    link: BaseException | None = error
    for _ in range(20):  # a chain may be a circle
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def names(package: str, module: str, text: str) -> bool:
    """True if a text mentions a package."""
    return any(
        re.search(rf"(?<![\w./-]){re.escape(word)}(?![\w/-])", text, re.IGNORECASE) for word in {package, module}
    )


def is_installed(module: str) -> bool:
    """True if a module can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def needs_sentencepiece(folder: Path) -> bool:
    """True if the only vocabulary is a file of SentencePiece, which is a protobuf message; tiktoken's are lines."""
    try:
        found = [name for name in file_names(folder) if matches(name, SENTENCEPIECE)]
        return "tokenizer.json" not in file_names(folder) and any(
            (folder / name).read_bytes()[:1] == b"\n" for name in found
        )
    except OSError:
        return False


def check_architectures(name: str, location: str | Path, config: Mapping[str, Any]) -> None:
    """Check that a configuration is not that of a model which writes no text.

    Raises:
        ModelError: It is.
    """
    listed = config.get("architectures")
    classes = [str(kind) for kind in listed] if isinstance(listed, Sequence) and not isinstance(listed, str) else []
    others = [kind for kind in classes if OTHER_TASKS.search(kind) or (MASKED in kind and not config.get("is_decoder"))]
    if others and len(others) == len(classes):
        raise ModelError(
            f"model {name!r}: {location} holds a {others[0]} (architectures in config.json), which was trained for "
            "another task than writing text.\nName a language model, such as one of a class ...ForCausalLM, "
            "...LMHeadModel or ...ForConditionalGeneration."
        )


class Loaded(Protocol):
    """A loaded model with its tokenizer, as `local.LocalModel` is one."""

    name: str
    model: Any
    tokenizer: Any
    chat_template: str
    notes: tuple[str, ...]

    @property
    def vocabulary(self) -> int:
        """How many tokens the model embeds."""

    def chat_text(self, prompt: str, **variables: Any) -> str:
        """A prompt as the chat template makes a text of it."""


def check_loaded(loaded: Loaded, report: Mapping[str, Any], location: str) -> None:
    """Check what transformers would only warn of, or not even that, and note what the user should know.

    Raises:
        ModelError: The weights are those of another kind of model, some are missing (transformers draws them at
            random), the tokenizer knows tokens that the model does not, or the chat template is of no use.
    """
    check_weight_names(loaded, report, location)
    if loaded.tokenizer.vocab_size > loaded.vocabulary:
        raise ModelError(
            f"model {loaded.name!r}: the tokenizer in {location} has {loaded.tokenizer.vocab_size} tokens, "
            f"the model embeds {loaded.vocabulary}, so they do not belong together.\n"
            "Save the model's own tokenizer there: tokenizer.save_pretrained(FOLDER)"
        )
    if loaded.chat_template:
        check_template(loaded, location)


def check_weight_names(loaded: Loaded, report: Mapping[str, Any], location: str) -> None:
    """Check which weights the model has no place for, and which it lacks.

    Raises:
        ModelError: They are not a language model's, or not all of them.
    """
    kind = type(loaded.model).__name__
    unknown = sorted(key for key in report.get("unexpected_keys") or () if not BUFFERS.search(key))
    if heads := [key for key in unknown if HEADS.match(key)]:
        raise ModelError(
            f"model {loaded.name!r}: the weights in {location} hold {heads[0]!r}, which {kind} does not have: they are "
            "those of a classifier or a like model, which was not trained to write text.\n"
            "Name a language model. If it is one all the same, save it without that part: "
            "AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OTHER_FOLDER)"
        )
    if missing := sorted(report.get("missing_keys") or ()):
        raise ModelError(
            f"model {loaded.name!r}: the weights in {location} lack {len(missing)} of {kind}'s, "
            f"such as {missing[0]!r}; they would be random numbers.\n"
            "Save the whole model there: model.save_pretrained(FOLDER)"
        )
    if unknown:
        note = f"{len(unknown)} of its weights are not used, such as {unknown[0]!r}"
        loaded.notes += (f"model {loaded.name!r}: {note}: {kind}, as config.json describes it, has no place for them",)


def check_template(loaded: Loaded, location: str) -> None:
    """Check that a chat template lets a prompt through.

    Raises:
        ModelError: There is none, it raises, or says nothing of the prompt.
    """
    own = loaded.chat_template == TOKENIZER
    if own and not loaded.tokenizer.chat_template:
        raise ModelError(
            f"model {loaded.name!r}: chat_template is on, but the tokenizer in {location} has no chat template.\n"
            "Leave chat_template out, or give a Jinja template of your own."
        )
    which = f"chat_template: the template {f'of the tokenizer in {location} ' if own else ''}"
    render: Callable[..., str] = loaded.chat_text
    if fault := probe(render):
        advice = "give a Jinja template of your own" if own else "correct the template"
        raise ModelError(
            f"model {loaded.name!r}: {which}{fault}.\nEach prompt is one message, "
            f'{{"role": "user", "content": PROMPT}}: {advice}, or set chat_template = false.'
        )
    if tells_the_time(render):
        note = (
            "its chat template writes today's date into each prompt (strftime_now), so outputs can drift from one day "
            "to the next. A chat_template of your own can hold a fixed date"
        )
        loaded.notes += (f"model {loaded.name!r}: {note}",)
