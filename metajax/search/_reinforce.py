"""Search by policy gradient."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax.search._heuristics import objective_of, ranked, score
from metajax.search._query import Found, Query
from metajax.space import Categorical, Space, Subset
from metajax.types import Key, stream

_SAMPLES, _UPDATES = 256, 120


def _sample(space: Space, logits: dict[str, Any], key: Key, spread: jax.Array) -> dict[str, jax.Array]:
    """One sample of the policy: the part of the encoding of each domain."""
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


def _likelihood(
    space: Space, logits: dict[str, Any], parts: dict[str, Any], spread: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The logarithm of the probability of a sample, and the entropy of the choices."""
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


@functools.partial(jax.jit, static_argnums=(0, 1))
def _policy(space: Space, spec: Any, objective: Any, key: Key) -> jax.Array:
    """The encodings of all samples, f32[updates · samples, width]."""
    optimizer = optax.adam(0.1)

    def update(carry, number):
        logits, opt_state = carry
        remaining = 1.0 - number.astype(jnp.float32) / _UPDATES
        spread = 0.02 + 0.18 * remaining
        keys = jax.random.split(jax.random.fold_in(key, number), _SAMPLES)
        sample = lambda key: _sample(space, logits, key, spread)
        parts = jax.lax.stop_gradient(jax.vmap(sample)(keys))
        raw = jnp.concatenate([parts[name] for name in space.domains], axis=1)
        encodings = space.encode(space.decode_configs(raw))
        values = score(space, spec, objective, encodings)
        gain = (values - jnp.mean(values)) / (jnp.std(values) + 1e-8)

        def loss(logits):
            log, entropy = jax.vmap(lambda part: _likelihood(space, logits, part, spread))(parts)
            return -jnp.mean(gain * log) - 0.05 * remaining * entropy[0]

        updates, opt_state = optimizer.update(jax.grad(loss)(logits), opt_state)
        return (optax.apply_updates(logits, updates), opt_state), encodings

    logits = space.zeros()
    _, encodings = jax.lax.scan(update, (logits, optimizer.init(logits)), jnp.arange(_UPDATES))
    return encodings.reshape(-1, space.width)


@dataclasses.dataclass(frozen=True)
class Reinforce:
    r"""Trains a policy by REINFORCE: 120 updates with 256 samples each.

    With samples $x_k$ of the policy $\pi_a$, their values by the model, and the mean and deviation of the values in a batch:

    $$\nabla_a \; \frac1n \sum_k \frac{v(x_k) - \operatorname{mean}(v)}{\operatorname{std}(v)} \, \log \pi_a(x_k)
    + \beta \, H(\pi_a)$$

    The policy is a product of independent distributions, one for each choice, so that its gradient is an estimate of the
    gradient of the expected value of a relaxed encoding. The baseline is the mean of a batch, and an entropy bonus falls to
    zero. For any model, differentiable or not, and any space; it proves nothing.

    References:
        Williams, Simple statistical gradient-following algorithms for connectionist reinforcement learning, 1992.

    Example:
        >>> from metajax import predictor, search
        >>> from metajax.space import Categorical, Space
        >>> space = Space({f"x{i}": Categorical((0, 1, 2)) for i in range(4)})
        >>> gain = [sum(c.values()) for c in space.dicts(space.at(range(81)))]
        >>> model = predictor.fit(predictor.Trials.from_arrays(space, space.at(range(81)), gain), predictor.ridge())
        >>> search.maximize(model, search.Reinforce(), k=1).configs
        [{'x0': 2, 'x1': 2, 'x2': 2, 'x3': 2}]
    """

    def search(self, query: Query) -> Found:
        """See ``Maximizer.search``."""
        model = query.model
        return ranked(query, _policy(model.space, model.spec, objective_of(query), query.key), _SAMPLES * _UPDATES)
