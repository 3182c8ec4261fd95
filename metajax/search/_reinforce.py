"""Search by policy gradient."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax.search._heuristics import arguments, ranked, score
from metajax.search._query import Found, Query
from metajax.space import Categorical, Space, Subset
from metajax.types import Key, stream

_DRAWS, _UPDATES = 256, 120


@functools.partial(jax.jit, static_argnums=(0, 1))
def _policy(space: Space, spec: Any, given: Any, key: Key) -> jax.Array:
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


@dataclasses.dataclass(frozen=True)
class Reinforce:
    """Trains a policy by REINFORCE: 120 updates with 256 samples each.

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
        """See ``SearchMethod.search``."""
        model = query.model
        return ranked(query, _policy(model.space, model.spec, arguments(query), query.key), _DRAWS * _UPDATES)
