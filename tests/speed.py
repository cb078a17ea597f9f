"""What makes many runs of pytest and MLflow on one machine cheaper, and changes nothing that they do."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import importlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

IMPORTED_IN_FUNCTIONS = ("jinja2", "pydantic", "rich.console", "rich.table", "scipy.stats", "tqdm", "wcwidth", "yaml")

PYTEST = (
    *("_pytest.pytester", "anyio.pytest_plugin", "pdb", "platformdirs.pytest_plugin", "pytest_cov.plugin"),
    *("pytest_timeout", "xdist.dsession", "xdist.looponfail", "xdist.plugin", "xdist.remote", "xdist.workermanage"),
)

LIBRARIES = (
    *("alembic.command", "alembic.config", "execnet", "filelock", "git", "jinja2", "pandas"),
    *("matplotlib.figure", "opentelemetry.sdk.trace.export", "pytest", "scipy.stats", "sklearn.metrics"),
    *("sklearn.pipeline", "sqlalchemy.dialects.sqlite", "torch", "torch._dynamo", "yaml"),
    *("mlflow", "mlflow.data.evaluation_dataset", "mlflow.pytorch", "mlflow.sklearn", "mlflow.transformers"),
    *("mlflow.models.evaluation.default_evaluator", "mlflow.models.evaluation.evaluator_registry"),
    *(f"mlflow.models.evaluation.evaluators.{name}" for name in ("classifier", "default", "regressor", "shap")),
    *("mlflow.store.tracking.sqlalchemy_workspace_store", "mlflow.store.model_registry.sqlalchemy_store"),
    *(
        "mlflow.models.display_utils",
        "mlflow.tracing.processor.otel",
        "opentelemetry.sdk.metrics",
        "pyarrow.pandas_compat",
    ),
    *(
        "pydantic.dataclasses",
        "transformers",
        "transformers.convert_slow_tokenizer",
        "transformers.pipelines.text_generation",
    ),
    *("transformers.models.bloom.modeling_bloom", "transformers.models.gpt2.modeling_gpt2"),
)


class Distribution:
    """An installed package whose metadata is read once."""

    def __init__(self, distribution: importlib.metadata.Distribution) -> None:
        self._distribution = distribution

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._distribution, name)
        if name in ("entry_points", "files", "metadata", "name", "version"):
            self.__dict__[name] = value
        return value


def hurry() -> None:
    """Make runs faster in this process: stores do not wait for the disk, and constants are looked up once.

    For each new store MLflow reads all of its migrations to name the last one, and for each model that is logged or
    loaded the metadata of the packages that it requires; each run of pytest reads those of all packages.
    """
    import importlib_metadata
    import mlflow.store.db.utils
    import mlflow.utils.requirements_utils
    import yaml
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def connect(connection: object, _: object) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous=OFF")  # type: ignore[attr-defined]

    versions = ((module, "version") for module in (importlib.metadata, importlib_metadata))
    for module, name in ((mlflow.store.db.utils, "_get_latest_schema_revision"), *versions):
        if hasattr(module, name):
            setattr(module, name, functools.cache(getattr(module, name)))
    packages = getattr(mlflow.utils.requirements_utils, "_init_packages_to_modules_map", None)
    if packages is not None:
        packages()
    if hasattr(yaml, "CSafeLoader"):  # MLflow reads the description of a model several times
        yaml.safe_load = functools.partial(yaml.load, Loader=yaml.CSafeLoader)
    read_distributions_once()
    keep_libraries()
    compile_statements_once()
    look_once_for_missing_packages()


def read_distributions_once() -> None:
    """Let `importlib.metadata` read the packages of each installation folder once, as long as none is installed."""
    find = importlib.metadata.distributions
    if find.__module__ == __name__:
        return

    @functools.cache
    def within(path: str, _: int) -> list[Any]:
        return [Distribution(one) for one in find(path=[path])]

    def distributions(**options: Any) -> Iterator[Any]:
        if options:
            yield from find(**options)
            return
        for path in sys.path:
            folder = Path(path)
            if folder.name.endswith("-packages") and folder.is_dir():
                yield from within(path, folder.stat().st_mtime_ns)
            else:
                yield from find(path=[path])

    importlib.metadata.distributions = distributions
    for _ in distributions():  # a process that is forked from this one has read them, too
        pass


def compile_statements_once() -> None:
    """Let all SQLite engines share the statements that SQLAlchemy has compiled: each test has a store of its own."""
    from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite as Dialect
    from sqlalchemy.engine import Engine
    from sqlalchemy.util import LRUCache

    make = Engine.__init__
    if make.__module__ == __name__:
        return
    shared: LRUCache[Any, Any] = LRUCache(2000)

    def make_sharing(self: Engine, pool: Any, dialect: Any, *args: Any, **options: Any) -> None:
        make(self, pool, dialect, *args, **options)
        if type(dialect) is Dialect:
            self._compiled_cache = shared

    Engine.__init__ = make_sharing  # type: ignore[method-assign]
    # The dialect is part of the key.
    Dialect.__eq__ = lambda self, other: type(self) is type(other)  # type: ignore[method-assign]
    Dialect.__hash__ = lambda self: hash(type(self))  # type: ignore[method-assign]


def look_once_for_missing_packages() -> None:
    """Search once for packages that MLflow tries to import a hundred times per run, and that are not installed."""
    find = PathFinder.find_spec
    if find.__module__ == __name__:
        return
    missing = {name for name in ("IPython", "dbruntime", "pyspark") if importlib.util.find_spec(name) is None}

    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        return None if name in missing else find(name, path, target)

    PathFinder.find_spec = find_spec  # type: ignore[method-assign, assignment]


def keep_example_models(folder: Path) -> None:
    """Load each model in a folder once per way of loading it; a run loads its models anew, and tries its shortcuts.

    A model with other weights has another fingerprint, and one that has an adapter is not kept.
    """
    from pytest_llmcompare.models import in_memory, weights
    from pytest_llmcompare.models import load as loading

    load = in_memory._loaded
    if load.__module__ == __name__:
        return
    kept: dict[Any, Any] = {}

    def load_once(resolved: Any) -> Any:
        is_counted = vars(loading)["load_weights"] is not weights.load_weights  # by a test
        if is_counted or resolved.base or in_memory._held.model or Path(resolved.location).parent != folder:
            return load(resolved)
        key = (in_memory._key_of(resolved), os.environ.get("PYTEST_LLMCOMPARE_STRICT"))
        if key not in kept or kept[key].weights.attached is not None:
            kept[key] = dataclasses.replace(load(resolved))
        handed = dataclasses.replace(kept[key])
        handed.free = handed.let_go  # the weights stay, so there is no garbage to look for
        return handed

    in_memory._loaded = load_once


def keep_libraries() -> None:
    """Let `pytester` keep the installed packages that a run imports; it would forget them, to import them again.

    What a run of MLflow's evaluator imports for the first time are 450 modules, 0.6 s and 35 MB.
    """
    from _pytest.pytester import SysModulesSnapshot

    make = SysModulesSnapshot.__init__
    if make.__module__ == __name__:
        return
    folders = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})

    def take(self: SysModulesSnapshot, preserve: Callable[[str], bool] | None = None) -> None:
        before = {*sys.modules}

        def keep(name: str) -> bool:
            if name in before:
                return bool(preserve and preserve(name))
            origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None) or ""
            return origin.startswith(folders) or bool(preserve and preserve(name))

        make(self, keep)

    SysModulesSnapshot.__init__ = take  # type: ignore[method-assign]


def import_all() -> None:
    """Import what a run imports inside functions: `pytester` forgets what is imported beneath it, run after run."""
    import pytest_llmcompare

    ours = (one.name for one in pkgutil.walk_packages(pytest_llmcompare.__path__, f"{pytest_llmcompare.__name__}."))
    for name in (*IMPORTED_IN_FUNCTIONS, *ours):
        if not name.rpartition(".")[2].startswith("_"):  # the code of models, which is run and not imported
            importlib.import_module(name)


def import_libraries() -> None:
    """Import what processes need that are forked from this one, as a single thread, and freeze it: no garbage."""
    from _pytest.config import default_plugins

    gc.disable()
    for name in (*PYTEST, *(f"_pytest.{plugin}" for plugin in default_plugins), *LIBRARIES, *IMPORTED_IN_FUNCTIONS):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    hurry()
    import_all()
    prepare_libraries()
    for entry in importlib.metadata.entry_points(group="pytest11"):
        for name in {entry.module, entry.module.partition(".")[0]}:
            module = sys.modules.get(name)
            if module is not None:  # otherwise pytest warns that it comes too late to rewrite it
                module.__doc__ = f"{module.__doc__ or ''}\nPYTEST_DONT_REWRITE"
    threads = list(Path("/proc/self/task").iterdir())
    if len(threads) > 1:
        raise RuntimeError(f"importing started {len(threads) - 1} threads; a fork would lack them")
    gc.collect()
    gc.freeze()
    gc.enable()


def prepare_libraries() -> None:
    """Let libraries make the tables that each process makes at its first use of them."""
    import sqlalchemy.orm
    from transformers import conversion_mapping

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sqlalchemy.orm.configure_mappers()
    if hasattr(conversion_mapping, "get_checkpoint_conversion_mapping"):
        conversion_mapping.get_checkpoint_conversion_mapping("gpt2")  # type: ignore[no-untyped-call]
