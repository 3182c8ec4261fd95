"""The space of a study whose parameters were suggested under branches: domains, and conditions that no trial contradicts."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metajax.space._domains import Categorical, Domain, Float, Integer
from metajax.space._space import Space
from metajax.types import InputError


class Seen(NamedTuple):
    """What one trial has suggested.

    Attributes:
        domains: Name -> domain, in the order in which they were suggested.
        values: Name -> value.
        is_whole: Whether the trial came to its end, so that what it has not suggested does not exist there.
    """

    domains: Mapping[str, Domain]
    values: Mapping[str, Any]
    is_whole: bool


def infer(trials: Sequence[Seen]) -> Space:
    """Returns the smallest space that holds all trials.

    A parameter that not all whole trials have exists under a condition: on the nearest choice or whole number that was
    suggested before it, and whose values say in every trial whether it is there. Whole numbers are compared by a threshold
    where that suffices, so that values that no trial had are decided, too.

    Args:
        trials: What each trial has suggested.

    Returns:
        The space.

    Raises:
        InputError: If there is no trial, a parameter has domains that cannot be joined, or nothing before it says whether it
            exists.

    Example:
        >>> deep, wide = {"net": Categorical(("deep", "wide")), "layers": Integer(1, 4)}, {"net": Categorical(("deep", "wide"))}
        >>> space = infer([Seen(deep, {"net": "deep", "layers": 2}, True), Seen(wide, {"net": "wide"}, True)])
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
    whole = [trial for trial in trials if trial.is_whole]
    conditions = []
    for name in domains:
        if any(name not in trial.values for trial in whole):
            conditions.append(_condition(name, domains, trials, whole))
    return Space(domains, conditions)


def _joined(name: str, one: Domain, other: Domain) -> Domain:
    """Returns the domain that holds the values of both: dynamic spaces change their bounds, and studies their choices."""
    if one == other:
        return one
    if isinstance(one, Categorical) and isinstance(other, Categorical):
        return Categorical(tuple(dict.fromkeys((*one.choices, *other.choices))))
    is_plain = not any(isinstance(each, Float) and each.grid is not None for each in (one, other))
    if isinstance(one, Integer) and isinstance(other, Integer) and one.log == other.log:
        return Integer(min(one.low, other.low), max(one.high, other.high), log=one.log)
    if isinstance(one, Float) and isinstance(other, Float) and one.log == other.log and is_plain:
        return Float(min(one.low, other.low), max(one.high, other.high), log=one.log)
    raise InputError(
        f"from_optuna: {name} must be of one type, got {one} in one trial and {other} in another; pass the space"
    )


def _condition(
    name: str, domains: Mapping[str, Domain], trials: Sequence[Seen], whole: Sequence[Seen]
) -> tuple[str, str, tuple[Any, ...]]:
    """Returns when a parameter exists."""
    having = [trial for trial in trials if name in trial.values]
    before = None
    for trial in having:
        order = list(trial.values)
        earlier = order[: order.index(name)]
        before = earlier if before is None else [each for each in before if each in earlier]
    for parent in reversed(before or []):
        if not isinstance(domains[parent], Categorical | Integer):
            continue
        present = {trial.values[parent] for trial in having}
        absent = {trial.values[parent] for trial in whole if parent in trial.values and name not in trial.values}
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
