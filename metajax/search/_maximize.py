"""Search through a model: the configurations that it believes to be best, out of the whole space."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor import Model
from metajax.predictor._forms import Form, Network
from metajax.search._certify import certify
from metajax.search._enumerate import enumerate_all
from metajax.search._groups import Group, groups, limits, taken_of
from metajax.search._heuristics import METHODS, score
from metajax.space import Space
from metajax.space._rows import power_of_two
from metajax.space.rules import RULES
from metajax.types import InputError, Key


class Found(NamedTuple):
    """The outcome of a search, best first, in the units and the direction of ``model.predict``.

    Where a smaller prediction is better (``model.direction`` is -1: the value or the log-ratio of a metric that is minimized),
    ``values`` rise from the best, and ``upper_bound`` bounds how good a configuration can be, which is from below.

    Attributes:
        configs: plain dictionaries, distinct.
        values: f64[k], ``model.predict(configs)[0]``; with optimism that many deviations better.
        upper_bound: no configuration of the space is predicted to be better than this: none above it where larger is better,
            none below it where smaller is. Infinitely good where a method proves nothing.
        gap: what the bound leaves open, ``upper_bound - values[0]`` or its negative where smaller is better; never negative.
        evaluated: how many configurations the model was asked for.
        seconds: wall time, compilation included.
    """

    configs: list[dict[str, Any]]
    values: np.ndarray
    upper_bound: float
    gap: float
    evaluated: int
    seconds: float


def maximize(
    model: Model,
    space: Space | None = None,
    method: str = "gradient",
    k: int = 10,
    context: Any = None,
    optimism: float = 0.0,
    key: Key | None = None,
    start: list[dict[str, Any]] | None = None,
    seconds: float = 60.0,
    forbidden: Sequence[Mapping[str, Any]] = (),
    cost: Any = None,
    budget: float | None = None,
    around: Mapping[str, Any] | None = None,
    radius: int | None = None,
    relaxation: str = "softmax",
) -> Found:
    """The k best distinct configurations by the model's mean, with optimism that many deviations better.

    "Best" is by the direction of the metric: of a metric that is minimized, configurations of small predictions are found.

    Args:
        model: a fitted predictor.
        space: to search; the model's by default.
        method: ``"enumerate"``: every configuration of a finite space, exact; the mean of networks of one hidden layer and
            their ensembles at hundreds of millions a second, other models and optimism up to 10^7. ``"evolve"``:
            mutation and selection.
            ``"gradient"``: ascent on relaxed encodings from many starts, then the same rounded configurations compete
            with their mutations. ``"reinforce"``: a policy, independent between choices, trained by REINFORCE (Williams
            1992), which is ascent on the expected value of a relaxed encoding. ``"random"``: the best of a random sample.
            ``"certify"``: branch and bound over a finite
            space of any size, for the mean of ridge regressions and of ReLU networks and their ensembles: exact when it
            ends within ``seconds``, else the best so far with an upper bound and the gap between them.
        k: how many.
        context: of the model, if it has any.
        optimism: 0 is the mean, larger explores (upper confidence bound).
        key: of the random methods.
        start: configurations to start from beside random ones, such as the best trials so far.
        seconds: after which ``certify`` stops without a proof.
        forbidden: combinations such as ``{"op": "skip", "layers": 1}`` that ``certify`` leaves out, and ``enumerate`` where it
            is fast.
        cost, budget: f32[width], as of ``supernet.regularizers.costs``, and what its sum may be at most, for ``certify``.
        around, radius: a configuration, and how many choices (or items of a ``Subset``) may differ from it, for ``certify``:
            the maximum of a model far from its data says more of the model than of the space. In place of cost and budget.
        relaxation: of ``gradient``, a rule of ``space.relax``: ``"softmax"``, ``"gumbel_softmax"``, ``"sparsemax"``, ...

    Raises:
        InputError: on an unknown method or relaxation; ``enumerate`` on a space that is infinite, or above 10^7 where it is
            not fast; ``certify`` on an infinite space, a model without a formula (``kernel``) or with optimism, or
            constraints that nothing keeps.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Categorical
        >>> space = Space({f"x{i}": Categorical((0, 1, 2)) for i in range(8)})
        >>> tried = space.sample(jax.random.key(0), 60)
        >>> gain = [sum(c.values()) for c in space.dicts(tried)]
        >>> model = predictor.fit(predictor.Trials.from_arrays(space, tried, gain), predictor.ridge(), "value")
        >>> found = maximize(model, method="certify", k=2)
        >>> sum(found.configs[0].values()), bool(found.gap < 1e-6)
        (16, True)
    """
    space = model.space if space is None else space
    if space != model.space:
        raise InputError("maximize: the space is not the one that the model was fitted on")
    if method not in (*METHODS, "certify") or k < 1:
        raise InputError(f"maximize: method={method!r}, k={k}; accepted are {[*METHODS, 'certify']} and k >= 1")
    if relaxation not in RULES:
        raise InputError(f"maximize: relaxation={relaxation!r}; accepted are {list(RULES)}")
    if (around is None) != (radius is None) or (around is not None and cost is not None):
        raise InputError("maximize: around and radius belong together, and take the place of cost and budget")
    if method != "certify" and (cost is not None or around is not None or (forbidden and method != "enumerate")):
        raise InputError(f"maximize: method={method!r} keeps no constraints; accepted with them is 'certify'")
    began = time.perf_counter()
    known = _encode(space, start or [], "start")
    if method == "certify":
        near = (around, radius) if around is not None else None
        found = _certify(model, k, context, optimism, known, seconds, (forbidden, cost, budget), near)
    else:
        form = _form(model, context) if method == "enumerate" and not optimism and space.size < math.inf else None
        if isinstance(form, Network) and len(form.layers) == 2:
            found = _enumerate_network(model, form, k, context, forbidden)
        elif forbidden:
            raise InputError(
                "maximize: this model is not enumerated with forbidden combinations; accepted is 'certify'"
            )
        else:
            more = {"gradient": {"relaxation": relaxation}, "enumerate": {"form": form}}.get(method, {})
            key = jax.random.key(0) if key is None else key
            found = _heuristic(model, method, k, context, optimism, key, start or [], more)
    return found._replace(seconds=time.perf_counter() - began)


def _heuristic(
    model: Model, method: str, k: int, context: Any, optimism: float, key: Key, start: list, more: dict
) -> Found:
    space = model.space
    # everything that changes between calls is an argument, so that a method is compiled once for a space and a spec
    given = (model.params, model.inputs(jnp.zeros((1, space.width)), context)[0, space.width :], jnp.float32(optimism))
    encodings, evaluated, exact = METHODS[method](space, model.spec, given, key, k, start, **more)
    scores = np.asarray(score(space, model.spec, given, encodings))  # before duplicates go, so that shapes stay
    encodings, first = np.unique(np.asarray(encodings), axis=0, return_index=True)
    # float32 may confuse neighbors in the order, so that more than k are looked at again
    encodings = encodings[np.argsort(-scores[first], kind="stable")[: k + 16]]
    values = _values(model, encodings, context, optimism)
    order = np.argsort(-model.direction * values, kind="stable")[:k]
    bound = float(values[order[0]]) if exact else model.direction * math.inf
    return _found(model, encodings[order], values[order], bound, evaluated)


def _enumerate_network(
    model: Model, form: Network, k: int, context: Any, forbidden: Sequence[Mapping[str, Any]]
) -> Found:
    parts = groups(model.space)
    every = enumerate_all(form, parts, limits(model.space, parts, forbidden, None, None), k)
    if not len(every.values):
        raise InputError("enumerate: no configuration keeps the constraints")
    encodings = _rows(parts, every.taken)
    values = _values(model, encodings, context)
    return _found(model, encodings, values, float(values[0]), every.number)


def _certify(
    model: Model,
    k: int,
    context: Any,
    optimism: float,
    start: np.ndarray,
    seconds: float,
    constraints: tuple[Any, Any, Any],
    near: tuple[Mapping[str, Any], Any] | None,
) -> Found:
    space = model.space
    if model.spec.form is None or optimism:
        raise InputError(
            f"certify: {model.spec.name} with optimism={optimism:g}; accepted are the means of ridge, mlp and ensemble"
        )
    parts, form = groups(space), _form(model, context)
    assert form is not None
    known = taken_of(parts, start) if len(start) else None
    keep = limits(space, parts, *constraints)
    if near is not None:
        if int(near[1]) != near[1] or near[1] < 0:
            raise InputError(f"maximize: radius={near[1]}; accepted are whole numbers >= 0")
        center = taken_of(parts, _encode(space, [near[0]], "around"))[0]
        differs = [(np.arange(len(part.rows)) != value).astype(np.float64) for part, value in zip(parts, center)]
        keep = keep._replace(cost=differs, budget=float(near[1]))
        known = center[None] if known is None else np.concatenate([known, center[None]])
    proof = certify(form, parts, keep, k, seconds, start=known)
    if not len(proof.values):
        raise InputError("certify: no configuration was found that keeps the constraints")
    encodings = _rows(parts, proof.taken)
    bound = float(model.in_units(proof.upper))
    return _found(model, encodings, _values(model, encodings, context), bound, proof.nodes)


def _found(model: Model, encodings: np.ndarray, values: np.ndarray, bound: float, evaluated: int) -> Found:
    gap = max(0.0, model.direction * (bound - float(values[0])))
    return Found(model.space.decode(encodings), values, bound, gap, evaluated, 0.0)


def _values(model: Model, encodings: np.ndarray, context: Any, optimism: float = 0.0) -> np.ndarray:
    """f64[n]: what ``predict`` says of encodings, with optimism that many deviations better."""
    n = len(encodings)
    # few sizes are compiled
    wide = np.concatenate([encodings, np.repeat(encodings[-1:], power_of_two(n, 64) - n, axis=0)])
    mean, std = model.predict(wide, context)
    return (mean + model.direction * optimism * std)[:n] if optimism else mean[:n]


def _encode(space: Space, configs: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """f32[n, width] of plain dictionaries."""
    if not configs:
        return np.zeros((0, space.width), np.float32)
    try:
        return np.asarray(space.encode(space.configs(configs)))
    except ValueError as error:
        raise InputError(f"maximize: {name}: {error}") from error


def _form(model: Model, context: Any) -> Form | None:
    """The mean as a formula of the encoding alone, if there is one."""
    if model.spec.form is None:
        return None
    width = model.space.width
    form = model.spec.form(model.params)
    return form.given(np.asarray(model.inputs(jnp.zeros((1, width)), context)[0, width:], np.float64))


def _rows(parts: Sequence[Group], taken: np.ndarray) -> np.ndarray:
    return np.asarray(sum(group.rows[taken[:, i]] for i, group in enumerate(parts)), np.float32)
