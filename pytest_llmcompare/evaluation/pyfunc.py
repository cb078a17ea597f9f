r"""The public MLflow pyfuncs: a transformers model that continues prompts.

    model = PyfuncTransformer("gpt2-large", gen_config_dict={"max_new_tokens": 10}, examples=FEW_SHOT)
    model.predict(None, ["Q: What color is the sky?\nA:"])  # [" Blue."]

They hold no weights: `models/in_memory.py` does, so that several of them share one model and a pickle of one stays
small.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pandas as pd
from mlflow.pyfunc.model import PythonModel

from pytest_llmcompare.decoding.request import Finished, Outcome, PredictOptions, Request, active_options
from pytest_llmcompare.errors import GenerationError, UsageError
from pytest_llmcompare.models import in_memory
from pytest_llmcompare.models.gen_config import complete
from pytest_llmcompare.models.loading_options import LoadingArguments
from pytest_llmcompare.models.resolve import ResolvedModel, resolve
from pytest_llmcompare.models.spec import SourceKind

from .pyfunc_arguments import batch_fault, checked_spec, loading_faults, settings_faults
from .pyfunc_input import faulty_rows, own_requests, shared_requests

if TYPE_CHECKING:
    ModelInput = object
else:
    ModelInput = pd.DataFrame  # MLflow reads annotations: others make it warn at import, or convert what comes in

Asked = Request | GenerationError


class HeldTransformer(PythonModel):
    """Base of both pyfuncs: finds the model and answers rows.

    Attributes:
        spec: The model, checked; folders are absolute, as of the working folder at construction.
        resolved: Where the model is, found once and only when it is needed.
    """

    resolved: ResolvedModel | None = None

    def __init__(
        self,
        model_name: str,
        *,
        revision: str | None = None,
        dtype: str | None = None,
        device: str | None = None,
        chat_template: str = "",
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
        batch_size: int = 0,
        name: str = "",
        **loading: Unpack[LoadingArguments],
    ) -> None:
        super().__init__()
        options = {
            "revision": revision,
            "dtype": dtype,
            "device": device,
            "chat_template": chat_template,
            "allow_pickle": allow_pickle,
            "trust_remote_code": trust_remote_code,
            "name": name,
        }
        kind = type(self).__name__
        faults = [fault for fault in (*self.own_faults(), batch_fault(batch_size)) if fault]
        faults += loading_faults(kind, loading)
        self.model_name = model_name
        self.batch_size = batch_size
        self.spec = checked_spec(f"{kind}({model_name!r})", model_name, options, loading, faults)

    def own_faults(self) -> list[str]:
        """What is wrong with the arguments that this class adds."""
        return []

    def load_context(self, context: object) -> None:  # noqa: ARG002 - MLflow's signature
        """Find the model and, unless that is deferred, load it; MLflow calls this when it loads the pyfunc.

        Raises:
            ModelError: It cannot be found, is refused, or cannot be loaded.
        """
        self.resolved = None
        in_memory.prepare(self.located())

    def located(self) -> ResolvedModel:
        """Where the model is; files that are not on this machine are downloaded from the hub."""
        if self.resolved is None:
            self.resolved = resolve(self.spec, root=Path.cwd())
        return self.resolved

    def config(self) -> dict[str, Any]:
        """The arguments that make an equal pyfunc, as JSON can hold them; a hub model that was found is pinned."""
        spec, resolved = self.spec, self.resolved
        pinned = resolved.revision if resolved and spec.kind is SourceKind.HUB else spec.revision
        names = ("name", "dtype", "device", "chat_template", "allow_pickle", "trust_remote_code")
        facts = {name: getattr(spec, name) for name in names}
        loading = {**spec.loading.given(), **(resolved.pins if resolved else {})}
        return {"model_name": spec.source, "revision": pinned, **facts, "batch_size": self.batch_size, **loading}

    def answer(self, asked: Sequence[Asked]) -> list[str | None]:
        """Generate a text per row.

        Raises:
            GenerationError: Rows that failed, unless an observer takes them.
            ModelError: The model cannot be found or loaded.
        """
        options = active_options()
        if options is None or options.model is not self:
            options = PredictOptions(self)
        faulty = [(index, row) for index, row in enumerate(asked) if isinstance(row, GenerationError)]
        if faulty and options.observer is None:  # no need to run the model to say so
            raise faulty_rows(faulty, len(asked))
        outcomes: dict[int, Outcome] = {}
        with closing(self.outcomes(asked, options)) as finished:
            for index, outcome in finished:
                outcomes[index] = outcome
                if options.observer is not None:
                    options.observer(index, outcome)
        failed = {index: outcome for index, outcome in outcomes.items() if isinstance(outcome, GenerationError)}
        if failed and options.observer is None:
            raise faulty_rows(failed.items(), len(asked))
        return [None if index in failed else str(outcomes[index]) for index in range(len(asked))]

    def outcomes(self, asked: Sequence[Asked], options: PredictOptions) -> Generator[Finished]:
        """Index and outcome of each row as soon as it is finished, faulty rows first; the model is held until closed.

        Raises:
            ModelError: The model cannot be found or loaded.
        """
        for index, row in enumerate(asked):
            if isinstance(row, GenerationError):
                yield index, row
        requests = {
            index: replace(row, draft=options.drafts.get(index))
            for index, row in enumerate(asked)
            if isinstance(row, Request)
        }
        if not requests:
            return
        from pytest_llmcompare.decoding.engine import answers  # imports torch, which loading the pyfunc must not

        indices = list(requests)
        with in_memory.using(self.located()) as model:
            finished = answers(
                model,
                list(requests.values()),
                batch_size=self.batch_size,
                shortcuts=options.shortcuts,
                read=options.read,
                take_seconds=lambda position, seconds: options.take_seconds(indices[position], seconds),
            )
            answered = []
            for position, outcome in finished:
                yield indices[position], outcome
                if options.take_noise is not None and not isinstance(outcome, GenerationError):
                    answered.append((requests[indices[position]], outcome))
            if options.take_noise is not None:
                from pytest_llmcompare.decoding.measure_noise import measure_noise  # imports torch

                noise = measure_noise(model, answered)
                if noise is not None:
                    options.take_noise(noise)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "resolved"}  # of this process


class PyfuncTransformer(HeldTransformer):
    """Continues each text it is given, after the same few-shot examples and with the same decoding settings.

    Args:
        model_name: Hub id (`gpt2-large`) or folder (`./models/tiny`).
        gen_config_dict: Decoding settings, keywords of `transformers.GenerationConfig`; greedy and 64 tokens at most
            where it says nothing.
        examples: Few-shot examples, put before every input as they are.
        revision: Branch, tag or commit of a hub model.
        dtype: `float32`, `bfloat16`, `float16` or `auto`, which is the checkpoint's own and the default.
        device: `cpu`, `cuda`, `cuda:1`, ..., or `auto`; by default a GPU if there is one.
        chat_template: `"tokenizer"` for the tokenizer's own, or a Jinja template; by default none.
        allow_pickle: Whether pickled weights may be read, which can run any code.
        trust_remote_code: Whether Python code that comes with the model may run.
        batch_size: Most prompts in one forward pass; 0 chooses.
        name: Name of the model in messages; by default the last part of `model_name`.
        loading: `subfolder`, `attn_implementation`, `gguf_file`, `max_memory`, `offload_folder`, `tokenizer` and
            `base`, as in the model's table of `pyproject.toml`.

    Raises:
        UsageError: Faulty arguments, all of them named.
    """

    def __init__(
        self,
        model_name: str,
        gen_config_dict: Mapping[str, Any] | None = None,
        examples: str = "",
        *,
        revision: str | None = None,
        dtype: str | None = None,
        device: str | None = None,
        chat_template: str = "",
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
        batch_size: int = 0,
        name: str = "",
        **loading: Unpack[LoadingArguments],
    ) -> None:
        self.gen_config_dict = {} if gen_config_dict is None else gen_config_dict
        self.examples = examples
        super().__init__(
            model_name,
            revision=revision,
            dtype=dtype,
            device=device,
            chat_template=chat_template,
            allow_pickle=allow_pickle,
            trust_remote_code=trust_remote_code,
            batch_size=batch_size,
            name=name,
            **loading,
        )
        self.gen_config_dict = dict(self.gen_config_dict)

    def own_faults(self) -> list[str]:
        """As in `HeldTransformer`."""
        faults = settings_faults("gen_config_dict", self.gen_config_dict)
        return faults if isinstance(self.examples, str) else [*faults, f"examples={self.examples!r}, expected text."]

    def config(self) -> dict[str, Any]:
        """As in `HeldTransformer`."""
        return {**super().config(), "gen_config_dict": self.gen_config_dict, "examples": self.examples}

    def predict(
        self,
        context: object,  # noqa: ARG002 - MLflow's signature
        model_input: ModelInput,
        params: dict[str, Any] | None = None,
    ) -> list[str | None]:
        """Continue texts.

        Args:
            context: MLflow's context; not used.
            model_input: A text, a list or Series of texts, or a DataFrame with one column of them, or with a column
                `input_text` among others.
            params: Decoding settings for this call only, over `gen_config_dict`.

        Returns:
            The generated texts without their prompts, one per row; None only where an observer takes the failures.

        Raises:
            UsageError: Input or params of another form.
            GenerationError: Rows that failed.
            ModelError: The model cannot be found or loaded.
        """
        in_force = {**self.gen_config_dict, **(params or {})}
        if faults := settings_faults("params", in_force):
            raise UsageError("\n".join(faults))
        return self.answer(shared_requests(model_input, self.examples, complete(in_force)))


class PyfuncTransformerWithParams(HeldTransformer):
    """Continues each text with examples, decoding settings and seed of its own row.

    Args:
        model_name, revision, dtype, device, chat_template, allow_pickle, trust_remote_code, batch_size, name,
            loading: As in `PyfuncTransformer`.

    Raises:
        UsageError: Faulty arguments, all of them named.
    """

    def predict(
        self,
        context: object,  # noqa: ARG002 - MLflow's signature
        model_input: ModelInput,
        params: dict[str, Any] | None = None,  # noqa: ARG002 - MLflow's signature
    ) -> list[str | None]:
        """Continue the text of each row.

        Args:
            context: MLflow's context; not used.
            model_input: A DataFrame, list of dicts or dict of columns with `input_text` and where wanted
                `few_shot_examples`, `config_dict` (a dict or JSON text) and `seed` (of a sampled row).
            params: Not used: each row has its own.

        Raises:
            UsageError: Input of another form.
            GenerationError: Rows that failed.
            ModelError: The model cannot be found or loaded.
        """
        return self.answer(own_requests(model_input))
