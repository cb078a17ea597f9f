"""Read the `thresholds` of a marker: bounds for the metrics of a table. Pure; imports no MLflow."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_llmcompare.errors import UsageError, did_you_mean

AT_LEAST, AT_MOST = ">=", "<="
CONDITION = re.compile(r"\s*([<>=!~]*)\s*(.*?)\s*", re.DOTALL)
CHANGES = ("min_absolute_change", "min_relative_change")
EXAMPLE = '">=0.8", "<=0.8" or an mlflow.models.MetricThreshold'


@dataclass(frozen=True)
class Threshold:
    """A bound for one metric.

    Attributes:
        metric: Its name, as MLflow gives it.
        bound: The value that still passes.
        greater_is_better: Whether larger values pass, too, or smaller ones.
    """

    metric: str
    bound: float
    greater_is_better: bool

    @property
    def wanted(self) -> str:
        """The condition as it is written: `>=0.8`."""
        short = f"{self.bound:g}"
        bound = short if float(short) == self.bound else repr(self.bound)
        return f"{AT_LEAST if self.greater_is_better else AT_MOST}{bound}"


def read_thresholds(given: object) -> tuple[Threshold, ...]:
    """Read `thresholds={"exact_match": ">=0.8"}`.

    Raises:
        UsageError: Not a mapping of metrics to conditions, or an empty one; all faulty conditions at once.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f'llm_prompts: thresholds={given!r}, expected e.g. {{"exact_match": ">=0.8"}}.')
    thresholds, faults = [], []
    for metric, condition in given.items():
        try:
            thresholds.append(read_threshold(metric, condition))
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(faults))
    return tuple(thresholds)


def read_threshold(metric: object, condition: object) -> Threshold:
    """Read one condition: a text, or MLflow's `MetricThreshold`.

    Raises:
        UsageError: It is neither, or sets what a single run cannot check.
    """
    where = f"llm_prompts: thresholds[{metric!r}]"
    if not isinstance(metric, str) or not metric.strip():
        raise UsageError(f"{where}={condition!r}, expected the name of a metric as the key.")
    if isinstance(condition, str):
        return Threshold(metric, *read_condition(condition, where))
    bound, greater = getattr(condition, "threshold", None), getattr(condition, "greater_is_better", None)
    for change in CHANGES:
        if getattr(condition, change, None) is not None:
            raise UsageError(
                f"{where}: {change} compares with the evaluation of another model, and a threshold looks at one model. "
                "Give MetricThreshold(threshold=...) alone."
            )
    if not isinstance(greater, bool) or isinstance(bound, bool) or not isinstance(bound, (int, float)):
        raise UsageError(f"{where}={condition!r}, expected {EXAMPLE}.")
    return Threshold(metric, finite(bound, where), greater)


def read_condition(text: str, where: str) -> tuple[float, bool]:
    """Read `>=0.8`: the bound, and whether greater is better.

    Raises:
        UsageError: Another operator, or no number.
    """
    parts = CONDITION.fullmatch(text)
    operator, number = parts.groups() if parts else ("", text)
    if not operator:
        raise UsageError(f"{where}={text!r} has no operator, expected {EXAMPLE}.")
    if operator not in (AT_LEAST, AT_MOST):
        near = did_you_mean(operator, (AT_LEAST, AT_MOST))
        raise UsageError(f"{where}={text!r}: unknown operator {operator!r}.{near}")
    try:
        bound = float(number)
    except ValueError:
        raise UsageError(f"{where}={text!r}: {number!r} is not a number, expected {EXAMPLE}.") from None
    return finite(bound, where), operator == AT_LEAST


def finite(bound: float, where: str) -> float:
    """Check that a bound is finite.

    Raises:
        UsageError: It is infinite or NaN.
    """
    try:
        value = float(bound)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise UsageError(f"{where}: {value} cannot be a bound, expected a finite number.")
    return value
