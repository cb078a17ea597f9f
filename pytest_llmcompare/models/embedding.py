"""Embedding models of sentence-transformers: from a folder or the hub, cache first; one is kept loaded."""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.text import error_line

from .hub import contents, fetch, find_snapshot, offline_variable, repository, shown_endpoint, write_ref
from .uris import folder_path

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

MODULES = "modules.json"
FILES = (".json", ".txt", ".model", ".safetensors")
"""Endings of files to download: settings, tokenizer, weights that are not pickled."""

OTHER_RUNTIMES = ("onnx", "openvino")
FOLDER = 'name a folder that holds it: semantic_model = "./FOLDER" under [tool.llmcompare] in pyproject.toml'


class Embedding:
    """A loaded embedding model. Texts longer than its window are compared in parts."""

    def __init__(self, model: SentenceTransformer) -> None:
        self.model = model
        self.window = int(model.max_seq_length or 0)  # tokens; 0 for a model without a limit

    def similarity(self, one: str, other: str) -> float:
        """Cosine similarity of two texts' embeddings; for long texts, that of their least similar parts."""
        texts = [text.encode("utf-8", "replace").decode() for text in (one, other)]
        count = self.parts(texts)
        vectors = self.encode([part for text in texts for part in equal_parts(text, count)])
        return min(_dot(vectors[at], vectors[count + at]) for at in range(count))

    def parts(self, texts: list[str]) -> int:
        """Number of equal parts to cut both texts into, so that each fits into the model's window."""
        count = 1
        while self.window and any(
            self.tokens(part) > self.window for text in texts for part in equal_parts(text, count)
        ):
            count *= 2
        return count

    def tokens(self, text: str) -> int:
        """Number of tokens, special ones included."""
        return len(self.model.tokenizer(text, verbose=False)["input_ids"])

    def encode(self, texts: list[str]) -> list[list[float]]:
        """Embeddings of length 1."""
        with _quiet():
            vectors = self.model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return [[float(number) for number in vector] for vector in vectors]


def equal_parts(text: str, count: int) -> list[str]:
    """Cut a text into a number of equal parts."""
    places = [len(text) * at // count for at in range(count + 1)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


def _dot(one: list[float], other: list[float]) -> float:
    """Scalar product."""
    return math.fsum(left * right for left, right in zip(one, other, strict=True))


def embedding_folder(model: str, root: Path) -> Path:
    """The folder of an embedding model, downloaded if needed and allowed.

    Args:
        model: Hub id or folder.
        root: Folder that a relative path starts from.

    Raises:
        ModelError: It cannot be found.
    """
    folder = folder_path(model, root)
    if folder.is_dir():
        if not (folder / MODULES).is_file():
            raise ModelError(
                f"semantic_model {model!r}: {folder} has no {MODULES}, so sentence-transformers did not save it.\n"
                f"Write the whole model there: SentenceTransformer(...).save_pretrained({str(folder)!r})"
            )
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ModelError(
            f"semantic_model {model!r}: there is no folder {Path(os.path.normpath(folder))}.\n"
            f"Folders are relative to pytest's root, {root}. A hub id has one '/' at most."
        )
    return _snapshot(model)


def _snapshot(model: str) -> Path:
    """The cached snapshot of a hub model, downloaded if it is not cached and the hub may be asked.

    Raises:
        ModelError: It is not in the cache, and the hub may not be asked, does not answer, or does not have it.
    """
    cached = find_snapshot(model, None)
    if cached and (cached.folder / MODULES).is_file():
        return cached.folder
    if variable := offline_variable():
        raise _absent(model, f"{variable}={os.environ[variable]} forbids asking the hub", f"unset {variable}, or ")
    try:
        return _download(model)
    except ModelError:
        raise
    except Exception as error:  # anything that the network, the disk and their libraries raise
        raise _absent(model, f"the download from {shown_endpoint()} failed ({error_line(error)})", "") from None


def _download(model: str) -> Path:
    """Download a model without pickled weights. `MODULES` comes last: if it is there, all of the model is."""
    commit, names = contents(model, None)
    if MODULES not in names:
        raise _absent(model, f"{shown_endpoint()} has it without {MODULES}, so it is not an embedding model", "")
    wanted = [name for name in names if name.endswith(FILES) and name.partition("/")[0] not in OTHER_RUNTIMES]
    fetch(model, commit, [name for name in wanted if name != MODULES])
    folder = fetch(model, commit, [MODULES])
    write_ref(model, None, commit)
    return folder


def _absent(model: str, why: str, remedy: str) -> ModelError:
    """The error for a model that is neither cached nor downloaded: the reason, where we looked, and what to do."""
    return ModelError(
        f"semantic_model {model!r} is not on this machine, and {why}.\n"
        f"Looked in {repository(model)}.\n"
        f"Download it where there is a network (hf download {model}), or {remedy}{FOLDER}"
    )


@functools.lru_cache(maxsize=1)
def load_embedding(model: str) -> Embedding:
    """Load an embedding model on the CPU, as a GPU is for the models that are compared.

    Raises:
        ModelError: It cannot be found or loaded.
    """
    folder = embedding_folder(model, Path.cwd())
    from sentence_transformers import SentenceTransformer

    try:
        with _quiet():
            safe = {"use_safetensors": True}
            return Embedding(SentenceTransformer(str(folder), device="cpu", local_files_only=True, model_kwargs=safe))
    except Exception as error:  # anything that the library and the files raise
        raise ModelError(
            f"semantic_model {model!r}: sentence-transformers cannot load {folder}: {error_line(error)}.\n"
            "Weights have to be in model.safetensors; pickled ones are refused."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's warnings and progress bars off the terminal."""
    from .load import transformers_quiet

    with transformers_quiet():
        yield


def forget_embedding() -> None:
    """Free the model."""
    load_embedding.cache_clear()
