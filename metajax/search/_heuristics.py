"""Searches that prove nothing, for any model and any space: each returns encodings that it thinks good, how many it asked the
model for, and whether it saw all. What changes between calls is an argument, so that each is compiled once for a space."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from metajax.space import Categorical, Space, Subset
from metajax.types import InputError, stream


@functools.partial(jax.jit, static_argnums=(0, 1))
def score(space: Space, spec: Any, given: Any, encodings: jax.Array) -> jax.Array:
    params, context, optimism = given
    rows = jnp.concatenate([encodings, jnp.broadcast_to(context, (len(encodings), len(context)))], axis=1)
    mean, std = spec.apply(params, rows)
    return mean + optimism * std


def _enumerate(space, spec, given, key, k, start, form=None):
    if space.size > 10**7:
        raise InputError(
            f"enumerate: the space has 10^{space.log10_size:.1f} configurations; accepted are at most 10^7"
        )
    size = int(space.size)
    block, best, values = 65_536, np.zeros((0, space.width), np.float32), np.zeros(0)
    for first in range(0, size, block):
        index = np.minimum(np.arange(first, first + block), size - 1)  # the last block repeats its end
        encodings = np.asarray(space.encode(space.at(index)))[: size - first]
        padded = np.concatenate([encodings, np.repeat(encodings[-1:], block - len(encodings), axis=0)])
        if form is None:
            found = np.asarray(score(space, spec, given, padded))[: len(encodings)]
        else:  # the mean in float64, as ``predict`` has it
            found = form.value(encodings.astype(np.float64))
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
        drawn = jax.random.fold_in(stream(key, "mutate"), number)
        children = space.encode(space.mutate(drawn, space.decode_configs(parents), rate=1.5 / len(space.domains)))
        both = jnp.concatenate([parents, children])
        scores = jnp.concatenate([values[order], score(space, spec, given, children)])
        # a copy of its parent is no new configuration
        same = jnp.concatenate([jnp.zeros(len(parents), bool), jnp.all(children == parents, axis=1)])
        return (both, jnp.where(same, -jnp.inf, scores)), None

    begun = (encodings, score(space, spec, given, encodings))
    (encodings, values), _ = jax.lax.scan(generation, begun, jnp.arange(_GENERATIONS))
    return encodings[jnp.argsort(-values)]


def _evolve(space, spec, given, key, k, start):
    encodings = _generations(space, spec, given, key, _initial(space, stream(key, "initial"), start))
    return encodings, _POOL + _GENERATIONS * _POOL // 2, False


_STARTS, _STEPS = 64, 80


@functools.partial(jax.jit, static_argnums=(0, 1, 4))
def _ascend(space, spec, given, key, rule):
    """Adam on logits, the temperature falling from 1 to 0.1, so that the relaxed encodings end near corners. A random rule is
    drawn from anew in every step."""
    temperatures = jnp.geomspace(1.0, 0.1, _STEPS)
    optimizer = optax.adam(0.1)

    def one(key):
        flat, unravel = ravel_pytree(space.zeros())
        logits = unravel(jax.random.normal(stream(key, "start"), flat.shape, flat.dtype))

        def loss(logits, temperature, drawn):
            sharp = jax.tree.map(lambda z: z / temperature, logits)
            return -score(space, spec, given, space.relax(sharp, rule, drawn)[None])[0]

        def step(carry, now):
            logits, opt_state = carry
            temperature, drawn = now
            updates, opt_state = optimizer.update(jax.grad(loss)(logits, temperature, drawn), opt_state)
            return (optax.apply_updates(logits, updates), opt_state), None

        steps = (temperatures, jax.random.split(stream(key, "rule"), _STEPS))
        (logits, _), _ = jax.lax.scan(step, (logits, optimizer.init(logits)), steps)
        return space.relax(jax.tree.map(lambda z: z / temperatures[-1], logits))

    return space.encode(space.decode_configs(jax.vmap(one)(jax.random.split(key, _STARTS))))


def _gradient(space, spec, given, key, k, start, relaxation="softmax"):
    ascended = _ascend(space, spec, given, stream(key, "ascend"), relaxation)
    pool = _initial(space, stream(key, "initial"), start).at[-_STARTS:].set(ascended)
    encodings = _generations(space, spec, given, key, pool)
    evaluated = _STARTS * _STEPS + _POOL + _GENERATIONS * _POOL // 2
    return jnp.concatenate([ascended, encodings]), evaluated, False


def _random(space, spec, given, key, k, start):
    return space.encode(space.sample(key, 16 * _POOL)), 16 * _POOL, False


_DRAWS, _UPDATES = 256, 120


@functools.partial(jax.jit, static_argnums=(0, 1))
def _policy(space, spec, given, key):
    """The draws of all updates, f32[updates · draws, width]. The baseline is the mean of a batch; entropy is rewarded less and
    less."""
    optimizer = optax.adam(0.1)

    def draw(logits, key, spread):
        uniform = jax.random.uniform(stream(key, "choices"), (space.width,))
        normal = jax.random.normal(stream(key, "numbers"), (space.width,))
        parts = {}
        for name, domain in space.domains.items():
            z, columns = logits[name], space.slices[name]
            if isinstance(domain, Categorical):
                noise = -jnp.log(-jnp.log(jnp.clip(uniform[columns], 1e-7, 1 - 1e-7)))
                parts[name] = jax.nn.one_hot(jnp.argmax(z + noise), domain.size, dtype=jnp.float32)
            elif isinstance(domain, Subset):
                parts[name] = (uniform[columns] < jax.nn.sigmoid(z)).astype(jnp.float32)
            else:
                parts[name] = jax.nn.sigmoid(z)[None] + spread * normal[columns]
        return parts

    def likelihood(logits, parts, spread):
        """The logarithm of the probability of a draw, and the entropy of the choices."""
        total = entropy = jnp.zeros(())
        for name, domain in space.domains.items():
            z, part = logits[name], parts[name]
            if isinstance(domain, Categorical):
                log = jax.nn.log_softmax(z)
                total, entropy = total + jnp.sum(part * log), entropy - jnp.sum(jnp.exp(log) * log)
            elif isinstance(domain, Subset):
                yes, no = jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)
                total = total + jnp.sum(part * yes + (1 - part) * no)
                entropy = entropy - jnp.sum(jnp.exp(yes) * yes + jnp.exp(no) * no)
            else:
                total = total - jnp.sum((part - jax.nn.sigmoid(z)) ** 2) / (2 * spread**2)
        return total, entropy

    def update(carry, number):
        logits, opt_state = carry
        left = 1.0 - number.astype(jnp.float32) / _UPDATES
        spread = 0.02 + 0.18 * left
        keys = jax.random.split(jax.random.fold_in(key, number), _DRAWS)
        parts = jax.lax.stop_gradient(jax.vmap(draw, in_axes=(None, 0, None))(logits, keys, spread))
        wide = jnp.concatenate([parts[name] for name in space.domains], axis=1)
        encodings = space.encode(space.decode_configs(wide))
        values = score(space, spec, given, encodings)
        gain = (values - jnp.mean(values)) / (jnp.std(values) + 1e-8)

        def loss(logits):
            log, entropy = jax.vmap(likelihood, in_axes=(None, 0, None))(logits, parts, spread)
            return -jnp.mean(gain * log) - 0.05 * left * entropy[0]

        updates, opt_state = optimizer.update(jax.grad(loss)(logits), opt_state)
        return (optax.apply_updates(logits, updates), opt_state), encodings

    logits = space.zeros()
    _, encodings = jax.lax.scan(update, (logits, optimizer.init(logits)), jnp.arange(_UPDATES))
    return encodings.reshape(-1, space.width)


def _reinforce(space, spec, given, key, k, start):
    return _policy(space, spec, given, key), _DRAWS * _UPDATES, False


METHODS = {
    "enumerate": _enumerate,
    "gradient": _gradient,
    "reinforce": _reinforce,
    "evolve": _evolve,
    "random": _random,
}
