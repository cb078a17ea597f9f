"""Find tests that use the marker or the fixtures in a way that compares nothing; they are errors of collection.

It is imported in every pytest run, so it imports little.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from pytest_llmcompare.compat import fixture_arguments, fixture_definitions

from .items import MARKER, asked_by_fixtures, callspec, chain, code_place, is_unittest, markers, place, replaced_by
from .uncollected import has_constructor, passed_over, uncollected

PARAMETER = "llm_parameter"
TABLE_PARAMETER = "llm_table"
PER_CASE = frozenset({"llm_case", "llm_output", "llm_baseline", "llm_assertions"})
PER_MODEL = frozenset({"llm_model", "llm_evaluation", "llm_model_verdict"})
PER_TABLE = frozenset({"llm_comparison"})
FOR_USERS = PER_CASE | PER_MODEL | PER_TABLE
"""The fixtures for users; each depends on one of `INTERNAL`."""

INTERNAL = frozenset({PARAMETER, TABLE_PARAMETER})
ANSWERED = FOR_USERS - {"llm_case"}
"""The fixtures that need answers of a model."""

MOST = 10
"""Most faults that are shown for one file."""

EXAMPLE = "Write `def {}(llm_output, llm_baseline):` and in it `assert llm_output == llm_baseline`."
PLAIN_CLASS = (
    "unittest.TestCase cannot be parametrised (a limit of pytest's), so no row of the table would run. "
    "Write a plain class without the base class: `def {}(self, llm_output, llm_baseline):` and in it "
    "`assert llm_output == llm_baseline`."
)
NO_TABLE = '{} asks for {} but has no prompt table. Add @pytest.mark.llm_prompts("prompts.csv").'


class MarkerFaults:
    """Checks what is collected, file by file and class by class."""

    def __init__(self) -> None:
        self._used: dict[pytest.Collector, bool] = {}  # classes and modules with a marker, and whether a test uses it
        self._left: list[tuple[pytest.Collector, str, Any]] = []  # marked classes that pytest does not collect
        self._open: set[pytest.Collector] = set()  # classes whose tests are not collected (yet)

    def look(self, collector: pytest.Collector, report: pytest.CollectReport) -> None:
        """Turn a collection report into an error if tests in it use the marker or our fixtures wrongly."""
        if not report.passed:
            return
        self._open.discard(collector)
        marked = [node for node in chain(collector) if markers(node)]
        tests = [item for item in report.result if isinstance(item, pytest.Function)]
        faults = [text for node in marked if tests and len(markers(node)) > 1 for text in [_several(node)]]
        for test in tests:
            faults.extend(_faults(test, marked))
        for name, what in uncollected(collector, report.result):
            if isinstance(what, type) and what is not getattr(collector, "obj", None):
                self._left.append((collector, name, what))
            else:
                faults.append(passed_over(collector, name, what))
        for node in [node for node in marked if not has_constructor(node)]:
            self._used[node] = self._used.get(node, False) or any(_uses(test, node) for test in tests)
        self._open.update(node for node in report.result if isinstance(node, pytest.Class))
        if faults:
            unique = list(dict.fromkeys(faults))
            more = [f"and {len(unique) - MOST:,} more tests like these"] if len(unique) > MOST else []
            report.outcome, report.longrepr, report.result = "failed", "\n".join([*unique[:MOST], *more]), []

    def refuse_late(self, session: pytest.Session, items: Iterable[pytest.Item]) -> None:
        """Report an error of collection for markers that were added to tests after their collection."""
        for text, item in {text: item for item in items if (text := added_late(item))}.items():
            above = item.parent or item
            session.ihook.pytest_collectreport(report=pytest.CollectReport(above.nodeid, "failed", text, []))

    def refuse_unused(self, session: pytest.Session) -> None:
        """Report an error of collection for markers of classes and modules that none of their tests uses.

        Not if only some classes of a module were collected, as when node ids select tests.
        """
        for node, name, cls in self._left:
            if not cls.__subclasses__():
                report = pytest.CollectReport(node.nodeid, "failed", passed_over(node, name, cls), [])
                session.ihook.pytest_collectreport(report=report)
        for node, used in self._used.items():
            if not used and not any(node in other.listchain() for other in self._open):
                report = pytest.CollectReport(node.nodeid, "failed", _unused(node), [])
                session.ihook.pytest_collectreport(report=report)


MARKERS: pytest.StashKey[MarkerFaults] = pytest.StashKey()
"""On the config: the check of what was collected so far."""


def asked_late(item: pytest.Item) -> str:
    """The fault of a test that asks for one of our fixtures while it already runs."""
    name = getattr(item, "originalname", None) or item.name
    if is_unittest(item):
        return f"{place(item)}: {PLAIN_CLASS.format(name)}"
    marker = "" if item.get_closest_marker(MARKER) else ' Mark it with @pytest.mark.llm_prompts("prompts.csv"), too.'
    return (
        f"{place(item)}: {name} asks for a fixture of pytest-llmcompare only while it runs (request.getfixturevalue), "
        "or for a fixture that its arguments do not lead to, so no row of the table was chosen for it.\n"
        f"Name the fixture in the test's arguments. {EXAMPLE.format(name)}{marker}"
    )


def compares_in_fixtures(item: pytest.Item, name: str = "llm_baseline") -> bool:
    """True if a fixture compares instead of the test itself, maybe only in its teardown."""
    return name not in fixture_arguments(item) or asked_by_fixtures(item, name)


def added_late(item: pytest.Item) -> str:
    """The fault of a marker that was added to a test after its collection; empty if none was."""
    marks = markers(item)
    if not marks or (len(marks) == 1 and not {PARAMETER, TABLE_PARAMETER}.isdisjoint(callspec(item, "params"))):
        return ""
    return (
        f"{place(item)}: an llm_prompts marker ({_table(marks[-1])}) was added to "
        f"{getattr(item, 'originalname', None) or item.name} after it was collected (add_marker, e.g. in "
        "pytest_collection_modifyitems or a fixture), so its table is not read and nothing would be compared. "
        "Put @pytest.mark.llm_prompts(...) on the test itself."
    )


def _faults(item: pytest.Function, marked: Sequence[pytest.Collector]) -> Iterator[str]:
    """What is wrong with one test; `marked` are the classes and modules above it that have a marker."""
    own = markers(item)
    ours = FOR_USERS.intersection(item.fixturenames)
    leads = {name for name in (PARAMETER, TABLE_PARAMETER) if name in item.fixturenames and not replaced_by(item, name)}
    method = is_unittest(item) and (own or leads or any(isinstance(node, pytest.Class) for node in marked))
    if not own and not ours and not leads and not method:
        yield from _marked_fixtures(item)
        return
    if any(mark.name == MARKER for mark in callspec(item, "marks")):
        yield f"{place(item)}: {_IN_PARAM.format(item.originalname)}"
        return
    if own or leads or (ours and marked):
        names = (FOR_USERS | INTERNAL).intersection(item.fixturenames)
        yield from (f"{place(item)}: {text}" for text in _replaced(item, names, callspec(item, "params")))
    if len(own) > 1:
        yield _several(item)
    elif leads and not method and not own and not marked:
        yield from _marked_fixtures(item)
        asked = ", ".join(sorted(ours & set(fixture_arguments(item)) or ours))
        yield f"{place(item)}: {NO_TABLE.format(item.originalname, asked)}"
    elif text := _compares_nothing(item, ours, leads, marked=bool(own), method=bool(method)):
        yield f"{place(item)}: {text}"


def _compares_nothing(item: pytest.Function, ours: Set[str], leads: Set[str], *, marked: bool, method: bool) -> str:
    """Why a test compares nothing although it has a marker; empty if it may compare.

    Args:
        item: The test.
        ours: The fixtures of this plugin that it uses.
        leads: Those of `PARAMETER` and `TABLE_PARAMETER` that these lead to.
        marked: Whether the test itself has a marker.
        method: Whether it is a method of a `unittest.TestCase`.
    """
    name = item.originalname
    if method:
        return f"{name}: {PLAIN_CLASS.format(name)}"
    if marked and not ours:
        return _unasked(item)
    if leads and leads.isdisjoint(callspec(item, "params")):
        return f"pytest does not parametrize generators, so {name} has no rows of its table. Do not use yield in it."
    if marked and ours and not _sees(item, ours):
        asked = ", ".join(sorted(ours))
        return f"{name} asks for {asked} by usefixtures, so it never sees the value. {EXAMPLE.format(name)}"
    return ""


_IN_PARAM = (
    "{}: llm_prompts cannot be used in pytest.param(..., marks=...), because the rows of a table make parameters "
    "themselves. Put @pytest.mark.llm_prompts(...) on the test function; for several tables write several tests, and "
    "for several settings use variants={{...}}."
)


def _replaced(item: pytest.Function, names: Iterable[str], parameters: Iterable[str]) -> Iterator[str]:
    """Faults of a test that gets our fixtures' names from its own parameters or fixtures."""
    for name in sorted(names):
        if name in parameters and name not in INTERNAL:
            yield f"parametrize sets {name} itself, so nothing would be compared. Rename that parameter."
            continue
        for fixture in replaced_by(item, name):
            yield (
                f"{item.originalname} gets its {name} from your own fixture at {code_place(item, fixture)}, "
                f"not from pytest-llmcompare. Give that fixture another name, such as my_{name.removeprefix('llm_')}."
            )


def _unasked(item: pytest.Function) -> str:
    """The fault of a test that has a marker and asks for none of our fixtures."""
    name, known = item.originalname, fixture_definitions(item)
    near = {
        wrong: match[0]
        for wrong in item.fixturenames
        if wrong not in known and (match := difflib.get_close_matches(wrong, FOR_USERS, n=1))
    }
    hint = "".join(f" Did you mean {right} instead of {wrong!r}?" for wrong, right in near.items())
    late = " request.getfixturevalue runs too late for that." if "request" in item.fixturenames else ""
    return (
        f"{name} is marked with llm_prompts but asks for none of its fixtures, so nothing would be compared."
        f"{hint}{late} {EXAMPLE.format(name)}"
    )


def _several(node: pytest.Item | pytest.Collector) -> str:
    """The fault of several markers in one place."""
    tables = ", ".join(_table(mark) for mark in markers(node))
    return (
        f"{place(node)}: {len(markers(node))} llm_prompts markers on {_described(node)} ({tables}), of which one would "
        "count. Write a test for each table; for several settings of one table use variants={...}."
    )


def _unused(node: pytest.Collector) -> str:
    """The fault of a marker of a class or module that no test uses."""
    return (
        f"{place(node)}: the llm_prompts marker on {_described(node)} ({_table(markers(node)[0])}) is used by none "
        "of its tests: they have markers of their own, or ask for none of its fixtures. "
        f"Remove it, or use it. {EXAMPLE.format('test_it')}"
    )


def _described(node: pytest.Item | pytest.Collector) -> str:
    if isinstance(node, pytest.Class):
        return f"class {node.name} and its base classes"
    return getattr(node, "originalname", None) or f"module {Path(node.name).name} (pytestmark)"


def _table(mark: pytest.Mark) -> str:
    """The table of a marker, as messages name it."""
    table = mark.args[0] if mark.args else mark.kwargs.get("table")
    shown = mark.kwargs.get("name") or (str(table) if isinstance(table, (str, Path)) else type(table).__name__)
    return ascii(shown)


def _marked_fixtures(item: pytest.Function) -> Iterator[str]:
    """Faults of fixtures that have a marker, which pytest before 9 ignores."""
    for name, fixtures in fixture_definitions(item).items():
        for fixture in fixtures:
            marks = getattr(fixture.func, "pytestmark", ())
            if any(getattr(mark, "name", "") == MARKER for mark in marks):
                yield (
                    f"{code_place(item, fixture)}: the llm_prompts marker on the fixture {name} does nothing. "
                    "Put it on the tests that use the fixture."
                )


def _uses(test: pytest.Function, node: pytest.Collector) -> bool:
    """True if a test runs the table of the marker on a class or module above it."""
    if FOR_USERS.isdisjoint(test.fixturenames):
        return False
    return not markers(test) and next(above for above in reversed(chain(test)) if markers(above)) is node


def _sees(item: pytest.Function, ours: Iterable[str]) -> bool:
    """True if the test, or a fixture of the user's, gets the value of one of our fixtures."""
    arguments = {*fixture_arguments(item)}
    if "request" in arguments or "llm_evaluation" in ours:  # which fails by itself if a threshold is not met
        return True
    return any(name in arguments or asked_by_fixtures(item, name) for name in ours)
