"""Weight formats that transformers does not load: their names and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .model_files import matches


class Format(NamedTuple):
    """A format of weights.

    Attributes:
        patterns: Patterns of its file names.
        name: Its name.
        advice: How to get a model that can be used.
    """

    patterns: tuple[str, ...]
    name: str
    advice: str


ORIGINAL = (
    "Take the repository in the format of transformers (often the same name with -hf), or convert it with the script "
    "convert_*_to_hf.py or convert_*_weights.py of that model in transformers."
)
SAVE = "Save the model it was made from with save_pretrained(FOLDER), and name that folder."

FORMATS = (
    Format(
        ("*.gguf", "*.ggml", "ggml-*.bin"),
        "GGUF, the format of llama.cpp and Ollama",
        "Name the file itself (./FOLDER/MODEL.gguf, the ending in small letters), or the model that it was converted "
        "from, as a hub id or folder with safetensors.",
    ),
    Format(("*.onnx", "*.onnx_data", "*.ort"), "ONNX", SAVE),
    Format(
        ("tf_model*.h5", "*.h5", "*.keras", "saved_model.pb", "tf_model.h5.index.json", "*.ckpt.index", "*.tflite"),
        "TensorFlow, which transformers 5 no longer reads",
        "Convert it with transformers 4: AutoModelForCausalLM.from_pretrained(FOLDER, from_tf=True)"
        ".save_pretrained(OTHER_FOLDER)",
    ),
    Format(
        ("flax_model*", "*.msgpack"),
        "Flax, which transformers 5 no longer reads",
        "Convert it with transformers 4: AutoModelForCausalLM.from_pretrained(FOLDER, from_flax=True)"
        ".save_pretrained(OTHER_FOLDER)",
    ),
    Format(
        ("consolidated*", "params.json", "*.distcp"),
        "the format of its authors' training code",
        ORIGINAL,
    ),
    Format(
        ("adapter_model*",),
        "the weights of a PEFT adapter, which needs its adapter_config.json",
        "Save both once more with save_pretrained(FOLDER) of PEFT, and name that folder.",
    ),
    Format(
        ("openvino_*", "*.mlpackage", "*.mlmodel", "*.engine", "*.plan", "*.pte", "*.llamafile", "*.mar"),
        "compiled for another runtime",
        SAVE,
    ),
    Format(("weights*.npz", "*.npz", "*.npy"), "numpy arrays (MLX, or another framework)", SAVE),
    Format(
        ("*.pt", "*.pth", "*.ckpt", "*.bin", "*.pkl", "*.pickle", "*.joblib", "*.mdl"),
        "a checkpoint of PyTorch, or another pickle, under a name that transformers does not look for",
        "Load it with the code that wrote it, and save_pretrained(FOLDER) the model.",
    ),
    Format(
        ("*.safetensors",),
        "safetensors under another name than model.safetensors",
        "Save the whole model with save_pretrained(FOLDER), or rename the file if it is the whole model.",
    ),
)
"""In order: the first one that matches a file applies."""

TRAINING = ("optimizer.*", "scheduler.*", "scaler.*", "rng_state*", "training_args.bin", "tokenizer*", "spiece.model")
"""Files beside the weights that are not weights."""


def foreign_format(names: Iterable[str]) -> tuple[str, Format] | None:
    """The first file with weights in another format, and that format; None if there is none."""
    candidates = [name for name in names if not matches(name.rpartition("/")[2].lower(), TRAINING)]
    for kind in FORMATS:
        for name in candidates:
            if matches(name.rpartition("/")[2].lower(), kind.patterns):
                return name, kind
    return None
