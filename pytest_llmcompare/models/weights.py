"""Weights of a transformers model in memory, loaded from a folder or a GGUF file without network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from pytest_llmcompare.errors import ModelError

from .adapters import Attached
from .device import checked_device, checked_dtype, share_processors
from .gguf import gguf_arguments, gguf_options
from .load_checks import check_architectures, mismatched, unloadable
from .loading_options import LoadingOptions
from .warning_filters import library_warnings_ignored

logging: Any = transformers.logging


@dataclass
class Weights:
    """Weights that several models can be made of: the base itself, and its adapters one after the other.

    Attributes:
        model: The transformers model, in evaluation mode.
        report: What transformers says about weights that are missing or not used.
        location: Where they were loaded from.
        attached: The adapter that changes modules of the model at the moment.
    """

    model: Any
    report: Mapping[str, Any]
    location: str
    attached: Attached | None = None

    def detach(self) -> bool:
        """Take the adapter off; False if the model may not be what it was before."""
        attached, self.attached = self.attached, None
        return attached is None or attached.detach()


def load_weights(
    location: str | Path,
    *,
    name: str,
    dtype: str | None,
    device: str | None,
    trust_remote_code: bool,
    allow_pickle: bool,
    options: LoadingOptions,
) -> Weights:
    """Load weights; the arguments are those of `load.load_model`.

    Raises:
        UsageError: An unknown device or dtype.
        ModelError: They cannot be loaded.
    """
    share_processors()
    place = checked_device(device, name)
    folder, file = gguf_options(location)
    local = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    arguments = {
        "dtype": checked_dtype(dtype, name),
        "device_map": place,
        "use_safetensors": None if allow_pickle else True,
        **options.arguments(place),
    }
    with loading(name, location, place):
        config = AutoConfig.from_pretrained(folder, **local, **file)
        check_architectures(name, location, config.to_dict())
        arguments |= gguf_arguments(config, file) if file else {}
        auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        try:
            model, report = auto.from_pretrained(folder, output_loading_info=True, **arguments, **local)
        except RuntimeError as error:
            if "ignore_mismatched_sizes" not in str(error):
                raise
            arguments["ignore_mismatched_sizes"] = True  # to learn which: the error itself names none
            _, report = auto.from_pretrained(folder, output_loading_info=True, **arguments, **local)
            raise mismatched(name, location, report) from error
    return Weights(model.eval(), report, str(location))


def load_tokenizer(location: str | Path, *, name: str, place: str, trust_remote_code: bool) -> Any:
    """Load the tokenizer in a folder or a GGUF file, of a model on the device `place`.

    Raises:
        ModelError: It cannot be loaded.
    """
    folder, file = gguf_options(location)
    with loading(name, location, place):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code, **file)


@contextmanager
def loading(name: str, location: str | Path, place: str) -> Iterator[None]:
    """Load a part of model `name` without messages of transformers; errors name its folder and the device.

    Raises:
        ModelError: It cannot be loaded.
    """
    try:
        with transformers_quiet():
            yield
    except ModelError:
        raise
    except Exception as error:  # from a library, of any kind: a broken file, an unknown architecture, too little memory
        raise unloadable(name, location, place, error) from error


@contextmanager
def transformers_quiet() -> Iterator[None]:
    """Silence transformers' warnings and progress bars, which it prints per model and per prompt."""
    with library_warnings_ignored(), transformers_errors_only():
        yield


@contextmanager
def transformers_errors_only() -> Iterator[None]:
    """Have transformers log errors only, and show no progress bars; Python's warnings are left as they are.

    To set a level clears what all loggers have cached, so around many calls one block is cheaper than a block for each.
    """
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    loud = level != logging.ERROR
    if loud:
        logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if loud:
            logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
