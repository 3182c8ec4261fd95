"""Spaces as JSON, as distributions of Optuna and as a ConfigSpace, so that a search can move between tools.

A ``Subset`` has no counterpart in Optuna and ConfigSpace. It becomes one Boolean for each item, ``name/0``, ``name/1``, ...
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from metajax._optional import optional
from metajax.space import _checks as checks
from metajax.space._configspace import conditions_of, configspace_of, domain_of, forbidden_of
from metajax.space._domains import Categorical, Domain, Float, Integer, Subset
from metajax.space._inference import infer
from metajax.space._optuna import distributions_of, domains_of, param_names, suggest_params, suggestions_of
from metajax.space._space import Space
from metajax.types import InputError

_KINDS: dict[str, type] = {"categorical": Categorical, "float": Float, "integer": Integer, "subset": Subset}


def to_json(space: Space) -> str:
    """Writes a space as JSON text, from which ``from_json`` makes an equal space.

    Args:
        space: The space.

    Returns:
        The text.

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
    """Reads the text that ``to_json`` wrote.

    Args:
        text: JSON text.

    Returns:
        The space.

    Raises:
        InputError: If the text is not the JSON of a space.

    Example:
        >>> from_json('{"domains": {"layers": {"kind": "integer", "low": 1, "high": 8}}, "conditions": []}').size
        8
    """
    try:
        raw = json.loads(text, object_pairs_hook=_unique_names)
        fields = {name: dict(d) for name, d in raw["domains"].items()}
        domains = {name: _domain(d) for name, d in fields.items()}
        return Space(domains, [(c, p, checks.frozen(v)) for c, p, v in raw["conditions"]])
    except InputError as error:
        raise InputError(f"from_json: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise InputError(f"from_json: text must be the JSON of a space ({reason})") from error


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a JSON object in which a name appears twice."""
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        raise InputError(
            f"names must differ from each other, but {next(n for n in names if names.count(n) > 1)!r} appears twice"
        )
    return result


def _domain(fields: dict[str, Any]) -> Domain:
    """Returns the domain of a JSON object."""
    kind = fields.pop("kind")
    if kind == "categorical":
        if not isinstance(fields["choices"], list):
            raise InputError(f"choices must be a list, got {fields['choices']!r}")
        fields["choices"] = checks.frozen(fields["choices"])
    return _KINDS[kind](**fields)


def to_optuna(space: Space) -> dict[str, Any]:
    """Returns the distributions of Optuna by name. Conditions are left out. Needs Optuna.

    Args:
        space: The space.

    Returns:
        Name -> ``optuna.distributions.BaseDistribution``, as ``study.ask`` takes it.

    Raises:
        InputError: If two names would be equal in Optuna, an ``Integer`` has bounds above 2^53, which Optuna rounds, or Optuna
            is not installed.

    Example:
        >>> to_optuna(Space({"layers": Integer(1, 8)}))
        {'layers': IntDistribution(high=8, log=False, low=1, step=1)}
    """
    return distributions_of(space, optional("optuna", "to_optuna").distributions)


def to_params(space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """Returns a configuration as parameters of an Optuna trial.

    Args:
        space: The space.
        config: A plain dictionary.

    Returns:
        The parameters; a subset is one Boolean for each item.

    Example:
        >>> to_params(Space({"use": Subset(2)}), {"use": (1,)})
        {'use/0': False, 'use/1': True}
    """
    params = {}
    for name, value in config.items():
        domain = space.domains[name]
        if isinstance(domain, Subset):
            params |= {f"{name}/{i}": i in value for i in range(domain.n)}
        else:
            params[name] = value
    return params


def from_params(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the configuration that the parameters of an Optuna trial describe, without inactive names.

    Args:
        space: The space.
        params: The parameters, such as ``trial.params``.

    Returns:
        A plain dictionary. A ``Subset`` that must not be empty, and is, gets its first item.

    Raises:
        InputError: If an active parameter is missing, or a value is outside of its domain.

    Example:
        >>> from_params(Space({"use": Subset(2), "layers": Integer(1, 8)}), {"use/0": False, "use/1": True, "layers": 3})
        {'use': (1,), 'layers': 3}
    """
    return space.dicts(space.configs([unchecked_config(space, params)]))[0]


def suggest(space: Space, trial: Any) -> dict[str, Any]:
    """Lets a trial of Optuna suggest a whole configuration: parents first, and only what exists under its choices.

    Args:
        space: The space.
        trial: An ``optuna.Trial``.

    Returns:
        The configuration, as ``from_params`` returns it. A number may differ from the parameter by its rounding to 32 bits.

    Raises:
        InputError: If the space has no counterpart in Optuna (see ``to_optuna``), or Optuna is not installed.

    Example:
        >>> from optuna.trial import FixedTrial
        >>> space = Space({"net": Categorical(("linear", "mlp")), "layers": Integer(1, 4)}, [("layers", "net", ("mlp",))])
        >>> suggest(space, FixedTrial({"net": "mlp", "layers": 2})), suggest(space, FixedTrial({"net": "linear"}))
        ({'net': 'mlp', 'layers': 2}, {'net': 'linear'})
    """
    return from_params(space, suggest_params(space, trial, to_optuna(space)))


def unchecked_config(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the values that the parameters of an Optuna trial have for the names of a space, without checking them.

    Args:
        space: The space.
        params: The parameters, such as ``trial.params``. Other names are ignored.

    Returns:
        A plain dictionary, without the names for which there are no parameters.

    Example:
        >>> unchecked_config(Space({"layers": Integer(1, 8), "units": Integer(1, 9)}), {"layers": 30, "other": 1})
        {'layers': 30}
    """
    config = {}
    for name, domain in space.domains.items():
        keys = param_names(name, domain)
        if name in params:
            config[name] = params[name]
        elif isinstance(domain, Subset) and all(key in params for key in keys):
            items = tuple(i for i, key in enumerate(keys) if params[key])
            config[name] = items or ((0,) if domain.nonempty else ())
    return config


def from_optuna(distributions: dict[str, Any]) -> Space:
    """Returns the space of distributions of Optuna. Needs Optuna.

    A distribution of a single value becomes a constant. Whole numbers in steps of more than one become choices.

    Args:
        distributions: Name -> distribution, such as ``trial.distributions``.

    Returns:
        The space.

    Raises:
        InputError: If a distribution is of another kind or has more than 10,000 steps, or Optuna is not installed.

    Example:
        >>> from optuna.distributions import FloatDistribution
        >>> from_optuna({"rate": FloatDistribution(1e-4, 1.0, log=True)}).domains["rate"]
        Float(low=0.0001, high=1.0, log=True, grid=None)
    """
    return Space(domains_of(distributions, optional("optuna", "from_optuna").distributions))


def from_studies(studies: Sequence[Any]) -> Space:
    """Returns the space of the trials of Optuna's studies, with conditions where parameters are suggested under branches.

    Args:
        studies: ``optuna.Study`` objects.

    Returns:
        The smallest space that holds all trials that have suggested anything. A parameter that not all complete or pruned
        trials have exists under a condition on the nearest choice or whole number that was suggested before it and says, in
        every trial, whether it is there.

    Raises:
        InputError: If there is no such trial, a parameter is of another kind in another trial, or nothing that is suggested
            before it says whether it exists.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def train(trial):
        ...     net = trial.suggest_categorical("net", ["linear", "mlp"])
        ...     return trial.suggest_int("layers", 1, 4) if net == "mlp" else 0
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(train, n_trials=8)
        >>> from_studies([study]).conditions["layers"].values
        ('mlp',)
    """
    domain_of = lambda name, distribution: from_optuna({name: distribution}).domains[name]
    return infer([suggestions_of(trial, domain_of) for study in studies for trial in study.trials if trial.params])


def from_configspace(configspace: Any) -> tuple[Space, list[dict[str, Any]]]:
    """Returns the space of a ``ConfigSpace.ConfigurationSpace`` and its forbidden combinations. Needs ConfigSpace.

    Ordinal hyperparameters become choices, and constants choices of one value. Default values and weights are left out.

    Args:
        configspace: The configuration space.

    Returns:
        The space, and the combinations in the form that ``search.Certify(forbidden=)`` and ``search.Enumerate(forbidden=)``
        take.

    Raises:
        InputError: If a hyperparameter is not uniform, depends on several parents or never exists, a forbidden clause relates
            hyperparameters, or ConfigSpace is not installed.

    Example:
        >>> from ConfigSpace import ConfigurationSpace, EqualsCondition
        >>> configspace = ConfigurationSpace({"net": ["linear", "mlp"], "layers": (1, 4)})
        >>> _ = configspace.add(EqualsCondition(configspace["layers"], configspace["net"], "mlp"))
        >>> space, forbidden = from_configspace(configspace)
        >>> space.conditions["layers"].values, forbidden
        (('mlp',), [])
    """
    optional("ConfigSpace", "from_configspace")
    domains = {parameter.name: domain_of(parameter.name, parameter) for parameter in configspace.values()}
    return Space(domains, conditions_of(configspace.conditions, domains)), forbidden_of(configspace.forbidden_clauses)


def to_configspace(space: Space, forbidden: Sequence[dict[str, Any]] = ()) -> Any:
    """Returns a ``ConfigSpace.ConfigurationSpace`` with the same conditions. Needs ConfigSpace.

    Args:
        space: The space. The grid of a ``Float`` is left out.
        forbidden: Combinations that are forbidden, as ``from_configspace`` returns them.

    Returns:
        The configuration space.

    Raises:
        InputError: If a combination is of a ``Subset`` or an unknown name, none of 256 random configurations is allowed, or
            ConfigSpace is not installed.

    Example:
        >>> list(to_configspace(Space({"layers": Integer(1, 8)})))
        ['layers']
    """
    return configspace_of(space, forbidden, optional("ConfigSpace", "to_configspace"))
