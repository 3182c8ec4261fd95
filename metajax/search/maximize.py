"""Search through a model: the configurations that it believes to be best, out of the whole space."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax.predictor import Model
from metajax.predictor.forms import Form, Network
from metajax.search.certify import certify
from metajax.search.enumerate import enumerate_all
from metajax.search.groups import Group, groups, limits, taken_of
from metajax.search.heuristics import METHODS, score
from metajax.space import Space
from metajax.space.relax import RULES
from metajax.types import InputError, Key


class Found(NamedTuple):
    """The outcome of a search, best first.

    Attributes:
        configs: plain dictionaries, distinct.
        values: their score by the model (standardised target, larger better, acquisition included).
        upper_bound: no configuration of the space scores above this; infinite where a method proves nothing.
        gap: ``upper_bound - values[0]``.
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
    """The k best distinct configurations by ``mean + optimism · deviation`` of the model.

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
        cost, budget: f32[width], as of ``supernet.costs``, and what its sum may be at most, for ``certify``.
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
    began = time.perf_counter()
    if method == "certify":
        if (around is None) != (radius is None) or (around is not None and cost is not None):
            raise InputError("around and radius belong together, and take the place of cost and budget")
        near = (around, radius) if around is not None else None
        found = _certify(model, k, context, optimism, start or [], seconds, (forbidden, cost, budget), near)
        return found._replace(seconds=time.perf_counter() - began)
    if cost is not None or around is not None or (forbidden and method != "enumerate"):
        raise InputError(f"maximize: method={method!r} keeps no constraints; accepted with them is 'certify'")
    form = _form(model, context) if method == "enumerate" and not optimism and space.size < math.inf else None
    if isinstance(form, Network) and len(form.layers) == 2:
        parts = groups(space)
        every = enumerate_all(form, parts, limits(space, parts, forbidden, None, None), k)
        top = float(every.values[0])
        configs = space.decode(_encodings(parts, every.taken))
        return Found(configs, every.values, top, 0.0, every.number, time.perf_counter() - began)
    if forbidden:
        raise InputError("maximize: this model is not enumerated with forbidden combinations; accepted is 'certify'")
    key = jax.random.key(0) if key is None else key
    # everything that changes between calls is an argument, so that a method is compiled once for a space and a spec
    given = (model.params, model.inputs(jnp.zeros((1, space.width)), context)[0, space.width :], jnp.float32(optimism))
    more = {"relaxation": relaxation} if method == "gradient" else {}
    encodings, evaluated, exact = METHODS[method](space, model.spec, given, key, k, start or [], **more)
    values = np.asarray(score(space, model.spec, given, encodings))  # before duplicates go, so that shapes stay
    encodings, first = np.unique(np.asarray(encodings), axis=0, return_index=True)
    values = values[first]
    order = np.argsort(-values, kind="stable")[:k]
    bound = float(values[order[0]]) if exact else math.inf
    return Found(
        space.decode(encodings[order]),
        values[order],
        bound,
        bound - float(values[order[0]]),
        evaluated,
        time.perf_counter() - began,
    )


def _certify(model, k, context, optimism, start, seconds, constraints, near) -> Found:
    space = model.space
    if model.spec.form is None or optimism:
        raise InputError(
            f"certify: {model.spec.name} with optimism={optimism:g}; accepted are the means of ridge, mlp and ensemble"
        )
    parts, form = groups(space), _form(model, context)
    assert form is not None
    known = taken_of(parts, np.asarray(space.encode(space.configs(start)))) if start else None
    keep = limits(space, parts, *constraints)
    if near is not None:
        centre = taken_of(parts, np.asarray(space.encode(space.configs([near[0]]))))[0]
        differs = [(np.arange(len(part.rows)) != value).astype(np.float64) for part, value in zip(parts, centre)]
        keep = keep._replace(cost=differs, budget=float(near[1]))
        known = centre[None] if known is None else np.concatenate([known, centre[None]])
    proof = certify(form, parts, keep, k, seconds, start=known)
    if not len(proof.values):
        raise InputError("certify: no configuration was found that keeps the constraints")
    gap = max(0.0, proof.upper - float(proof.values[0]))
    return Found(space.decode(_encodings(parts, proof.taken)), proof.values, proof.upper, gap, proof.nodes, 0.0)


def _form(model: Model, context: Any) -> Form | None:
    """The mean as a formula of the encoding alone, if there is one."""
    if model.spec.form is None:
        return None
    width = model.space.width
    form = model.spec.form(model.params)
    return form.given(np.asarray(model.inputs(jnp.zeros((1, width)), context)[0, width:], np.float64))


def _encodings(parts: Sequence[Group], taken: np.ndarray) -> np.ndarray:
    return np.asarray(sum(group.rows[taken[:, i]] for i, group in enumerate(parts)), np.float32)
