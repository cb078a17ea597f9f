r"""Parses model specs, the texts that name models. Pure, except that it looks which folders exist.

A text is `[NAME=]SOURCE[@REVISION]`. SOURCE is, in this order:

1. the NAME of a `[tool.llmcompare.models.NAME]` table, whose settings then apply;
2. a folder, if it starts like a path (`./x`, `../x`, `/x`, `~/x`, `C:\x`);
3. an MLflow URI (`models:/qa@champion`, `models:/qa/3`, `models:/m-ID`, `runs:/ID/model`), whose `@` is an alias,
   an `echo:` model (`echo.py`), a served model (`served.py`), or a plugin's `KIND:ANYTHING` (`uris.py`);
4. a folder, if it has a separator and exists below pytest's root (`models/tiny`);
5. a hub id (`gpt2-large`, `bigscience/bloom-560m`). A plain name is always a hub id, even beside a folder of that name,
   so that creating a folder never changes which model a run compares.
A text that begins with a scheme of 3 is never split at `=` or `@`.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmcompare.errors import UsageError
from pytest_llmcompare.text import source_without_secrets

from . import loading_options, served
from .loading_options import LoadingOptions
from .pyproject_tables import CONFIG_FILE, check_name, header, read_model_table
from .source_kind import SourceKind, classify, split_name
from .uris import ECHO, FORMS, MLFLOW_FORMS, folder_path, has_known_scheme, split_specs
from .uris import name_from_uri as mlflow_name

__all__ = ["ModelSpec", "SourceKind", "parse_spec", "parse_specs", "shown_source", "shown_spec", "spec_of"]


@dataclass(frozen=True)
class ModelSpec:
    """One model to compare.

    Attributes:
        name: Name in test ids, baselines and reports; unique in a run.
        source: Hub id, folder as written, MLflow URI, `echo:...`, `openai:MODEL@URL`, or a plugin's `KIND:ANYTHING`.
        kind: Kind of the source.
        revision: Branch, tag or commit of a hub repository; None means `main`.
        gen_config: Decoding settings of this model.
        examples: Few-shot examples put before every prompt.
        dtype: Precision of the weights, such as `float32` or `auto`; None takes the run's, except for a served model.
        device: Such as `cpu`, `cuda:1` or `auto`; None takes the run's.
        decode: How baselines are confirmed: `auto`, `verify` or `plain`; None takes the run's.
        cache: Whether its answers are cached; by default those of local models are.
        chat_template: `""` for none, `"tokenizer"` for the tokenizer's own, else a Jinja template.
        raw_prompts: Whether the user has confirmed that prompts are to be sent without a template.
        allow_pickle: Whether pickled weights and pickled pyfuncs may be loaded; they can run any code.
        trust_remote_code: Whether Python code of the hub repository or folder may run.
        server: How a served model is asked.
        loading: How the files of a hub model or folder are found and loaded.
        near: Name of a configured model that resembles the source, to suggest if the hub has no such model.
    """

    name: str
    source: str
    kind: SourceKind
    revision: str | None = None
    gen_config: Mapping[str, Any] = field(default_factory=dict, hash=False)
    examples: str = ""
    dtype: str | None = None
    device: str | None = None
    decode: str | None = None
    cache: bool | None = None
    chat_template: str = ""
    allow_pickle: bool = False
    trust_remote_code: bool = False
    raw_prompts: bool = field(default=False, compare=False)
    server: served.ServerOptions = field(default=served.ServerOptions(), hash=False)
    loading: LoadingOptions = field(default=LoadingOptions(), hash=False)
    near: str = field(default="", compare=False)


REVISION = re.compile(r"[\w+-][\w./+-]*", re.ASCII)


def parse_specs(
    texts: Sequence[str], named: Mapping[str, Mapping[str, Any]], root: Path, *, others: bool = False
) -> tuple[ModelSpec, ...]:
    """Parse model specs, in order.

    Args:
        texts: Specs; each may hold several, separated by commas (see `split_specs`). A comma at the end is tolerated.
        named: The `[tool.llmcompare.models.NAME]` tables, all of which are checked.
        root: pytest's root folder, which folders are relative to.
        others: Whether plugins load models of other kinds.

    Raises:
        UsageError: A spec or a table cannot be read, or two models share a name.
    """
    for name in named:
        parse_named(name, named=named, root=root, others=others)
    specs: list[ModelSpec] = []
    for text in texts:
        if not (parts := split_specs([text], named)):
            raise UsageError(f"model spec {text!r} is empty. Expected [NAME=]SOURCE[@REVISION], SOURCE {FORMS}.")
        specs.extend(parse_spec(part, named, root, others=others) for part in parts)
    check_unique_names(specs)
    return tuple(specs)


def parse_spec(text: str, named: Mapping[str, Mapping[str, Any]], root: Path, *, others: bool) -> ModelSpec:
    """Parse a single spec.

    Raises:
        UsageError: It cannot be read.
    """
    if text in named:
        return parse_named(text, named=named, root=root, others=others)
    where = f"model spec {source_without_secrets(text)!r}"
    name, source = split_name(text, where, root, others=others)
    configured, at, revision = (source, "", "") if has_known_scheme(source, others=others) else source.partition("@")
    if configured in named:
        if at and not revision:
            raise UsageError(f"{where}: there is nothing after '@'. Expected a branch, tag or commit.")
        return parse_named(configured, named=named, root=root, others=others, name=name, revision=revision)
    return spec_of(source, where, root, name=name, near=tuple(named), others=others)


def parse_named(
    key: str, *, named: Mapping[str, Mapping[str, Any]], root: Path, others: bool, name: str = "", revision: str = ""
) -> ModelSpec:
    """The spec of a configured model, with another name or revision if given."""
    where = f"{header(key)} in {CONFIG_FILE}"
    fields = read_model_table(key, named[key], root)
    source = fields.pop("source").strip()
    chosen = {"revision": revision} if revision else {}
    return spec_of(source, where, root, name=name or key, others=others, **{**fields, **chosen})


def spec_of(
    source: str,
    where: str,
    root: Path,
    *,
    name: str,
    near: Sequence[str] = (),
    others: bool = False,
    revision: str | None = None,
    **fields: Any,
) -> ModelSpec:
    """Make the spec of a source: find its kind, its revision and its default name.

    Raises:
        UsageError: The source cannot be read, or settings do not fit its kind.
    """
    kind, base, written = classify(source, where, root, others=others)
    if written and revision and written != revision:
        raise UsageError(f"{where}: two revisions, {written!r} and {revision!r}. Give one of them.")
    revision = revision or written or None
    if revision:
        _check_revision(revision, kind, where)
    if kind is SourceKind.MLFLOW and fields.get("chat_template"):
        raise UsageError(
            f"{where}: a model in MLflow is asked as it was logged, so chat_template has no effect on it.\n"
            "Log it with the template (PyfuncTransformer(..., chat_template=...)), and leave chat_template out."
        )
    if kind is SourceKind.ECHO and fields.get("chat_template"):
        raise UsageError(f"{where}: an echo: model takes prompts as they are. Leave chat_template out.")
    served.check_fields(kind is SourceKind.SERVER, {**fields, "revision": revision}, where)
    if loading := fields.get("loading"):
        loading_options.check_kind(loading, kind.value, where)
        fields["device"] = loading_options.check_place(loading, fields.get("device"), where)
        fields["loading"] = _with_whole_paths(loading, where, root)
    if not name:
        name = default_name(base, kind, root).strip()
        try:
            check_name(name, where)
        except UsageError as error:
            raise UsageError(f"{error} Give it one: NAME={source_without_secrets(source)}") from None
    close = difflib.get_close_matches(base, near, n=1) if kind is SourceKind.HUB else []
    return ModelSpec(name, base, kind, revision, near=close[0] if close else "", **fields)


def _check_revision(revision: str, kind: SourceKind, where: str) -> None:
    """Check a revision.

    Raises:
        UsageError: It cannot be a revision, or a model of this kind has none.
    """
    if kind is SourceKind.FOLDER:
        raise UsageError(f"{where}: a folder has no revisions, so {revision!r} cannot be one. Leave it out.")
    if kind is SourceKind.MLFLOW:
        raise UsageError(f"{where}: an MLflow URI names its version itself ({MLFLOW_FORMS}); leave {revision!r} out.")
    if kind is SourceKind.ECHO:
        raise UsageError(f"{where}: an echo: model has no revisions, so {revision!r} cannot be one. Leave it out.")
    if not REVISION.fullmatch(revision) or ".." in revision:
        raise UsageError(f"{where}: revision {revision!r} is not a branch, tag or commit.")


def _with_whole_paths(options: LoadingOptions, where: str, root: Path) -> LoadingOptions:
    """Options whose folders are absolute, so that they can be found from elsewhere.

    Raises:
        UsageError: Tokenizer or base is neither a hub id nor a folder.
    """
    paths: dict[str, Any] = {}
    for name in ("tokenizer", "base"):
        if not (source := getattr(options, name)):
            continue
        kind, path, revision = classify(source, f"{where}: {name}", root, others=False)
        if kind not in (SourceKind.HUB, SourceKind.FOLDER) or (kind is SourceKind.FOLDER and revision):
            raise UsageError(f"{where}: {name} = {source!r}, expected {loading_options.KEYS[name][1]}.")
        if kind is SourceKind.FOLDER:
            paths[name] = str(folder_path(path, root).absolute())
    if options.offload_folder:
        paths["offload_folder"] = str(folder_path(options.offload_folder, root).absolute())
    return dataclasses.replace(options, **paths)


def default_name(source: str, kind: SourceKind, root: Path) -> str:
    """The name of a model that the user did not name."""
    if kind is SourceKind.FOLDER:
        return Path(os.path.normpath(folder_path(source, root))).name
    if kind is SourceKind.ECHO:
        return ECHO
    if kind is SourceKind.SERVER:
        return served.parse_address(source, source_without_secrets(source)).model.rpartition("/")[2]
    if kind is SourceKind.OTHER:
        return re.split(r"[:/]", source_without_secrets(source).rstrip(":/"))[-1]
    return source.rpartition("/")[2] if kind is SourceKind.HUB else mlflow_name(source)


def check_unique_names(specs: Sequence[ModelSpec]) -> None:
    """Check that no two models share a name.

    Raises:
        UsageError: Two models do.
    """
    seen: dict[str, ModelSpec] = {}
    for spec in specs:
        if (first := seen.setdefault(spec.name, spec)) is spec:
            continue
        if first == spec:
            raise UsageError(f"model {spec.name!r} ({shown_spec(spec)}) is named twice. Leave one of the two out.")
        raise UsageError(
            f"two models are named {spec.name!r}: {shown_spec(first)} and {shown_spec(spec)}. "
            f"Give one of them another name: {spec.name}-2={shown_spec(spec)}"
        )


def shown_spec(spec: ModelSpec) -> str:
    """A spec's source and revision as the user would write them, without the secrets of addresses."""
    return f"{shown_source(spec)}@{spec.revision}" if spec.revision else shown_source(spec)


def shown_source(spec: ModelSpec) -> str:
    """A spec's source without the secrets of addresses; a folder is left alone, even if it looks like an address."""
    return source_without_secrets(spec.source) if spec.kind is SourceKind.OTHER else spec.source
