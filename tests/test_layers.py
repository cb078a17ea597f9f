"""How the house is built: imports go downwards only, and each outside library has few doors."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pytest_llmcompare"

VOCABULARY = {"addresses", "errors", "generations", "judgements", "models.warning_filters", "records", "settings"}
MAY_IMPORT: Mapping[str, set[str]] = {
    "records": {"generations", "judgements"},
    "addresses": set(),
    "errors": {"addresses"},
    "settings": {"errors", "judgements"},
    "judgements": set(),
    "generations": set(),
    "noise": VOCABULARY,
    "likelihood": VOCABULARY,
    "along": VOCABULARY | {"noise"},
    "drift": VOCABULARY | {"along", "likelihood", "noise"},
    "statistics": {"models.warning_filters"},
    "budget": VOCABULARY | {"statistics"},
    "pairs": {"statistics"},
    "entrant": VOCABULARY | {"pairs"},
    "contest": VOCABULARY | {"entrant", "pairs", "statistics"},
    "outcome": VOCABULARY,
    "attempts": VOCABULARY,
    "commit": set(),
    "waiting": VOCABULARY | {"baselines.*", "commit", "outcome"},
    "choice": VOCABULARY | {"baselines.*"},
    "settling": VOCABULARY | {"baselines.*"},
    "review": VOCABULARY | {"baselines.*"},
    "web.access": set(),
    "web.*": VOCABULARY | {"review", "settling", "web.*"},
    "similarity": VOCABULARY | {"models.embedding"},
    "thresholds": VOCABULARY,
    "gates": VOCABULARY | {"row_metrics", "thresholds"},
    "wire": VOCABULARY,
    "frames": VOCABULARY,
    "metrics": VOCABULARY | {"row_metrics"},
    "row_metrics": VOCABULARY | {"pairs"},
    "baselines.*": VOCABULARY | {"baselines.*", "noise", "wire"},
    "sources.*": VOCABULARY | {"baselines.*", "drift", "sources.*"},
    "sources.runs": VOCABULARY | {"baselines.*", "sources.*", "models.registered", "tracking"},
    "reports.*": VOCABULARY | {"reports.*", "statistics", "budget", "pairs"},
    "tables": VOCABULARY | {"cells", "raw_tables", "slugs", "suite.*", "table_files"},
    "suite.*": VOCABULARY | {"cells", "decoding.settings", "raw_tables", "suite.*"},
    "models.schemes": VOCABULARY | {"models.uri"},
    "models.spec": VOCABULARY | {"models.named", "models.schemes", "models.uri"},
    "extensions": VOCABULARY,
}
"""What the pure and the self-contained parts may know of."""

DOORS: Mapping[str, set[str]] = {
    "pytest": {
        *("plugin", "options", "hookspecs", "collection", "compat", "display", "fixtures", "interruption"),
        *("marker_faults", "reporting", "run", "stash", "uncollected"),
    },
    "torch": {"decoding.*", "models.devices", "models.local"},
    "transformers": {"decoding.*", "models.local", "models.safety"},
    "mlflow": {"asking", "evaluation", "gates", "metrics", "row_metrics", "tracking", "models.*", "sources.runs"},
    "pandas": {"frames", "metrics", "models.*"},
    "scipy": {"statistics"},
    "huggingface_hub": {"metrics", "models.*"},
    "rapidfuzz": {"similarity"},
    "sentence_transformers": {"models.embedding"},
}
"""Which modules may import a library, lazily or not."""


class Import(NamedTuple):
    """One import: of what, and whether it happens when the module is imported."""

    name: str
    line: int
    at_once: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[Import]:
    """All imports of a module, less those for type checkers; our own modules without the package's name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
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


@pytest.mark.parametrize("pattern", MAY_IMPORT)
def test_pure_parts_know_only_the_vocabulary(pattern: str) -> None:
    """Verdicts, baselines, reports and tables can be read, tested and used without the rest."""
    faults = [
        f"{name} imports {other}"
        for name in MODULES
        if fnmatch(name, pattern) and (name == pattern or name not in MAY_IMPORT)
        for other in sorted(OWN[name])
        if not allowed(other, MAY_IMPORT[pattern])
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
