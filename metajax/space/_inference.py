"""The space of a study whose parameters were suggested under branches: domains, and conditions that no trial contradicts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metajax.space._domains import Categorical, Domain, Float, Integer
from metajax.space._space import Space
from metajax.types import InputError


class Suggestions(NamedTuple):
    """The parameters that one trial has suggested.

    Attributes:
        domains: Name -> domain, in the order in which they were suggested.
        values: Name -> value.
        is_complete: Whether the trial came to its end, so that what it has not suggested does not exist there.
    """

    domains: Mapping[str, Domain]
    values: Mapping[str, Any]
    is_complete: bool


def infer(trials: Sequence[Suggestions]) -> Space:
    """Returns the smallest space that holds all trials.

    A parameter that not all whole trials have exists under a condition: on the nearest choice or whole number that was
    suggested before it, and whose values say in every trial whether it is there. Whole numbers are compared by a threshold
    where that suffices, so that values that no trial had are decided, too.

    Args:
        trials: The parameters of each trial.

    Returns:
        The space.

    Raises:
        InputError: If there is no trial, a parameter has domains that cannot be joined, or nothing before it says whether it
            exists.

    Example:
        >>> deep, wide = {"net": Categorical(("deep", "wide")), "layers": Integer(1, 4)}, {"net": Categorical(("deep", "wide"))}
        >>> space = infer([Suggestions(deep, {"net": "deep", "layers": 2}, True), Suggestions(wide, {"net": "wide"}, True)])
        >>> space.conditions["layers"]
        Condition(child='layers', parent='net', values=('deep',))
    """
    if not trials:
        raise InputError(
            "from_optuna: the study must have at least one trial, because the space is inferred from what they suggest"
        )
    domains: dict[str, Domain] = {}
    for trial in trials:
        for name, domain in trial.domains.items():
            domains[name] = _joined(name, domains[name], domain) if name in domains else domain
    complete_trials = [trial for trial in trials if trial.is_complete]
    conditions = []
    for name in domains:
        if any(name not in trial.values for trial in complete_trials):
            conditions.append(_condition(name, domains, trials, complete_trials))
    return Space(domains, conditions)


def _joined(name: str, first: Domain, second: Domain) -> Domain:
    """Returns the domain that holds the values of both: dynamic spaces change their bounds, and studies their choices."""
    if first == second:
        return first
    if isinstance(first, Categorical) and isinstance(second, Categorical):
        return Categorical(tuple(dict.fromkeys((*first.choices, *second.choices))))
    is_plain = not any(isinstance(domain, Float) and domain.grid is not None for domain in (first, second))
    if isinstance(first, Integer) and isinstance(second, Integer) and first.log == second.log:
        return Integer(min(first.low, second.low), max(first.high, second.high), log=first.log)
    if isinstance(first, Float) and isinstance(second, Float) and first.log == second.log and is_plain:
        return Float(min(first.low, second.low), max(first.high, second.high), log=first.log)
    raise InputError(
        f"from_optuna: {name} must be of one type, got {first} in one trial and {second} in another; pass the space"
    )


def _condition(
    name: str, domains: Mapping[str, Domain], trials: Sequence[Suggestions], complete_trials: Sequence[Suggestions]
) -> tuple[str, str, tuple[Any, ...]]:
    """Returns when a parameter exists."""
    having = [trial for trial in trials if name in trial.values]
    candidates = None
    for trial in having:
        order = list(trial.values)
        suggested = order[: order.index(name)]
        candidates = suggested if candidates is None else [parent for parent in candidates if parent in suggested]
    for parent in reversed(candidates or []):
        if not isinstance(domains[parent], Categorical | Integer):
            continue
        present = {trial.values[parent] for trial in having}
        absent = {
            trial.values[parent] for trial in complete_trials if parent in trial.values and name not in trial.values
        }
        if present.isdisjoint(absent):
            return name, parent, _values(domains[parent], present, absent)
    raise InputError(
        f"from_optuna: {name} is suggested in {len(having)} of {len(trials)} trials, and no choice or integer that is "
        "suggested before it says in which; pass the space"
    )


def _values(domain: Domain, present: set[Any], absent: set[Any]) -> tuple[Any, ...]:
    """Returns the values of the parent under which the parameter exists, those that no trial had included where they follow."""
    if not isinstance(domain, Integer):
        assert isinstance(domain, Categorical)
        return tuple(choice for choice in domain.choices if choice in present)
    low, high = min(present), max(present)
    if all(value < low for value in absent):
        high = domain.high
    elif all(value > high for value in absent):
        low = domain.low
    else:
        return tuple(sorted(present))
    return tuple(range(low, high + 1))
