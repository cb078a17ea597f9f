"""The Hugging Face cache on this machine, read without huggingface_hub: importing that costs more than looking.

models--org--name/refs/main               the commit that a branch or tag stood for when it was downloaded
models--org--name/snapshots/COMMIT/FILE   links to the files in blobs/
models--org--name/trees/COMMIT.json       what the repository holds at that commit, where it is known
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from .model_files import matches, missing_files

COMMIT = re.compile(r"[0-9a-f]{40}")
SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")
PREFIX = "models--"
DECISIVE = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template*")
"""Files that a model loads without, but answers otherwise."""


@dataclass(frozen=True)
class Snapshot:
    """One commit of a hub repository in the cache.

    Attributes:
        folder: Its files.
        commit: 40 hex digits.
        missing: What it lacks of a whole model; empty where nothing.
    """

    folder: Path
    commit: str
    missing: tuple[str, ...]


def cache_folder() -> Path:
    """Where the hub's models are kept: `HF_HUB_CACHE`, else `hub` in `HF_HOME`, else in `~/.cache/huggingface`."""
    home = os.environ.get("HF_HOME")
    if not home:
        home = str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface"))
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or str(Path(home, "hub"))
    return Path(os.path.expandvars(cache)).expanduser()


def offline() -> str:
    """What forbids asking the hub, such as `HF_HUB_OFFLINE=1`; empty where nothing does."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        value = os.environ.get(name)
        if value:  # as in huggingface_hub, HF_HUB_OFFLINE=0 overrules TRANSFORMERS_OFFLINE=1
            return f"{name}={value}" if value.upper() in ("1", "ON", "YES", "TRUE") else ""
    return ""


def repository(cache: Path, repo: str) -> Path:
    """The folder of a hub repository in the cache."""
    return cache / (PREFIX + repo.replace("/", "--"))


def cached_models(cache: Path) -> tuple[str, ...]:
    """Ids of the hub models that have a folder in the cache."""
    found = sorted(path.name for path in cache.glob(f"{PREFIX}*") if path.is_dir())
    return tuple(name.removeprefix(PREFIX).replace("--", "/") for name in found)


def cached_revisions(folder: Path) -> tuple[str, ...]:
    """Branches and tags that a repository's folder knows, else its commits."""
    refs = folder / "refs"
    named = sorted(path.relative_to(refs).as_posix() for path in refs.rglob("*") if path.is_file())
    return tuple(named or sorted(path.name for path in (folder / "snapshots").glob("*")))


def find_snapshot(cache: Path, repo: str, revision: str | None) -> Snapshot | None:
    """The cached snapshot of a branch, tag or commit (`main` where None), complete or not; None where there is none."""
    folder = repository(cache, repo)
    commit = find_commit(folder, revision or "main")
    snapshot = folder / "snapshots" / commit
    if not commit or not snapshot.is_dir():
        return None
    listed = listing(folder / "trees" / f"{commit}.json")
    lost = [name for name in listed if matches(name, DECISIVE) and not (snapshot / name).is_file()]
    return Snapshot(snapshot, commit, (*missing_files(snapshot), *lost))


def find_commit(folder: Path, revision: str) -> str:
    """The commit that a revision stands for in the cache; empty where it is unknown."""
    if COMMIT.fullmatch(revision):
        return revision
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = ""
    if COMMIT.fullmatch(commit):
        return commit
    if SHORT_COMMIT.fullmatch(revision):
        known = [path.name for path in (folder / "snapshots").glob(f"{revision}*")]
        return known[0] if len(known) == 1 else ""
    return ""


def listing(path: Path) -> tuple[str, ...]:
    """Names of the repository's files, as the last download noted them; empty where it did not."""
    try:
        return tuple(sorted(json.loads(path.read_text(encoding="utf-8"))["files"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def write_ref(cache: Path, repo: str, revision: str, commit: str) -> None:
    """Note what a branch or tag stands for, so that the next run finds it without the hub."""
    if COMMIT.fullmatch(revision):
        return
    path = repository(cache, repo) / "refs" / revision
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(commit, encoding="utf-8")
    temporary.replace(path)
