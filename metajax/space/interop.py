"""Spaces as JSON, Optuna distributions and ConfigSpace, so that a search can move between tools."""

import dataclasses
import json
from collections import Counter
from typing import Any

from metajax.space import _checks as checks
from metajax.space._domains import Categorical, Domain, Float, Integer, Subset
from metajax.space._space import Space
from metajax.types import InputError

_KINDS: dict[str, type] = {"categorical": Categorical, "float": Float, "integer": Integer, "subset": Subset}
_MOST_STEPS = 10_000  # values of a stepped whole number that is read as choices


def to_json(space: Space) -> str:
    """The space as JSON text; ``from_json`` gives an equal space back. A tuple is a list in JSON.

    Example:
        >>> space = Space({"op": Categorical(("skip", "conv")), "rate": Float(1e-4, 1.0, log=True)})
        >>> from_json(to_json(space)) == space
        True
    """
    kinds = {cls: kind for kind, cls in _KINDS.items()}
    fields = lambda d: {field.name: getattr(d, field.name) for field in dataclasses.fields(d)}
    domains = {name: {"kind": kinds[type(d)], **fields(d)} for name, d in space.domains.items()}
    return json.dumps({"domains": domains, "conditions": list(space.conditions.values())})


def from_json(text: str) -> Space:
    """Reads what ``to_json`` wrote.

    Raises:
        InputError: if the text is not a space.
    """
    try:
        raw = json.loads(text, object_pairs_hook=_once)
        fields = {name: dict(d) for name, d in raw["domains"].items()}
        domains = {name: _domain(d) for name, d in fields.items()}
        return Space(domains, [(c, p, checks.frozen(v)) for c, p, v in raw["conditions"]])
    except InputError as error:
        raise InputError(f"from_json: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise InputError(f"from_json: not the JSON of a space ({reason})") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise InputError(f"the name {next(n for n in names if names.count(n) > 1)!r} is there twice")
    return found


def _domain(fields: dict[str, Any]) -> Domain:
    kind = fields.pop("kind")
    if kind == "categorical":
        if not isinstance(fields["choices"], list):
            raise InputError(f"choices is {fields['choices']!r}; accepted is a list")
        fields["choices"] = checks.frozen(fields["choices"])
    return _KINDS[kind](**fields)


def to_optuna(space: Space) -> dict[str, Any]:
    """Optuna distributions by name; a ``Subset`` becomes booleans ``name/0``, ``name/1``, ... Needs Optuna.

    Raises:
        InputError: if two names would be the same in Optuna, or an ``Integer`` has bounds above 2^53, which Optuna rounds.
    """
    od = _distributions("to_optuna")
    names = Counter(n for name, d in space.domains.items() for n in _params(name, d))
    if names.most_common(1)[0][1] > 1:
        raise InputError(f"to_optuna: {names.most_common(1)[0][0]!r} is the name of two parameters; rename one")
    for name, d in space.domains.items():
        if isinstance(d, Integer) and max(abs(d.low), abs(d.high)) > 2**53:
            raise InputError(f"to_optuna: {name} has bounds above 2^53, which Optuna does not hold exactly")

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


def _params(name: str, domain: Domain) -> list[str]:
    """The names in Optuna."""
    return [f"{name}/{i}" for i in range(domain.n)] if isinstance(domain, Subset) else [name]


def _distributions(what: str) -> Any:
    try:
        from optuna import distributions
    except ImportError:
        raise InputError(f"{what} needs Optuna: pip install 'metajax[optuna]'") from None
    return distributions


def to_params(space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as Optuna has it: a subset is a Boolean for each item."""
    params = {}
    for name, value in config.items():
        domain = space.domains[name]
        if isinstance(domain, Subset):
            params |= {f"{name}/{i}": i in value for i in range(domain.n)}
        else:
            params[name] = value
    return params


def from_params(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """The configuration of Optuna's parameters, without what is inactive. A ``Subset`` that must not be empty and is, has its
    first item.

    Raises:
        InputError: if an active parameter is missing or a value is outside of its domain.
    """
    return space.dicts(space.configs([plain(space, params)]))[0]


def plain(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """The values that Optuna's parameters have for the names of a space, as they are; names that are not there are left out."""
    config = {}
    for name, domain in space.domains.items():
        keys = _params(name, domain)
        if name in params:
            config[name] = params[name]
        elif isinstance(domain, Subset) and all(key in params for key in keys):
            items = tuple(i for i, key in enumerate(keys) if params[key])
            config[name] = items or ((0,) if domain.nonempty else ())
    return config


def from_optuna(distributions: dict[str, Any]) -> Space:
    """A space from Optuna distributions by name, such as ``trial.distributions``. Needs Optuna.

    A distribution of a single value is a constant, whole numbers in steps of more than one are choices.

    Raises:
        InputError: if a distribution is of another kind, or has more than 10,000 steps.
    """
    od = _distributions("from_optuna")
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
            if len(steps) > _MOST_STEPS:
                raise InputError(f"from_optuna: {name} has {len(steps)} steps; accepted are at most {_MOST_STEPS}")
            domains[name] = Categorical(steps)
        else:
            raise InputError(f"from_optuna: {name} is a {type(d).__name__}; accepted: Categorical, Float, Int")
    return Space(domains)


def to_configspace(space: Space) -> Any:
    """A ``ConfigSpace.ConfigurationSpace`` with the same conditions. Needs ConfigSpace."""
    import ConfigSpace as cs

    result, made = cs.ConfigurationSpace(), {}
    for name, d in space.domains.items():
        if isinstance(d, Categorical):
            made[name] = [cs.CategoricalHyperparameter(name, d.choices)]
        elif isinstance(d, Float | Integer) and d.low == d.high:
            made[name] = [cs.Constant(name, d.low)]
        elif isinstance(d, Float):
            made[name] = [cs.UniformFloatHyperparameter(name, d.low, d.high, log=d.log)]
        elif isinstance(d, Integer):
            made[name] = [cs.UniformIntegerHyperparameter(name, d.low, d.high, log=d.log)]
        else:
            made[name] = [cs.CategoricalHyperparameter(f"{name}/{i}", (False, True)) for i in range(d.n)]
        result.add(*made[name])
    for child, parent, values in space.conditions.values():
        result.add(*[cs.InCondition(each, made[parent][0], list(values)) for each in made[child]])
    return result
