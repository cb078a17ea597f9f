"""How the house is built: imports go downwards only, and each outside library has few doors."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pytest_llmcompare"

VOCABULARY = (
    *("errors", "records", "generation", "judgement", "serialization", "text", "settings"),
    "compat",
)
ROOMS: Sequence[Sequence[str]] = (
    ("plugin", "fixtures", "hookspecs"),
    ("run", "cli"),
    ("options",),
    ("evaluation",),
    ("suite", "reports"),
    ("serving", "decoding", "baselines"),
    ("comparison",),
    ("models",),
    VOCABULARY,
)
"""From the top down. A room imports rooms below it and itself, never one beside it; the vocabulary knows itself."""

DOORS: Mapping[str, set[str]] = {
    "pytest": {"plugin", "options", "hookspecs", "fixtures", "compat", "run.*"},
    "torch": {"compat", "decoding.*", "models.adapters", "models.device", "models.load"},
    "peft": {"models.adapters"},
    "transformers": {
        "decoding.*",
        "models.gen_config",
        "models.gguf",
        "models.load",
        "models.load_checks",
        "models.safety",
        "models.weights",
    },
    "mlflow": {"compat", "evaluation.*", "models.mlflow_*", "baselines.sources.mlflow_run"},
    "pandas": {"evaluation.*", "suite.*"},
    "scipy": {"comparison.statistics"},
    "huggingface_hub": {"evaluation.metrics", "models.*"},
    "pydantic": {"serialization", "baselines.pending_schema"},
    "pydantic_core": {"generation", "baselines.pending_schema"},
    "openai": {"serving.client"},
    "httpx2": {"serving.bounded_body", "serving.client"},
    "click": {"cli.*"},
    "rapidfuzz": {"comparison.similarity"},
    "sentence_transformers": {"models.embedding"},
}
"""Which modules may import a library, lazily or not."""

LARGEST_ROOT = 13
"""Python files at the root of the package: what pytest and users touch, settings, vocabulary."""


class Import(NamedTuple):
    """One import: of what, and whether it happens when the module is imported."""

    name: str
    line: int
    at_once: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_deferred(node: ast.AST) -> bool:
    """Whether imports inside do not happen when the module is imported: in functions, and for type checkers alone."""
    typing = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return typing or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def imports_of(path: Path) -> Iterator[Import]:
    """All imports of a module, those for type checkers included; our own modules without the package's name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {id(inner) for node in ast.walk(tree) if is_deferred(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, id(node) not in lazy)
        elif isinstance(node, ast.ImportFrom):
            for name in targets(path, node):
                yield Import(name, node.lineno, id(node) not in lazy)


def targets(path: Path, node: ast.ImportFrom) -> list[str]:
    """What `from x import a, b` imports: `x.a` where that is a module of ours, else `x`."""
    if not node.level and not (node.module or "").startswith("pytest_llmcompare"):
        return [node.module or ""]
    if node.level:
        package = path.relative_to(PACKAGE).parent.parts
        base = package[: len(package) - (node.level - 1)]
        whole = ".".join([*base, *([node.module] if node.module else [])])
    else:
        whole = (node.module or "").removeprefix("pytest_llmcompare").lstrip(".")
    found = []
    for alias in node.names:
        inner = f"{whole}.{alias.name}".lstrip(".")
        found.append(f":{inner}" if inner in MODULES else f":{whole}")
    return found


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
IMPORTS = {name: list(imports_of(path)) for name, path in MODULES.items()}
OWN = {
    name: {found.name[1:] for found in imports if found.name.startswith(":") and found.name[1:] not in {"", name}}
    for name, imports in IMPORTS.items()
}


def allowed(name: str, patterns: set[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def test_imports_go_downwards_only() -> None:
    """No chain of imports, lazy ones included, leads back to where it began."""
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"imports go round: {' -> '.join([*above[above.index(name) :], name])}"
        if name not in done:
            for other in sorted(OWN.get(name, ())):
                visit(other, (*above, name))
            done.add(name)

    for module in MODULES:
        visit(module, ())


RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}


def room_of(name: str) -> str:
    return name.partition(".")[0]


def test_every_module_has_a_room() -> None:
    """The picture of the house is complete, and the root holds a dozen files."""
    assert {room_of(name) for name in MODULES if name} - RANK.keys() == set()
    assert len(list(PACKAGE.glob("*.py"))) <= LARGEST_ROOT


def test_rooms_know_only_rooms_below_them() -> None:
    """Neither a room above nor one beside is imported, not even lazily or for its types."""
    faults = [
        f"{name} imports {other}"
        for name, others in OWN.items()
        if name
        for other in sorted(others)
        if room_of(other) != room_of(name)
        and RANK[room_of(other)] <= RANK[room_of(name)]
        and RANK[room_of(name)] not in (0, len(ROOMS) - 1)
    ]
    assert faults == []


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_few_doors(library: str) -> None:
    """Only the modules that are meant to touch a library import it."""
    faults = [
        f"{name}, line {found.line}: imports {found.name}"
        for name, imports in IMPORTS.items()
        for found in imports
        if found.name.split(".")[0] == library and not allowed(name, DOORS[library])
    ]
    assert faults == []


def test_heavy_libraries_are_imported_at_once_by_heavy_modules_only() -> None:
    """The list that ruff enforces is the one that holds: no other module imports a heavy library when imported."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    heavy = set(lint["flake8-tidy-imports"]["banned-module-level-imports"])
    excepted = [pattern for pattern, rules in lint["per-file-ignores"].items() if "TID253" in rules]
    at_once = {name for name, imports in IMPORTS.items() for found in imports if found.at_once and top(found) in heavy}
    for name in at_once:
        file = MODULES[name].relative_to(ROOT).as_posix()
        assert any(fnmatch(file, one) for pattern in excepted for one in expanded(pattern)), f"{file} imports at once"


def top(found: Import) -> str:
    return found.name.split(".")[0]


def expanded(pattern: str) -> list[str]:
    """`a/{b,c}.py` as `a/b.py` and `a/c.py`."""
    before, brace, rest = pattern.partition("{")
    if not brace:
        return [pattern]
    inner, _, after = rest.partition("}")
    return [f"{before}{part}{after}" for part in inner.split(",")]
