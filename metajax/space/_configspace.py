"""The parts of a ConfigSpace as those of a space: domains, conditions with one parent, and forbidden combinations."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from metajax._optional import optional
from metajax.space import _checks as checks
from metajax.space._domains import Categorical, Domain, Float, Integer, Subset
from metajax.space._layout import Condition
from metajax.space._space import Space
from metajax.types import InputError


def domain_of(name: str, hyperparameter: Any) -> Domain:
    """Returns the domain of a hyperparameter.

    Raises:
        InputError: If it is of a kind without one.
    """
    cs = optional("ConfigSpace", "from_configspace")
    if isinstance(hyperparameter, cs.CategoricalHyperparameter):
        return Categorical(checks.frozen(tuple(hyperparameter.choices)))
    if isinstance(hyperparameter, cs.OrdinalHyperparameter):
        return Categorical(checks.frozen(tuple(hyperparameter.sequence)))
    if isinstance(hyperparameter, cs.Constant):
        return Categorical((checks.frozen(hyperparameter.value),))
    if isinstance(hyperparameter, cs.UniformIntegerHyperparameter):
        return Integer(int(hyperparameter.lower), int(hyperparameter.upper), log=hyperparameter.log)
    if isinstance(hyperparameter, cs.UniformFloatHyperparameter):
        return Float(float(hyperparameter.lower), float(hyperparameter.upper), log=hyperparameter.log)
    raise InputError(
        f"from_configspace: {name} must be categorical, ordinal, constant, or a uniform integer or float, got "
        f"{type(hyperparameter).__name__}"
    )


def conditions_of(conditions: Sequence[Any], domains: dict[str, Domain]) -> list[Condition]:
    """Returns the conditions, those of one child on one parent joined.

    Raises:
        InputError: If a child depends on several parents, or never exists.
    """
    return [_joined(condition, domains) for condition in conditions]


def forbidden_of(clauses: Sequence[Any]) -> list[dict[str, Any]]:
    """Returns the forbidden combinations, one dictionary for each.

    Raises:
        InputError: If a clause relates two hyperparameters.
    """
    return [dict(pairs) for clause in clauses for pairs in itertools.product(*_choices(clause))]


def clauses(combinations: Sequence[dict[str, Any]], hyperparameters: dict[str, Any]) -> Iterator[Any]:
    """Yields forbidden combinations as clauses of ConfigSpace."""
    cs = optional("ConfigSpace", "to_configspace")
    for combination in combinations:
        parts = [cs.ForbiddenEqualsClause(hyperparameters[name], value) for name, value in combination.items()]
        yield parts[0] if len(parts) == 1 else cs.ForbiddenAndConjunction(*parts)


def legal_config(space: Space, forbidden: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns a configuration that holds no forbidden combination.

    Raises:
        InputError: If none of 256 random ones is allowed.
    """
    for config in space.dicts(space.sample(jax.random.key(0), 256)):
        if not any(combination.items() <= config.items() for combination in forbidden):
            return config
    raise InputError(
        "to_configspace: forbidden must allow some configurations, but it allows none of 256 random ones; forbid less"
    )


def _joined(condition: Any, domains: dict[str, Domain]) -> Condition:
    cs = optional("ConfigSpace", "from_configspace")
    if not isinstance(condition, cs.AndConjunction | cs.OrConjunction):
        return _single(condition, domains)
    conditions = [_joined(part, domains) for part in condition.components]
    child, parents = conditions[0].child, {part.parent for part in conditions}
    if len(parents) > 1:
        raise InputError(
            f"from_configspace: {child} must depend on one parent, got {', '.join(sorted(parents))}; make it depend on "
            "the nearest one, which may depend on the other"
        )
    is_conjunction = isinstance(condition, cs.AndConjunction)
    holds = all if is_conjunction else any
    values = dict.fromkeys(value for part in conditions for value in part.values)
    return _checked(child, conditions[0].parent, [v for v in values if holds(v in part.values for part in conditions)])


def _single(condition: Any, domains: dict[str, Domain]) -> Condition:
    cs = optional("ConfigSpace", "from_configspace")
    child, parent = condition.child.name, condition.parent.name
    domain = domains[parent]
    if isinstance(condition, cs.EqualsCondition):
        return Condition(child, parent, (checks.frozen(condition.value),))
    if isinstance(condition, cs.InCondition):
        return Condition(child, parent, tuple(checks.frozen(list(condition.values))))
    if not isinstance(domain, Categorical | Integer):
        raise InputError(
            f"from_configspace: {child} must depend on choices or integers, but its parent {parent} is a Float"
        )
    options = domain.choices if isinstance(domain, Categorical) else range(domain.low, domain.high + 1)
    value = checks.frozen(condition.value)
    if isinstance(condition, cs.NotEqualsCondition):
        return _checked(child, parent, [option for option in options if option != value])
    position = list(options).index
    if isinstance(condition, cs.GreaterThanCondition):
        return _checked(child, parent, [option for option in options if position(option) > position(value)])
    if isinstance(condition, cs.LessThanCondition):
        return _checked(child, parent, [option for option in options if position(option) < position(value)])
    raise InputError(
        f"from_configspace: the condition of {child} must be an equality or a membership, got "
        f"{type(condition).__name__}"
    )


def _checked(child: str, parent: str, values: list[Any]) -> Condition:
    if not values:
        raise InputError(
            f"from_configspace: {child} must exist with some value of {parent}, but exists with none; leave {child} out"
        )
    return Condition(child, parent, tuple(values))


def _choices(clause: Any) -> list[list[tuple[str, Any]]]:
    """For each hyperparameter of a forbidden clause, its name with each of its values."""
    cs = optional("ConfigSpace", "from_configspace")
    if isinstance(clause, cs.ForbiddenAndConjunction):
        return [choices for part in clause.components for choices in _choices(part)]
    if isinstance(clause, cs.ForbiddenEqualsClause):
        return [[(clause.hyperparameter.name, checks.frozen(clause.value))]]
    if isinstance(clause, cs.ForbiddenInClause):
        return [[(clause.hyperparameter.name, checks.frozen(value)) for value in clause.values]]
    raise InputError(
        f"from_configspace: a forbidden clause must be of values and not of a relation, got {type(clause).__name__}"
    )


def configspace_of(space: Space, forbidden: Sequence[dict[str, Any]], cs: Any) -> Any:
    """Returns the configuration space of a space; ``cs`` is the package ConfigSpace. See ``interop.to_configspace``."""
    plain = {name for name, domain in space.domains.items() if not isinstance(domain, Subset)}
    unknown = [name for combination in forbidden for name in combination if name not in plain]
    if unknown:
        raise InputError(f"to_configspace: forbidden must name parameters among {sorted(plain)}, got {unknown[0]!r}")
    result, hyperparameters = cs.ConfigurationSpace(), {}
    defaults = legal_config(space, forbidden) if forbidden else {}  # ConfigSpace refuses a default that is forbidden
    for name, d in space.domains.items():
        default = {"default_value": defaults[name]} if name in defaults and name in plain else {}
        if isinstance(d, Categorical):
            hyperparameters[name] = [cs.CategoricalHyperparameter(name, d.choices, **default)]
        elif isinstance(d, Float | Integer) and d.low == d.high:
            hyperparameters[name] = [cs.Constant(name, d.low)]
        elif isinstance(d, Float):
            hyperparameters[name] = [cs.UniformFloatHyperparameter(name, d.low, d.high, log=d.log, **default)]
        elif isinstance(d, Integer):
            hyperparameters[name] = [cs.UniformIntegerHyperparameter(name, d.low, d.high, log=d.log, **default)]
        else:
            hyperparameters[name] = [cs.CategoricalHyperparameter(f"{name}/{i}", (False, True)) for i in range(d.n)]
        result.add(*hyperparameters[name])
    for child, parent, values in space.conditions.values():
        result.add(*[cs.InCondition(h, hyperparameters[parent][0], list(values)) for h in hyperparameters[child]])
    result.add(*clauses(forbidden, {name: hyperparameters[name][0] for name in plain}))
    return result
