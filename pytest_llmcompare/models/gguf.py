"""GGUF files, the format of llama.cpp: found, checked by their headers, and described.

transformers loads them with dequantised weights, and with the tokenizer that the file holds.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

from pytest_llmcompare.errors import ModelError

from .file_digests import content_digest
from .model_files import LENGTH, is_lfs_pointer
from .spec import ModelSpec
from .uris import folder_path, is_gguf

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ARCHITECTURE = "general.architecture"
PART = re.compile(r"-\d{5}-of-\d{5}\.gguf\Z")
SERVE = (
    "Serve it with llama.cpp instead (llama-server --model {file} --port 8000), and name the server: "
    "{name}=openai:{stem}@http://127.0.0.1:8000/v1"
)
"""What to do with a GGUF file that transformers can't load."""

FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
"""How values of a fixed size are packed, by GGUF's numbers of their types."""
STRING, ARRAY = 8, 9

PLAIN = ("F32", "F16", "BF16", "F64")
NUMBER_FORMATS = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    28: "F64",
    29: "IQ1_M",
    30: "BF16",
    34: "TQ1_0",
    35: "TQ2_0",
    39: "MXFP4",
}
"""Names of the number formats of tensors, by GGUF's numbers."""


@dataclass(frozen=True)
class Header:
    """What a GGUF file says about its model before the weights.

    Attributes:
        architecture: Name of the architecture in llama.cpp, such as `llama`.
        formats: Number formats of the weights, the one of most weights first.
    """

    architecture: str
    formats: tuple[str, ...]

    @property
    def is_quantized(self) -> bool:
        """True if some weights are stored in blocks of few bits."""
        return any(name not in PLAIN for name in self.formats)


def gguf_path(spec: ModelSpec, root: Path) -> Path | None:
    """The GGUF file that a spec names by its path; None if it names something else, or there is no such file."""
    if not is_gguf(spec.source):
        return None
    path = Path(os.path.normpath(folder_path(spec.source, root)))
    return path if path.is_file() else None


def check_gguf(spec: ModelSpec, path: Path) -> None:
    """Check the header of a GGUF file: that it holds a whole model.

    Raises:
        ModelError: It is one of several parts, a pointer of git-lfs, or its header can't be read.
    """
    if is_lfs_pointer(path):
        raise ModelError(
            f"model {spec.name!r}: {path.name} in {path.parent} is a git-lfs pointer, not the file itself.\n"
            f"Fetch it: git -C {path.parent} lfs pull"
        )
    if PART.search(path.name):
        raise ModelError(
            f"model {spec.name!r}: {path} is one of several parts of a model, and transformers reads whole files.\n"
            "Merge them: llama-gguf-split --merge FIRST_PART MERGED.gguf"
        )
    try:
        read_architecture(path)
    except ValueError as error:
        raise ModelError(
            f"model {spec.name!r}: {path} is not a whole GGUF file: {error}.\nCopy or download it again."
        ) from None


def gguf_fingerprint(path: Path) -> str:
    """Fingerprint of a GGUF file: a digest of its content, so that a renamed copy has the same; 12 hex digits."""
    return content_digest(path)[:LENGTH]


def gguf_options(location: str | Path) -> tuple[Path, dict[str, Any]]:
    """Where transformers finds a model: its folder, and the options that name the GGUF file in it, if it is one."""
    path = Path(location)
    return (path.parent, {"gguf_file": path.name}) if is_gguf(path.name) and path.is_file() else (path, {})


def gguf_arguments(config: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `from_pretrained` for the weights of a GGUF file, which are dequantised.

    Args:
        config: The configuration that transformers read from the file.
        options: Options that name the file.
    """
    from transformers import GgufConfig

    if config.model_type == "gpt2" and getattr(config, "n_ctx", None):
        config.n_positions = config.n_ctx  # transformers gives it 1024 positions, whatever the file has
    return {"config": config, "quantization_config": GgufConfig(dequantize=True), **options}


def unloadable_gguf(name: str, path: Path, reason: str) -> ModelError:
    """The error for a GGUF file that transformers can't load."""
    from importlib.metadata import version

    try:
        kind = f" of the architecture {read_architecture(path)!r}"
    except (ValueError, OSError):
        kind = ""
    advice = SERVE.format(file=path, name=name, stem=path.stem)
    return ModelError(
        f"model {name!r}: {path} is a GGUF file{kind}, which transformers {version('transformers')} cannot load: "
        f"{reason}\n{advice}"
    )


def gguf_note(name: str, header: Header, dtype: str) -> str:
    """A note on a model loaded from a GGUF file: it computes with dequantised weights."""
    formats = " and ".join(header.formats[:2])
    if not header.is_quantized:
        return f"model {name!r} is read from a GGUF file with weights in {formats}, and computes in {dtype}"
    return (
        f"model {name!r} is read from a GGUF file, its weights ({formats}) dequantised to {dtype}; "
        "llama.cpp computes with the quantised ones and can answer differently"
    )


def read_architecture(path: Path) -> str:
    """Name of the architecture of a GGUF file.

    Raises:
        ValueError: The header can't be read, or names none.
    """
    with path.open("rb") as file:
        _, fields = _begin(file)
        for key, value in fields:
            if key == ARCHITECTURE and isinstance(value, str):
                return value
    raise ValueError(f"it names no {ARCHITECTURE}")


def read_header(path: Path) -> Header:
    """Architecture and number formats of a GGUF file.

    Raises:
        ValueError: The header can't be read.
    """
    weights: Counter[str] = Counter()
    with path.open("rb") as file:
        tensors, fields = _begin(file)
        architecture = str(dict(fields).get(ARCHITECTURE, ""))
        for _ in range(tensors):
            shape, number_format = _tensor(file)
            if len(shape) > 1:  # vectors, such as biases, are never quantised
                weights[number_format] += prod(shape)
    return Header(architecture, tuple(name for name, _ in weights.most_common()))


def _begin(file: IO[bytes]) -> tuple[int, Iterator[tuple[str, object]]]:
    """Number of tensors, and the fields of the header, which are read as they are iterated over."""
    if (magic := file.read(4)) != MAGIC:
        raise ValueError(f"it begins with {magic!r}, expected {MAGIC!r}")
    version = _number(file, "<I")
    if version not in VERSIONS:
        raise ValueError(f"it is of version {version}, expected {' or '.join(map(str, VERSIONS))}")
    tensors, fields = int(_number(file, "<Q")), int(_number(file, "<Q"))
    return tensors, ((_string(file), _value(file, int(_number(file, "<I")))) for _ in range(fields))


def _tensor(file: IO[bytes]) -> tuple[tuple[int, ...], str]:
    """Shape and number format of the tensor that is described next."""
    _string(file)
    shape = tuple(int(_number(file, "<Q")) for _ in range(int(_number(file, "<I"))))
    number = int(_number(file, "<I"))
    _number(file, "<Q")  # where its weights begin
    return shape, NUMBER_FORMATS.get(number, f"type {number}")


def _value(file: IO[bytes], kind: int) -> object:
    """The value of a field; of an array only what it consists of is read."""
    if kind == STRING:
        return _string(file)
    if kind in FORMATS:
        return _number(file, FORMATS[kind])
    if kind != ARRAY:
        raise ValueError(f"it holds a value of the unknown type {kind}")
    items, count = int(_number(file, "<I")), int(_number(file, "<Q"))
    if items in FORMATS:
        _skip(file, struct.calcsize(FORMATS[items]) * count)
    else:
        for _ in range(count):
            _value(file, items)
    return None


def _number(file: IO[bytes], packed: str) -> float:
    data = file.read(struct.calcsize(packed))
    if len(data) < struct.calcsize(packed):
        raise ValueError("it ends inside its header")
    number: float = struct.unpack(packed, data)[0]
    return number


def _string(file: IO[bytes]) -> str:
    length = int(_number(file, "<Q"))
    if length > _left(file):
        raise ValueError("it ends inside its header")
    return file.read(length).decode("utf-8", "replace")


def _skip(file: IO[bytes], length: int) -> None:
    if length > _left(file):
        raise ValueError("it ends inside its header")
    file.seek(length, os.SEEK_CUR)


def _left(file: IO[bytes]) -> int:
    """Bytes that follow in a file."""
    return os.fstat(file.fileno()).st_size - file.tell()
