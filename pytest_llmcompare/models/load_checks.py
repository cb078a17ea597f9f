"""Checks of a model before and after loading, and the error for one that can't be loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.text import count, error_line

from .chat_template import TOKENIZER, probe, tells_the_time
from .gguf import gguf_note, read_header, unloadable_gguf
from .model_files import file_names, matches
from .pyproject_tables import header
from .quantization import is_installed, quantization_of, quantized_note
from .uris import is_gguf

OTHER_TASKS = re.compile(
    r"For\w*(?:Classification|QuestionAnswering|MultipleChoice|SentencePrediction|Regression|Detection|Segmentation"
    r"|Retrieval|Embedding|Encoding|Ranking|Reward\w*|Score|CTC|XVector)\Z|Reward\w*\Z|Classifier\Z"
)
"""Classes, of transformers or other code, that classify or retrieve and generate no text."""

MASKED = "ForMaskedLM"
HEADS = re.compile(
    r"(?:\w+\.)?(?:score|\w*classif\w*|qa_outputs|\w*scorer|logits_proj|sequence_summary|start_logits|end_logits"
    r"|(?:reward|regression|rank|ranking|ner|token|cls|similarity|classification|sentiment)_heads?)\."
)
"""Weights that such classes have besides those of a language model."""

BUFFERS = re.compile(r"(?:(?:attn|attention)\.(?:masked_)?bias|inv_freq|position_ids|token_type_ids)\Z")
"""Buffers that older versions of transformers saved and newer ones compute."""

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
    "gguf": "gguf",
    "aqlm": "aqlm",
    "torchao": "torchao",
    "timm": "timm",
    "kernels": "kernels",
}
"""Packages that some tokenizers and quantisation formats need, with their modules."""

SENTENCEPIECE = ("*.model", "*.spm")


def unloadable(name: str, location: str | Path, place: object, error: Exception) -> ModelError:
    """The error for a model that a library can't load."""
    if package := missing_package(Path(location), error):
        return ModelError(
            f"model {name!r}: {location} needs the Python package {package!r}, which is not installed here "
            f"({error_line(error)}).\nInstall it: pip install {package}"
        )
    if is_gguf(str(location)):
        return unloadable_gguf(name, Path(location), error_line(error))
    return ModelError(
        f"model {name!r}: {location} cannot be loaded on {place}: {error_line(error)}\n"
        "To see the whole error: "
        f"python -c \"from transformers import pipeline; pipeline('text-generation', '{location}')\""
    )


def mismatched(name: str, location: str | Path, report: Mapping[str, Any]) -> ModelError:
    """The error for weights of other shapes than config.json describes, which the report lists."""
    weights = sorted(report.get("mismatched_keys") or ()) or [("?", (), ())]
    key, own, described = weights[0]
    return ModelError(
        f"model {name!r}: {location} holds {count(len(weights), 'weight')} of another shape than its config.json "
        f"describes, such as {key!r}: {tuple(own)} instead of {tuple(described)}.\n"
        "Save both together: model.save_pretrained(FOLDER)"
    )


def missing_package(folder: Path, error: BaseException) -> str:
    """The package whose absence keeps a model from loading; empty if that is not the cause.

    transformers tries one library after another and names the last, so a tokenizer's own file says more.
    """
    messages = " ".join(f"{getattr(link, 'name', '') or ''} {link}" for link in _chain_of(error))
    mentioned = [package for package, module in PACKAGES.items() if _mentions(messages, package, module)]
    if not mentioned:
        return ""
    if _needs_sentencepiece(folder):
        mentioned.insert(0, "sentencepiece")
    return next((package for package in mentioned if not is_installed(PACKAGES[package])), "")


def _chain_of(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, the cause of that, and so on."""
    link: BaseException | None = error
    for _ in range(20):  # a chain may be a circle
        if link is None:
            return
        yield link
        link = link.__cause__ or link.__context__


def _mentions(text: str, package: str, module: str) -> bool:
    return any(
        re.search(rf"(?<![\w./-]){re.escape(word)}(?![\w/-])", text, re.IGNORECASE) for word in {package, module}
    )


def _needs_sentencepiece(folder: Path) -> bool:
    """True if the only vocabulary is a SentencePiece file, which is a protobuf message; tiktoken's files are lines."""
    try:
        vocabularies = [name for name in file_names(folder) if matches(name, SENTENCEPIECE)]
        return "tokenizer.json" not in file_names(folder) and any(
            (folder / name).read_bytes()[:1] == b"\n" for name in vocabularies
        )
    except OSError:
        return False


def check_architectures(name: str, location: str | Path, config: Mapping[str, Any]) -> None:
    """Check that a model's configuration names a class that generates text.

    Raises:
        ModelError: It names classes for other tasks only.
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
    """A loaded model with its tokenizer, such as a `load.LocalModel`."""

    name: str
    model: Any
    tokenizer: Any
    chat_template: str
    quantization: str
    notes: tuple[str, ...]

    @property
    def vocabulary(self) -> int:
        """How many tokens the model embeds."""

    def chat_text(self, prompt: str, **variables: Any) -> str:
        """Render a prompt by the chat template."""


def check_loaded(loaded: Loaded, report: Mapping[str, Any], location: str, tokenizer: str) -> None:
    """Check what transformers only warns of or ignores, and add notes for the user.

    Args:
        loaded: The model.
        report: What transformers says about its weights.
        location: Folder of the weights.
        tokenizer: Folder of the tokenizer.

    Raises:
        ModelError: The weights belong to another kind of model, some are missing (transformers fills them in at
            random), the tokenizer has tokens that the model does not embed, or the chat template does not work.
    """
    check_weight_names(loaded, report, location)
    if loaded.tokenizer.vocab_size > loaded.vocabulary:
        raise ModelError(
            f"model {loaded.name!r}: the tokenizer in {tokenizer} has {loaded.tokenizer.vocab_size} tokens, "
            f"the model embeds {loaded.vocabulary}, so they do not belong together.\n"
            + (
                "Save the model's own tokenizer there: tokenizer.save_pretrained(FOLDER)"
                if tokenizer == location
                else f"Name the model's own, or leave tokenizer out of {header(loaded.name)}."
            )
        )
    if loaded.chat_template:
        check_template(loaded, tokenizer)


def describe_quantization(loaded: Loaded, location: Path) -> None:
    """Record how the weights are quantised, and add a note for the user."""
    if is_gguf(location.name) and location.is_file():
        header = read_header(location)
        loaded.quantization = f"gguf:{header.formats[0]}" if header.formats else "gguf"
        loaded.notes += (gguf_note(loaded.name, header, str(loaded.model.dtype).removeprefix("torch.")),)
    elif quantization := quantization_of(loaded.model.config.to_dict()):
        loaded.quantization = quantization
        loaded.notes += (quantized_note(loaded.name, quantization),)


def check_vocabulary(name: str, own: Mapping[str, int], base: Mapping[str, int], folders: tuple[str, str]) -> None:
    """Check that the tokenizer of an adapter has the vocabulary of its base; it may have further tokens.

    Args:
        name: Name of the model.
        own: Ids by token of the adapter's tokenizer.
        base: The same of the base's tokenizer.
        folders: Where the two were found.

    Raises:
        ModelError: A token of the base has another id.
    """
    differing = [(number, token) for token, number in base.items() if own.get(token) != number]
    if differing:
        number, token = min(differing)
        raise ModelError(
            f"model {name!r}: the adapter in {folders[0]} was trained on another vocabulary than that of the base in "
            f"{folders[1]}: token {token!r} is {own.get(token, 'missing')} there and {number} here.\n"
            f'Name the base that it was trained on: base = "FOLDER_OR_HUB_ID" in {header(name)} of pyproject.toml'
        )


def check_weight_names(loaded: Loaded, report: Mapping[str, Any], location: str) -> None:
    """Check for weights that the model does not use, and for missing ones.

    Raises:
        ModelError: The weights belong to another kind of model, or some are missing.
    """
    kind = type(loaded.model).__name__
    unknown = sorted(key for key in report.get("unexpected_keys") or () if not BUFFERS.search(key))
    if heads := [key for key in unknown if HEADS.match(key)]:
        raise ModelError(
            f"model {loaded.name!r}: the weights in {location} hold {heads[0]!r}, which {kind} does not have: they are "
            "those of a classifier or a similar model, which was not trained to write text.\n"
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
        why = f"{kind}, as config.json describes it, has no parameters of these names"
        loaded.notes += (f"model {loaded.name!r}: {note}: {why}",)


def check_template(loaded: Loaded, location: str) -> None:
    """Check that the chat template renders a prompt.

    Raises:
        ModelError: There is no template, it raises, or its text leaves the prompt out.
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
    if note := time_note(loaded):
        loaded.notes += (note,)


def time_note(loaded: Loaded) -> str:
    """A note on a chat template that uses the current time; empty if it does not."""
    if not tells_the_time(loaded.chat_text):
        return ""
    return (
        f"model {loaded.name!r}: its chat template writes today's date into each prompt (strftime_now), so outputs can "
        "drift from one day to the next. A chat_template of your own can hold a fixed date"
    )
