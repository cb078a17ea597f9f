"""Models of the Hugging Face hub: taken from the cache, else the missing files from the hub, else an error that helps.

What the cache has in full is never asked for again, so a run does not change because a branch moved on the hub;
`hf download` fetches the newer one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.text import without_secrets

from .faults import absent, is_adapter, no_weights, reason
from .hub_cache import Snapshot, cache_folder, find_snapshot, offline, repository, write_ref
from .model_files import ADAPTER, CONFIG, FORMATS, PICKLED, SETTINGS, index_of, matches, shards
from .safety import check_code, check_index, is_safe, pickle_refused
from .spec import ModelSpec, shown

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

TIMEOUT = 5.0  # seconds that the hub may take to answer; HF_HUB_ETAG_TIMEOUT overrules
ENDPOINT = "https://huggingface.co"


def locate(spec: ModelSpec, root: Path) -> Snapshot:
    """The complete snapshot of a hub model, downloaded where it has to be and may be.

    Raises:
        ModelError: It is not in the cache, and the hub may not be asked, does not answer, or does not have it.
    """
    cache = cache_folder()
    found = find_snapshot(cache, spec.source, spec.revision)
    switch = offline()
    usable = spec.allow_pickle or switch or (found and is_safe(found.folder))
    if found and not found.missing and usable:  # where pickled weights alone are cached, the hub may have others
        return found
    if switch:
        raise absent(spec, root, f"{switch} forbids asking the hub", f"unset {switch.partition('=')[0]}")
    return download(spec, root, cache, found)


def download(spec: ModelSpec, root: Path, cache: Path, found: Snapshot | None) -> Snapshot:
    """Fetch the files of a model that are missing, and no others.

    Raises:
        ModelError: The hub does not answer, does not have the model, or has only what is refused.
    """
    info = ask(spec, root, found)
    commit = str(info.sha)
    names = [str(sibling.rfilename) for sibling in info.siblings or ()]
    weights = choose_weights(spec, names)
    try:
        fetch(spec, cache, commit, names, weights)
        write_ref(cache, spec.source, spec.revision or "main", commit)
    except ModelError:
        raise
    except Exception as error:  # whatever the network, the disk and their libraries raise
        raise ModelError(
            f"model {spec.name!r}: the download of {shown(spec)} from {place()} broke off: {reason(error)}.\n"
            f"What was fetched is kept in {repository(cache, spec.source)}; run again to go on."
        ) from error
    complete = find_snapshot(cache, spec.source, commit)
    if complete is None or complete.missing:
        lacks = ", ".join(complete.missing) if complete else "every file"
        raise ModelError(f"model {spec.name!r}: {shown(spec)} at {place()} lacks {lacks}; transformers cannot load it.")
    return complete


def fetch(spec: ModelSpec, cache: Path, commit: str, names: Sequence[str], weights: str) -> None:
    """Download configuration and tokenizer, look whether they are refused, and only then download the weights."""
    from huggingface_hub import hf_hub_download

    get = partial(
        hf_hub_download, spec.source, revision=commit, cache_dir=cache, endpoint=endpoint(), etag_timeout=timeout()
    )
    for name in names:
        if is_wanted(name) or (spec.trust_remote_code and name.endswith(".py")):
            get(name)
    check_code(repository(cache, spec.source) / "snapshots" / commit, spec)
    path = Path(get(weights))
    check_index(path.parent, spec)
    for shard in () if weights in FORMATS else shards(path):
        get(shard)


def is_wanted(name: str) -> bool:
    """Whether a file of a repository is configuration or tokenizer; those in folders belong to other runtimes."""
    return matches(name, SETTINGS) and ("/" not in name or name.startswith("chat_templates/"))


def choose_weights(spec: ModelSpec, names: Sequence[str]) -> str:
    """The weight file, or index of weight files, to download.

    Raises:
        ModelError: There is none, it is pickled and not allowed, or the repository holds an adapter.
    """
    where = f"{shown(spec)} at {place()}"
    if ADAPTER in names and CONFIG not in names:
        raise is_adapter(spec, where)
    for weights in FORMATS:
        for name in (weights, index_of(weights)):
            if name in names and weights == PICKLED and not spec.allow_pickle:
                raise pickle_refused(spec, name, where)
            if name in names:
                return name
    raise no_weights(spec, where, names)


def ask(spec: ModelSpec, root: Path, found: Snapshot | None) -> ModelInfo:
    """What the hub knows of a model: one question, no second attempt.

    Raises:
        ModelError: No answer in time, or none that helps.
    """
    from huggingface_hub import HfApi, errors

    revision = found.commit if found else spec.revision
    try:
        return HfApi(endpoint=endpoint()).model_info(spec.source, revision=revision, timeout=timeout())
    except errors.GatedRepoError as error:
        why, remedy = (
            f"{place()} wants its terms to be accepted",
            f"accept them at {place()}/{spec.source}, then log in",
        )
        raise absent(spec, root, why, f"{remedy}: hf auth login") from error
    except errors.RepositoryNotFoundError as error:
        raise absent(spec, root, f"{place()} does not show one", "log in if it is private: hf auth login") from error
    except errors.RevisionNotFoundError as error:
        why = f"{place()} knows no branch, tag or commit {revision!r} of it"
        raise absent(spec, root, why, f"look at {place()}/{spec.source}") from error
    except errors.OfflineModeIsEnabled as error:
        raise absent(spec, root, "offline mode forbids asking the hub", "unset HF_HUB_OFFLINE") from error
    except Exception as error:  # whatever the network and its libraries raise
        why = f"{place()} did not answer within {timeout():g} s ({reason(error)})"
        raise absent(spec, root, why, "look at the network, HTTPS_PROXY and HF_ENDPOINT") from error


def endpoint() -> str:
    """Address of the hub, or of the mirror that `HF_ENDPOINT` names."""
    return (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")


def place() -> str:
    """The same, as it may be shown."""
    return without_secrets(endpoint())


def timeout() -> float:
    """Seconds that one answer of the hub may take."""
    try:
        return float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or TIMEOUT)
    except ValueError:
        return TIMEOUT
