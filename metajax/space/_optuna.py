"""The domains of a space and the distributions of Optuna, each converted to the other."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from metajax.space import _checks as checks
from metajax.space._conditions import parents_first
from metajax.space._domains import Categorical, Domain, Float, Integer, Subset
from metajax.space._inference import Suggestions
from metajax.space._space import Space
from metajax.types import InputError

_MAX_STEPS = 10_000  # values of a stepped whole number that is read as choices


def distributions_of(space: Space, od: Any) -> dict[str, Any]:
    """Returns the distributions of a space by name; ``od`` is ``optuna.distributions``. See ``interop.to_optuna``."""
    _check_representable(space)
    result: dict[str, Any] = {}
    for name, d in space.domains.items():
        if isinstance(d, Categorical):
            result[name] = od.CategoricalDistribution(d.choices)
        elif isinstance(d, Float):
            step = None if d.grid is None or d.log else (d.high - d.low) / (d.grid - 1)
            result[name] = od.FloatDistribution(d.low, d.high, log=d.log, step=step)
        elif isinstance(d, Integer):
            result[name] = od.IntDistribution(d.low, d.high, log=d.log)
        else:
            result.update({f"{name}/{i}": od.CategoricalDistribution((False, True)) for i in range(d.n)})
    return result


def _check_representable(space: Space) -> None:
    """Refuses a space that Optuna cannot represent."""
    names = Counter(n for name, d in space.domains.items() for n in param_names(name, d))
    if names.most_common(1)[0][1] > 1:
        raise InputError(
            f"to_optuna: parameters must have different names, but {names.most_common(1)[0][0]!r} is the name of two; "
            "rename one"
        )
    for name, d in space.domains.items():
        if isinstance(d, Integer) and max(abs(d.low), abs(d.high)) > 2**53:
            raise InputError(
                f"to_optuna: the bounds of {name} must be at most 2^53, because Optuna does not represent larger ones "
                "exactly"
            )


def param_names(name: str, domain: Domain) -> list[str]:
    """Returns the names of a domain in Optuna."""
    return [f"{name}/{i}" for i in range(domain.n)] if isinstance(domain, Subset) else [name]


def domains_of(distributions: Mapping[str, Any], od: Any) -> dict[str, Domain]:
    """Returns the domains of distributions by name; ``od`` is ``optuna.distributions``. See ``interop.from_optuna``."""
    domains: dict[str, Domain] = {}
    for name, d in distributions.items():
        if isinstance(d, od.CategoricalDistribution):
            domains[name] = Categorical(checks.frozen(d.choices))
        elif isinstance(d, od.FloatDistribution):
            grid = None if d.step is None or d.low == d.high else round((d.high - d.low) / d.step) + 1
            domains[name] = Float(d.low, d.high, log=d.log, grid=grid)
        elif isinstance(d, od.IntDistribution) and (d.step == 1 or d.low == d.high):
            domains[name] = Integer(d.low, d.high, log=d.log)
        elif isinstance(d, od.IntDistribution):
            steps = range(d.low, d.high + 1, d.step)
            if len(steps) > _MAX_STEPS:
                raise InputError(f"from_optuna: {name} must have at most {_MAX_STEPS} steps, got {len(steps)}")
            domains[name] = Categorical(steps)
        else:
            raise InputError(
                f"from_optuna: {name} must be a Categorical, Float or Int distribution, got {type(d).__name__}"
            )
    return domains


def suggest_params(space: Space, trial: Any, distributions: Mapping[str, Any]) -> dict[str, Any]:
    """Lets a trial suggest the parameters that exist under its own choices; returns them. See ``interop.suggest``."""
    params: dict[str, Any] = {}
    for name in parents_first(space.domains, space.conditions):
        condition = space.conditions.get(name)
        if condition is None or (condition.parent in params and params[condition.parent] in condition.values):
            for key in param_names(name, space.domains[name]):
                params[key] = _suggest(trial, key, distributions[key])
    return params


def _suggest(trial: Any, name: str, distribution: Any) -> Any:
    """Lets a trial suggest one parameter."""
    if hasattr(distribution, "choices"):
        return trial.suggest_categorical(name, distribution.choices)
    suggest = trial.suggest_int if isinstance(distribution.low, int) else trial.suggest_float
    return suggest(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def within(distribution: Any, value: Any) -> Any:
    """Returns the value of a distribution that is nearest to a value of its domain, which is rounded to 32 bits."""
    if not hasattr(distribution, "low"):
        return value
    if distribution.step is not None:
        steps = round((value - distribution.low) / distribution.step)
        value = distribution.low + steps * distribution.step
    kind = int if isinstance(distribution.low, int) and isinstance(value, int) else float
    return kind(min(max(value, distribution.low), distribution.high))


def suggestions_of(trial: Any, domain_of: Callable[[str, Any], Domain | None]) -> Suggestions:
    """Returns what a trial suggested: the parameters for which ``domain_of(name, distribution)`` is not ``None``."""
    domains = {
        name: domain for name in trial.params if (domain := domain_of(name, trial.distributions[name])) is not None
    }
    values = {name: checks.frozen(trial.params[name]) for name in domains}
    return Suggestions(domains, values, trial.state.name in ("COMPLETE", "PRUNED"))
