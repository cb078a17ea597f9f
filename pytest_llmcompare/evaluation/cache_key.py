"""The key of a cached answer: what an answer depends on. Imports neither torch nor transformers.

A key has two halves. That of the *model* is a digest of facts about it; that of the *case* is a digest of prompt,
settings, template, seed, and of the baseline that was read as a draft.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llmcompare.baselines.cache_lines import FORMAT, key_of
from pytest_llmcompare.generation import Generation
from pytest_llmcompare.models.machine import TORCH_DEFAULTS, machine, switches, versions
from pytest_llmcompare.models.model_files import further_digest
from pytest_llmcompare.models.spec import SourceKind
from pytest_llmcompare.records import Case

if TYPE_CHECKING:
    from pytest_llmcompare.models.load import LocalModel
    from pytest_llmcompare.models.resolve import ResolvedModel
    from pytest_llmcompare.suite.group import Group

    from .group_model import Identity
    from .pyfunc import HeldTransformer

IMPURE = re.compile(r"strftime_now|\blipsum\b|\|\s*(map\(\s*['\"])?random\b")
"""What makes a chat template render the same conversation in different ways."""
NOT_DECIDING = (
    *("name", "batch_size", "model_name", "revision", "dtype", "device", "gen_config_dict", "examples"),
    *("subfolder", "tokenizer", "base", "max_memory", "offload_folder"),
)
"""Arguments of our pyfuncs that are no part of the model's key: files, numerics and case parts cover them."""


def facts_of_model(ours: HeldTransformer, *, is_logged: bool) -> dict[str, str]:
    """Facts about a local model in the key of each answer: files, arguments, versions, variables that choose kernels.

    Args:
        ours: The pyfunc.
        is_logged: Whether the user logged it, so that its own settings and examples count.
    """
    config, resolved = ours.config(), ours.located()
    deciding = {name: value for name, value in config.items() if name not in NOT_DECIDING}
    if is_logged:
        deciding |= {name: config[name] for name in ("gen_config_dict", "examples") if name in config}
    runs_code = ours.spec.trust_remote_code
    further = (further_digest(Path(folder), runs_code=runs_code) for folder in folders_of(resolved))
    return {
        "format": str(FORMAT),
        "weights": resolved.fingerprint,
        "tokenizer, templates and code": " ".join(further),
        "options": key_of(deciding),
        **versions(),
        **switches(),
    }


def facts_of_unloaded(identity: Identity, decode: str) -> dict[str, str]:
    """Facts in the key of each answer of a served model, or of a pyfunc logged elsewhere."""
    return {"format": str(FORMAT), "model": key_of(identity.text), "decode": decode, **versions()}


def parts_of_case(case: Case, draft: Generation | None) -> dict[str, str]:
    """Digests of all that the answer to a case depends on besides the model.

    Args:
        case: The case.
        draft: The baseline that is read as a draft; None without one.
    """
    return {
        "prompt": key_of(case.prompt, bool(case.row.conversation)),
        "decoding settings": key_of(dict(case.gen_config)),
        "chat template": key_of(case.template),
        "seed": str(case.seed),
        "baseline": key_of(draft.token_ids, draft.text, draft.stop) if draft else "none",
    }


def facts_of_place(ours: HeldTransformer) -> dict[str, str]:
    """Facts that decide which device, dtype and kernels a model gets; they are not part of any key."""
    return {**machine(), "device option": ours.spec.device or "", "dtype option": ours.spec.dtype or ""}


def folders_of(resolved: ResolvedModel) -> list[str]:
    """The folders that a model's files are in."""
    return [folder for folder in (resolved.location, resolved.base, resolved.tokenizer) if folder]


def is_self_contained(ours: HeldTransformer) -> bool:
    """True if all code that the model may run is among its files."""
    elsewhere = any(_has_code_elsewhere(Path(folder)) for folder in folders_of(ours.located()))
    return not (ours.spec.trust_remote_code and elsewhere)


def notes_depend_on(group: Group, ours: HeldTransformer) -> list[object]:
    """Everything besides the model that `ask_local.model_notes` depends on."""
    spec, declaration = group.spec, group.declaration
    rows = [dict(row.gen_config) for row in declaration.rows]
    variants = [dict(variant.gen_config) for variant in declaration.variants]
    conversations = {bool(case.row.conversation) for case in group.cases.values()}
    own = ours.config().get("gen_config_dict")
    named = [spec.name, spec.kind is SourceKind.MLFLOW, spec.raw_prompts, dict(spec.gen_config)]
    return [named, dict(declaration.gen_config), rows, variants, sorted(conversations), own]


def is_repeatable(model: LocalModel, case: Case) -> bool:
    """True if the chat template in force, if there is one, always renders a conversation in the same way."""
    if not model.chat_template and not case.row.conversation:
        return True
    own = getattr(model.tokenizer, "chat_template", None)
    return not IMPURE.search(f"{model.chat_template}\n{own if isinstance(own, str) else json.dumps(own, default=str)}")


def _has_code_elsewhere(folder: Path) -> bool:
    """True if a configuration names code of another repository (`owner/name--module.Class`)."""
    for path in folder.glob("*config.json"):
        try:
            code = json.loads(path.read_text(encoding="utf-8")).get("auto_map")
        except (OSError, ValueError, AttributeError):
            continue
        if "--" in json.dumps(code):
            return True
    return False


def live_switches() -> Mapping[str, str]:
    """Torch's switches; their defaults while nothing has imported torch, so that nothing can have changed them."""
    if "torch" not in sys.modules:
        return TORCH_DEFAULTS
    from pytest_llmcompare.decoding.numerics import torch_switches

    return torch_switches()
