"""Spaces as JSON, Optuna distributions and ConfigSpace, so that a search can move between tools."""

import json
from typing import Any

from metajax.space.domains import Categorical, Domain, Float, Integer, Subset
from metajax.space.space import Space

_KINDS: dict[str, type] = {"categorical": Categorical, "float": Float, "integer": Integer, "subset": Subset}


def to_json(space: Space) -> str:
    """The space as JSON text; ``from_json`` gives an equal space back.

    Raises:
        ValueError: if a categorical choice is not a string, number, boolean or null.

    Example:
        >>> space = Space({"op": Categorical(("skip", "conv")), "rate": Float(1e-4, 1.0, log=True)})
        >>> from_json(to_json(space)) == space
        True
    """
    for name, domain in space.domains.items():
        if isinstance(domain, Categorical) and not all(isinstance(c, _JSON_TYPES) for c in domain.choices):
            raise ValueError(f"to_json: {name} has choices {domain.choices}; accepted are str, int, float, bool, None")
    kinds = {cls: kind for kind, cls in _KINDS.items()}
    domains = {name: {"kind": kinds[type(d)], **vars(d)} for name, d in space.domains.items()}
    return json.dumps({"domains": domains, "conditions": list(space.conditions.values())})


def from_json(text: str) -> Space:
    """Reads what ``to_json`` wrote.

    Raises:
        ValueError: if the text is not a space.
    """
    try:
        raw = json.loads(text)
        fields = {name: dict(d) for name, d in raw["domains"].items()}
        domains = {name: _KINDS[d.pop("kind")](**d) for name, d in fields.items()}
        return Space(domains, [(c, p, tuple(v)) for c, p, v in raw["conditions"]])
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"from_json: not the JSON of a space ({type(error).__name__}: {error})") from error


_JSON_TYPES = str | int | float | bool | None


def to_optuna(space: Space) -> dict[str, Any]:
    """Optuna distributions by name; a ``Subset`` becomes booleans ``name/0``, ``name/1``, ... Needs Optuna."""
    from optuna import distributions as od

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


def to_params(space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as Optuna has it: a subset is a boolean for each item."""
    params = {}
    for name, value in config.items():
        domain = space.domains[name]
        if isinstance(domain, Subset):
            params |= {f"{name}/{i}": i in value for i in range(domain.n)}
        elif isinstance(domain, Float):  # kept in float32, and Optuna wants its grid to the last digits
            step = None if domain.grid is None or domain.log else (domain.high - domain.low) / (domain.grid - 1)
            exact = value if step is None else domain.low + round((value - domain.low) / step) * step
            params[name] = min(max(exact, domain.low), domain.high)
        else:
            params[name] = value
    return params


def from_params(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """The configuration of Optuna's parameters, without what is inactive."""
    config = {}
    for name, domain in space.domains.items():
        if isinstance(domain, Subset):
            items = tuple(i for i in range(domain.n) if params[f"{name}/{i}"])
            config[name] = items or ((0,) if domain.nonempty else ())
        else:
            config[name] = params[name]
    return space.dicts(space.configs([config]))[0]


def from_optuna(distributions: dict[str, Any]) -> Space:
    """A space from Optuna distributions by name, such as ``trial.distributions``. Needs Optuna."""
    from optuna import distributions as od

    domains: dict[str, Domain] = {}
    for name, d in distributions.items():
        if isinstance(d, od.CategoricalDistribution):
            domains[name] = Categorical(d.choices)
        elif isinstance(d, od.FloatDistribution):
            grid = None if d.step is None else round((d.high - d.low) / d.step) + 1
            domains[name] = Float(d.low, d.high, log=d.log, grid=grid)
        elif isinstance(d, od.IntDistribution) and d.step == 1:
            domains[name] = Integer(d.low, d.high, log=d.log)
        elif isinstance(d, od.IntDistribution):
            domains[name] = Categorical(tuple(range(d.low, d.high + 1, d.step)))
        else:
            raise ValueError(f"from_optuna: {name} is a {type(d).__name__}; accepted: Categorical, Float, Int")
    return Space(domains)


def to_configspace(space: Space) -> Any:
    """A ``ConfigSpace.ConfigurationSpace`` with the same conditions. Needs ConfigSpace."""
    import ConfigSpace as cs

    result, made = cs.ConfigurationSpace(), {}
    for name, d in space.domains.items():
        if isinstance(d, Categorical):
            made[name] = [cs.CategoricalHyperparameter(name, d.choices)]
        elif isinstance(d, Float):
            made[name] = [cs.UniformFloatHyperparameter(name, d.low, d.high, log=d.log)]
        elif isinstance(d, Integer) and d.low == d.high:
            made[name] = [cs.Constant(name, d.low)]
        elif isinstance(d, Integer):
            made[name] = [cs.UniformIntegerHyperparameter(name, d.low, d.high, log=d.log)]
        else:
            made[name] = [cs.CategoricalHyperparameter(f"{name}/{i}", (False, True)) for i in range(d.n)]
        result.add(*made[name])
    for child, parent, values in space.conditions.values():
        result.add(*[cs.InCondition(each, made[parent][0], list(values)) for each in made[child]])
    return result
