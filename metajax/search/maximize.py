"""Search through a model: the configurations that it believes to be best, out of the whole space."""

import functools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from metajax.predictor import Model
from metajax.predictor.forms import Form, Network
from metajax.search.certify import certify
from metajax.search.enumerate import enumerate_all
from metajax.search.groups import Group, groups, limits, taken_of
from metajax.space import Space
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
) -> Found:
    """The k best distinct configurations by ``mean + optimism · deviation`` of the model.

    Args:
        model: a fitted predictor.
        space: to search; the model's by default.
        method: ``"enumerate"``: every configuration of a finite space, exact; the mean of networks of one hidden layer and
            their ensembles at hundreds of millions a second, other models and optimism up to 10^7. ``"evolve"``:
            mutation and selection.
            ``"gradient"``: ascent on relaxed encodings from many starts, then the same rounded configurations compete
            with their mutations. ``"random"``: the best of a random sample. ``"certify"``: branch and bound over a finite
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

    Raises:
        InputError: on an unknown method, ``enumerate`` on a space that is infinite, or above 10^7 where it is not fast;
            ``certify`` on an infinite space, a model without a formula (``kernel``) or with optimism, or constraints that
            nothing keeps.

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
    if method not in (*_METHODS, "certify") or k < 1:
        raise InputError(f"maximize: method={method!r}, k={k}; accepted are {[*_METHODS, 'certify']} and k >= 1")
    began = time.perf_counter()
    if method == "certify":
        found = _certify(model, k, context, optimism, start or [], seconds, (forbidden, cost, budget))
        return found._replace(seconds=time.perf_counter() - began)
    if cost is not None or (forbidden and method != "enumerate"):
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
    encodings, evaluated, exact = _METHODS[method](space, model.spec, given, key, k, start or [])
    values = np.asarray(_score(space, model.spec, given, encodings))  # before duplicates go, so that shapes stay
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


def _certify(model, k, context, optimism, start, seconds, constraints) -> Found:
    space = model.space
    if model.spec.form is None or optimism:
        raise InputError(
            f"certify: {model.spec.name} with optimism={optimism:g}; accepted are the means of ridge, mlp and ensemble"
        )
    parts, form = groups(space), _form(model, context)
    assert form is not None
    known = taken_of(parts, np.asarray(space.encode(space.configs(start)))) if start else None
    proof = certify(form, parts, limits(space, parts, *constraints), k, seconds, start=known)
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


@functools.partial(jax.jit, static_argnums=(0, 1))
def _score(space: Space, spec: Any, given: Any, encodings: jax.Array) -> jax.Array:
    params, context, optimism = given
    rows = jnp.concatenate([encodings, jnp.broadcast_to(context, (len(encodings), len(context)))], axis=1)
    mean, std = spec.apply(params, rows)
    return mean + optimism * std


def _enumerate(space, spec, given, key, k, start):
    if space.size > 10**7:
        raise InputError(
            f"enumerate: the space has 10^{space.log10_size:.1f} configurations; accepted are at most 10^7"
        )
    size = int(space.size)
    block, best, values = 65_536, np.zeros((0, space.width), np.float32), np.zeros(0, np.float32)
    for first in range(0, size, block):
        index = np.minimum(np.arange(first, first + block), size - 1)  # the last block repeats its end
        encodings = np.asarray(space.encode(space.at(index)))[: size - first]
        padded = np.concatenate([encodings, np.repeat(encodings[-1:], block - len(encodings), axis=0)])
        found = np.asarray(_score(space, spec, given, padded))[: len(encodings)]
        best, values = np.concatenate([best, encodings]), np.concatenate([values, found])
        keep = np.argsort(-values, kind="stable")[:k]
        best, values = best[keep], values[keep]
    return best, size, True


_POOL, _GENERATIONS = 1024, 40


def _initial(space, key, start):
    drawn = space.encode(space.sample(key, _POOL))
    if not start:
        return drawn
    known = space.encode(space.configs(start[: _POOL // 2]))
    return drawn.at[: len(known)].set(known)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _generations(space, spec, given, key, encodings):
    """Truncation selection: the better half survives and has one mutated child each."""

    def generation(carry, number):
        encodings, values = carry
        order = jnp.argsort(-values)[: _POOL // 2]
        parents = encodings[order]
        drawn = jax.random.fold_in(key, number)
        children = space.encode(space.mutate(drawn, space.decode_configs(parents), rate=1.5 / len(space.domains)))
        both = jnp.concatenate([parents, children])
        scores = jnp.concatenate([values[order], _score(space, spec, given, children)])
        # a copy of its parent is no new configuration
        same = jnp.concatenate([jnp.zeros(len(parents), bool), jnp.all(children == parents, axis=1)])
        return (both, jnp.where(same, -jnp.inf, scores)), None

    begun = (encodings, _score(space, spec, given, encodings))
    (encodings, values), _ = jax.lax.scan(generation, begun, jnp.arange(_GENERATIONS))
    return encodings[jnp.argsort(-values)]


def _evolve(space, spec, given, key, k, start):
    encodings = _generations(space, spec, given, key, _initial(space, jax.random.fold_in(key, 1), start))
    return encodings, _POOL + _GENERATIONS * _POOL // 2, False


_STARTS, _STEPS = 64, 80


@functools.partial(jax.jit, static_argnums=(0, 1))
def _ascend(space, spec, given, key):
    """Adam on logits, the temperature falling from 1 to 0.1, so that the relaxed encodings end near corners."""
    temperatures = jnp.geomspace(1.0, 0.1, _STEPS)
    optimizer = optax.adam(0.1)

    def one(key):
        flat, unravel = ravel_pytree(space.zeros())
        logits = unravel(jax.random.normal(key, flat.shape, flat.dtype))

        def loss(logits, temperature):
            sharp = jax.tree.map(lambda z: z / temperature, logits)
            return -_score(space, spec, given, space.relax(sharp)[None])[0]

        def step(carry, temperature):
            logits, opt_state = carry
            updates, opt_state = optimizer.update(jax.grad(loss)(logits, temperature), opt_state)
            return (optax.apply_updates(logits, updates), opt_state), None

        (logits, _), _ = jax.lax.scan(step, (logits, optimizer.init(logits)), temperatures)
        return space.relax(jax.tree.map(lambda z: z / temperatures[-1], logits))

    return space.encode(space.decode_configs(jax.vmap(one)(jax.random.split(key, _STARTS))))


def _gradient(space, spec, given, key, k, start):
    ascended = _ascend(space, spec, given, jax.random.fold_in(key, 2))
    pool = _initial(space, jax.random.fold_in(key, 1), start).at[-_STARTS:].set(ascended)
    encodings = _generations(space, spec, given, key, pool)
    evaluated = _STARTS * _STEPS + _POOL + _GENERATIONS * _POOL // 2
    return jnp.concatenate([ascended, encodings]), evaluated, False


def _random(space, spec, given, key, k, start):
    return space.encode(space.sample(key, 16 * _POOL)), 16 * _POOL, False


_METHODS = {"enumerate": _enumerate, "gradient": _gradient, "evolve": _evolve, "random": _random}
