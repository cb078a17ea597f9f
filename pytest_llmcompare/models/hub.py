"""Models of the Hugging Face hub: from the cache if it has them, else the missing files from the hub.

A model that is complete in the cache is never asked for again, so a run does not change because a branch moved on the
hub; `hf download` fetches the newer one. The cache is read without huggingface_hub, whose import takes longer:

models--org--name/refs/main               commit of a branch or tag when it was downloaded
models--org--name/snapshots/COMMIT/FILE   links to the files in blobs/
models--org--name/trees/COMMIT.json       files of the repository at that commit, if known
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmcompare.errors import ModelError
from pytest_llmcompare.text import error_line, without_secrets

from .faults import listed_names, nearest_model_hint, no_gguf_error, no_subfolder_error
from .model_files import (
    ADAPTER,
    ADAPTER_FORMATS,
    CONFIG,
    FORMATS,
    SETTINGS,
    WHOLE,
    Wanted,
    matches,
    missing_files,
    shards,
)
from .safety import check_code, check_index, choose_weights, is_safe
from .spec import ModelSpec, shown_spec

TIMEOUT = 5.0  # seconds that the hub may take to answer, unless HF_HUB_ETAG_TIMEOUT says otherwise
COMMIT = re.compile(r"[0-9a-f]{40}")
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
PREFIX = "models--"
DECISIVE = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template*")
"""Files without which a model loads, but answers differently."""


@dataclass(frozen=True)
class Snapshot:
    """One commit of a hub repository in the cache.

    Attributes:
        folder: Its files.
        commit: 40 hex digits.
        missing: Files that a whole model would have besides.
    """

    folder: Path
    commit: str
    missing: tuple[str, ...]


def locate(spec: ModelSpec, root: Path, wanted: Wanted = WHOLE) -> Snapshot:
    """Find a hub model in the cache, or download what is missing of it.

    Args:
        spec: The model.
        root: pytest's root folder, for hints.
        wanted: What is wanted of the repository, and in which folder of it.

    Raises:
        ModelError: It is not in the cache, and the hub may not be asked, does not answer, or does not have it.
    """
    cached = find_snapshot(spec.source, spec.revision, wanted)
    variable = offline_variable()
    has_no_pickle = wanted.gguf or not wanted.weights
    usable = spec.allow_pickle or variable or has_no_pickle or (cached and is_safe(cached.folder))
    if cached and not cached.missing and usable:  # if only pickled weights are cached, the hub may have others
        return cached
    if variable:
        why = f"{variable}={os.environ[variable]} forbids asking the hub"
        raise _absent(spec, root, why, f"unset {variable}", wanted)
    return _download(spec, root, cached, wanted)


def fetch(repo: str, commit: str, names: Sequence[str]) -> Path:
    """Download files of a repository that the cache lacks; return the snapshot's folder."""
    from huggingface_hub import snapshot_download

    place, hub, seconds = cache_folder(), endpoint(), timeout()
    folder = snapshot_download(
        repo, revision=commit, cache_dir=place, endpoint=hub, etag_timeout=seconds, allow_patterns=[*names]
    )
    return Path(folder)


def contents(repo: str, revision: str | None) -> tuple[str, list[str]]:
    """Ask the hub, once, for the commit of a revision (default `main`) and the names of its files."""
    from huggingface_hub import HfApi

    info = HfApi(endpoint=endpoint()).model_info(repo, revision=revision, timeout=timeout())
    return str(info.sha), [str(sibling.rfilename) for sibling in info.siblings or ()]


def endpoint() -> str:
    """Address of the hub, or of the mirror that `HF_ENDPOINT` names."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def shown_endpoint() -> str:
    """Address of the hub for messages, without secrets."""
    return without_secrets(endpoint())


def timeout() -> float:
    """Seconds that one answer of the hub may take."""
    with contextlib.suppress(ValueError):
        return float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or TIMEOUT)
    return TIMEOUT


def offline_variable() -> str:
    """The environment variable that forbids asking the hub, such as `HF_HUB_OFFLINE`; empty if none does."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if value := os.environ.get(name):  # as in huggingface_hub, HF_HUB_OFFLINE=0 overrules TRANSFORMERS_OFFLINE=1
            return name if value.upper() in ("1", "ON", "YES", "TRUE") else ""
    return ""


def cache_folder() -> Path:
    """Folder of the cache: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in `~/.cache/huggingface`."""
    home = os.environ.get("HF_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"))
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or str(Path(home, "hub"))
    return Path(os.path.expandvars(cache)).expanduser()


def repository(repo: str) -> Path:
    """The folder of a hub repository in the cache."""
    return cache_folder() / (PREFIX + repo.replace("/", "--"))


def cached_models(cache: Path) -> tuple[str, ...]:
    """Ids of the hub models that have a folder in a cache."""
    names = sorted(path.name for path in cache.glob(f"{PREFIX}*") if path.is_dir())
    return tuple(name.removeprefix(PREFIX).replace("--", "/") for name in names)


def cached_revisions(folder: Path) -> tuple[str, ...]:
    """Branches and tags that a repository's folder knows, else its commits."""
    refs = folder / "refs"
    named = sorted(path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file())
    return tuple(named or sorted(path.name for path in (folder / "snapshots").glob("*")))


def find_snapshot(repo: str, revision: str | None, wanted: Wanted = WHOLE) -> Snapshot | None:
    """The cached snapshot of a branch, tag or commit (default `main`), complete or not; or the folder in it."""
    folder = repository(repo)
    commit = find_commit(folder, revision or "main")
    snapshot = folder / "snapshots" / commit
    if not commit or not snapshot.is_dir():
        return None
    inner = snapshot / wanted.subfolder
    if not inner.is_dir():
        return Snapshot(inner, commit, (f"{wanted.subfolder}/",))
    files: list[str] = []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        files = sorted(json.loads((folder / "trees" / f"{commit}.json").read_text(encoding="utf-8"))["files"])
    names = [] if wanted.gguf else names_inside(files, wanted.subfolder)
    lost = [name for name in names if matches(name, DECISIVE) and not (inner / name).is_file()]
    return Snapshot(inner, commit, (*missing_files(inner, wanted), *lost))


def names_inside(names: Sequence[str], subfolder: str) -> list[str]:
    """The files of a repository that are in one of its folders, by names relative to that folder."""
    start = f"{subfolder.strip('/')}/" if subfolder else ""
    return [name.removeprefix(start) for name in names if name.startswith(start)]


def find_commit(folder: Path, revision: str) -> str:
    """The commit of a revision, from a repository's folder in the cache; empty if it is not there."""
    if COMMIT.fullmatch(revision):
        return revision
    commit = ""
    with contextlib.suppress(OSError, ValueError):
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    if not COMMIT.fullmatch(commit) and SHORT_COMMIT.fullmatch(revision):
        known = [path.name for path in (folder / "snapshots").glob(f"{revision}*")]
        commit = known[0] if len(known) == 1 else ""
    return commit if COMMIT.fullmatch(commit) else ""


def write_ref(repo: str, revision: str | None, commit: str) -> None:
    """Note the commit of a branch or tag in the cache, so that the next run finds it without the hub."""
    if not COMMIT.fullmatch(revision or "main"):
        path = repository(repo) / "refs" / (revision or "main")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(commit, encoding="utf-8")
        temporary.replace(path)


def _download(spec: ModelSpec, root: Path, cached: Snapshot | None, wanted: Wanted) -> Snapshot:
    """Download the missing files of a model: first settings, and weights only if nothing in these is refused."""
    commit, listed = _ask(spec, root, cached.commit if cached else spec.revision)
    where = f"{shown_spec(spec)} at {shown_endpoint()}"
    names = names_inside(listed, wanted.subfolder)
    if not names:
        raise no_subfolder_error(spec, where, sorted({name.rpartition("/")[0] for name in listed if "/" in name}))
    if wanted.gguf and wanted.gguf not in names:
        raise no_gguf_error(spec, where, names)
    weights = choose_weights(spec, names, where) if wanted.weights and not wanted.gguf else ""

    def fetched(parts: Sequence[str]) -> Path:
        inner = wanted.subfolder.strip("/")
        return fetch(spec.source, commit, [f"{inner}/{part}" if inner else part for part in parts]) / inner

    try:
        if wanted.gguf:
            fetched([wanted.gguf])
        else:
            _fetch_parts(spec, names, weights, fetched)
        write_ref(spec.source, spec.revision, commit)
    except ModelError:
        raise
    except Exception as error:  # anything that the network, the disk and their libraries raise
        raise ModelError(
            f"model {spec.name!r}: the download of {shown_spec(spec)} from {shown_endpoint()} "
            f"broke off: {error_line(error)}.\n"
            f"What was fetched is kept in {repository(spec.source)}; run again to go on."
        ) from error
    complete = find_snapshot(spec.source, commit, wanted)
    if complete is None or complete.missing:
        lacks = ", ".join(complete.missing) if complete else "every file"
        raise ModelError(f"model {spec.name!r}: {where} lacks {lacks}; transformers cannot load it.")
    return complete


def _fetch_parts(spec: ModelSpec, names: Sequence[str], weights: str, fetched: Callable[[Sequence[str]], Path]) -> None:
    """Download settings, and weights if there are any to download and nothing in the settings is refused."""
    folder = fetched([name for name in names if _is_setting(spec, name)] or [CONFIG])
    check_code(folder, spec)
    if weights:
        fetched([weights])
        check_index(folder, spec)
        if parts := () if weights in (*FORMATS, *ADAPTER_FORMATS) else shards(folder / weights):
            fetched(parts)


def _is_setting(spec: ModelSpec, name: str) -> bool:
    """True for configuration, tokenizer and allowed code; files in other folders belong to other runtimes."""
    plain = "/" not in name or name.startswith("chat_templates/")
    return (plain and matches(name, (*SETTINGS, ADAPTER))) or (spec.trust_remote_code and name.endswith(".py"))


def _ask(spec: ModelSpec, root: Path, revision: str | None) -> tuple[str, list[str]]:
    """Ask the hub for a model; each kind of failure becomes an error with its remedy."""
    from huggingface_hub import errors

    hub = shown_endpoint()
    try:
        return contents(spec.source, revision)
    except errors.GatedRepoError as error:
        remedy = f"accept them at {hub}/{spec.source}, then log in: hf auth login"
        raise _absent(spec, root, f"{hub} asks you to accept its terms", remedy) from error
    except errors.RepositoryNotFoundError as error:
        why = f"{hub} has no public model of that name"
        raise _absent(spec, root, why, "log in if it is private: hf auth login") from error
    except errors.RevisionNotFoundError as error:
        why = f"{hub} knows no branch, tag or commit {revision!r} of it"
        raise _absent(spec, root, why, f"see {hub}/{spec.source}") from error
    except errors.OfflineModeIsEnabled as error:
        raise _absent(spec, root, "offline mode forbids asking the hub", "unset HF_HUB_OFFLINE") from error
    except Exception as error:  # anything that the network and its libraries raise
        why = f"{hub} did not answer within {timeout():g} s ({error_line(error)})"
        raise _absent(spec, root, why, "check the network, HTTPS_PROXY and HF_ENDPOINT") from error


def _absent(spec: ModelSpec, root: Path, why: str, remedy: str, wanted: Wanted = WHOLE) -> ModelError:
    """The error for a model that is neither cached nor downloaded: the reason, where we looked, and what to do."""
    revision = f" --revision {spec.revision}" if spec.revision else ""
    near = nearest_model_hint(spec, root, cached_models(cache_folder()))
    return ModelError(
        f"model {spec.name!r}: the hub model {shown_spec(spec)} is not on this machine, and {why}.{near}\n"
        f"Looked in {_searched(spec, wanted)}.\n"
        f"Download it where there is a network (hf download {spec.source}{revision}), or {remedy}, "
        f"or name a folder that holds it: {spec.name}=./FOLDER"
    )


def _searched(spec: ModelSpec, wanted: Wanted) -> str:
    folder = repository(spec.source)
    if not folder.is_dir():
        return f"{folder}: there is no such folder"
    snapshot = find_snapshot(spec.source, spec.revision, wanted)
    if snapshot is None:
        known = listed_names(cached_revisions(folder)) or "nothing"
        return f"{folder}: it has no revision {spec.revision or 'main'!r}; there is {known}"
    lacks = ", ".join(snapshot.missing) or "weights that are not pickled"
    return f"{snapshot.folder}: the download is not complete, it lacks {lacks}"
