"""Files of a transformers model: which belong to it, which are missing. Standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from .file_digests import content_digest, read_ahead

LENGTH = 12
REGISTRY_NOTE = "registered_model_meta"  # MLflow adds it to what it downloads by a registered name, and only then


def weights_fingerprint(folder: Path) -> str:
    """Digest over weights, configuration, tokenizer and generation settings of a model folder; 12 hex digits.

    It depends on names and content of these files, not on the folder's path, nor on other files in it. If the folder
    has no weights that transformers would load, such as a folder logged by MLflow, it covers every file.
    """
    weights = weight_files(folder)
    if not weights:
        return files_digest(folder, sorted(p for p in folder.rglob("*") if p.is_file() and p.name != REGISTRY_NOTE))
    names = {name for name in file_names(folder) if matches(name, SETTINGS)} | set(weights)
    if is_adapter(folder):
        names.add(ADAPTER)
    return files_digest(folder, [folder / name for name in sorted(names)])


def read_weights_ahead(folder: Path) -> None:
    """Start to read what `weights_fingerprint` will read of a model folder."""
    read_ahead(folder / name for name in weight_files(folder))


def tokenizer_fingerprint(folder: Path) -> str:
    """Digest over the tokenizer in a folder, and its chat template; 12 hex digits."""
    names = [name for name in file_names(folder) if matches(name, TOKENIZER_FILES)]
    return files_digest(folder, [folder / name for name in names])


def combined_fingerprint(*fingerprints: str) -> str:
    """Fingerprint of what several parts make together; of a single part its own."""
    if len(fingerprints) == 1:
        return fingerprints[0]
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()[:LENGTH]


FURTHER = (
    *("*.py", "*.json", "*.jinja*", "*.txt", "*.model", "*.spm", "*.tiktoken", "adapter*"),
    *("*.bpe", "*.codes", "*.tokenizer", "*.vocab"),
)
"""Files beside the weights that a model or its tokenizer may read: code, templates, vocabularies, adapters."""
INERT = (
    *("README*", "LICENSE*", "*.md", ".*", "events.out.*", "optimizer*", "scheduler*", "rng_state*"),
    *("pytorch_model*.bin", "*.safetensors", "*.msgpack", "*.h5", "*.onnx", "*.gguf"),
)
"""Files that a model's own code is not expected to read: texts for people, the state of a training, weights. Those that
transformers loads are part of the fingerprint."""
TEMPLATES = "additional_chat_templates"


def further_digest(folder: Path, *, runs_code: bool = False) -> str:
    """Digest over all small files that can affect outputs, code included, which the fingerprint partly leaves out.

    Args:
        folder: The model's folder. A GGUF file in its place holds all that the model reads.
        runs_code: Whether the model's own code may run, which can read files of any name.
    """
    if folder.is_file():
        return content_digest(folder)
    names = file_names(folder)
    files = [folder / name for name in names if matches(name, FURTHER) or (runs_code and not matches(name, INERT))]
    files += [path for path in (folder / TEMPLATES).glob("*") if path.is_file()]
    files += [path for path in folder.rglob("*/*.py") if path.is_file()]
    return files_digest(folder, sorted(set(files)))


def commit_fingerprint(commit: str) -> str:
    """Fingerprint of a hub model: its commit, shortened."""
    return commit[:LENGTH]


def id_fingerprint(model_id: str) -> str:
    """Fingerprint of a model logged in MLflow: its id without `m-`, shortened."""
    return model_id.removeprefix("m-")[:LENGTH]


def files_digest(folder: Path, files: list[Path]) -> str:
    """Digest over names (relative to `folder`, with `/`) and content of files, in the order given."""
    whole = hashlib.sha256()
    for path in files:
        content = content_digest(path)
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()[:LENGTH]


CONFIG = "config.json"
GENERATION = "generation_config.json"
ADAPTER = "adapter_config.json"
SAFETENSORS = "model.safetensors"
PICKLED = "pytorch_model.bin"
FORMATS = (SAFETENSORS, PICKLED)  # in the order in which transformers looks for them
ADAPTER_SAFETENSORS = "adapter_model.safetensors"
ADAPTER_PICKLED = "adapter_model.bin"
ADAPTER_FORMATS = (ADAPTER_SAFETENSORS, ADAPTER_PICKLED)

VOCABULARIES = ("tokenizer.json", "*.model", "*.spm", "*.tiktoken", "*vocab*.txt")
TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab*",
    "merges.txt",
    *VOCABULARIES,
)
SETTINGS = (CONFIG, GENERATION, *TOKENIZER_FILES)
"""Small files that affect outputs: configuration, tokenizer, generation settings, chat template."""

BYTE_TOKENIZERS = ("ByT5", "Canine", "Perceiver")  # these read bytes and have no vocabulary file
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def matches(name: str, patterns: Iterable[str]) -> bool:
    """True if a file name matches one of the patterns."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def file_names(folder: Path) -> tuple[str, ...]:
    """Names of the files in a folder, sorted, without broken links."""
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_file()))


def index_of(weights: str) -> str:
    """Name of the file that lists the shards of sharded weights."""
    return f"{weights}.index.json"


def is_adapter(folder: Path) -> bool:
    """True if a folder has a PEFT adapter and no whole model."""
    return (folder / ADAPTER).is_file() and not (folder / CONFIG).is_file()


def has_adapter_weights(folder: Path) -> bool:
    """True if a folder has weights of a PEFT adapter."""
    return any((folder / weights).is_file() for weights in ADAPTER_FORMATS)


def weight_files(folder: Path) -> tuple[str, ...]:
    """Names of the weight files that transformers would load, with their index; shards need not exist."""
    if is_adapter(folder):
        return next(((name,) for name in ADAPTER_FORMATS if (folder / name).is_file()), ())
    for weights in FORMATS:
        if (folder / weights).is_file():
            return (weights,)
        if (folder / index_of(weights)).is_file():
            return (index_of(weights), *shards(folder / index_of(weights)))
    return ()


def shards(index: Path) -> tuple[str, ...]:
    """Names of the shards that an index lists, sorted; empty if it cannot be read."""
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return tuple(sorted({str(name) for name in listed.values()}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()


def misplaced_shards(folder: Path) -> tuple[str, str] | None:
    """An index and an entry of it that is not a plain file name of the same format; None if all entries are.

    Such an entry would have transformers read another kind of file, or one of another folder.
    """
    index, *names = weight_files(folder) or ("",)
    ending = Path(index.removesuffix(".index.json")).suffix
    wrong = [name for name in names if not _is_plain(name) or not name.endswith(ending)]
    return (index, wrong[0]) if wrong else None


def _is_plain(name: str) -> bool:
    """True if a name is that of a file in the folder itself."""
    return name == Path(name).name and "\\" not in name and name not in ("", ".", "..")


TOKENIZER_FILE = "tokenizer.json"


class Wanted(NamedTuple):
    """What is wanted of a repository or folder.

    Attributes:
        subfolder: Folder inside it that is meant.
        weights: Whether weights and their configuration are wanted.
        tokenizer: Whether a tokenizer is wanted.
        gguf: The GGUF file that is wanted in place of all of these; empty if none is.
    """

    subfolder: str = ""
    weights: bool = True
    tokenizer: bool = True
    gguf: str = ""


WHOLE = Wanted()


def missing_files(folder: Path, wanted: Wanted = WHOLE) -> tuple[str, ...]:
    """What a model folder lacks: names of files, or `tokenizer.json` and `model.safetensors` for any of their kind.

    Args:
        folder: The folder itself; `wanted.subfolder` is not looked at.
        wanted: What it should have.
    """
    if wanted.gguf:
        return () if (folder / wanted.gguf).is_file() else (wanted.gguf,)
    if wanted.weights and is_adapter(folder):
        return () if has_adapter_weights(folder) else (ADAPTER_SAFETENSORS,)
    missing = _missing_weights(folder) if wanted.weights else []
    if wanted.tokenizer and not has_tokenizer(folder):
        missing.append(TOKENIZER_FILE)
    return tuple(missing)


def _missing_weights(folder: Path) -> list[str]:
    """Names of the files of weights and configuration that a folder lacks."""
    weights = weight_files(folder)
    missing = [] if (folder / CONFIG).is_file() else [CONFIG]
    if len(weights) == 1 and weights[0] not in FORMATS:
        missing.append(f"{weights[0]} (it cannot be read)")
    return [*missing, *(n for n in weights or (SAFETENSORS,) if _is_plain(n) and not (folder / n).is_file())]


def has_tokenizer(folder: Path) -> bool:
    """True if there is a vocabulary, or a tokenizer that needs none."""
    names = file_names(folder)
    if any(matches(name, VOCABULARIES) for name in names) or {"vocab.json", "merges.txt"} <= set(names):
        return True
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        return str(config.get("tokenizer_class", "")).startswith(BYTE_TOKENIZERS)
    except (OSError, ValueError, AttributeError):
        return False


def lfs_pointers(folder: Path) -> tuple[str, ...]:
    """Names of files of the model whose place is held by a pointer of git-lfs."""
    ours = (*SETTINGS, "*.safetensors*", "*.bin*", "*.py", ADAPTER)
    return tuple(name for name in file_names(folder) if matches(name, ours) and is_lfs_pointer(folder / name))


def is_lfs_pointer(path: Path) -> bool:
    """True if a file is a git-lfs pointer: what a clone has without git-lfs."""
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False
