"""A controller that asks for values and learns by REINFORCE."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from metajax.space import Space
from metajax.supernet._logits import log_probability
from metajax.supernet._protocols import Evaluate, Moment
from metajax.supernet.baselines._trail import Look, Trail, spend
from metajax.supernet.relaxations._paths import policy_paths
from metajax.types import Key, Scalar


def reinforce(
    space: Space,
    evaluate: Evaluate,
    key: Key,
    seconds: float | None = None,
    evaluations: int | None = None,
    learning_rate: float = 0.01,
    baseline: float = 0.9,
) -> Trail:
    r"""Learns a controller of independent choices by REINFORCE with Adam and a moving baseline.

    A configuration x is drawn from the softmax π of the logits a, and its value v moves them:

    $$a \leftarrow a + \xi \, (v(x) - b) \, \nabla_a \log \pi_a(x), \qquad b \leftarrow \rho \, b + (1 - \rho) \, v(x)$$

    Args:
        space: The space of architectures.
        evaluate: A function ``encodings -> (values, seconds)``.
        key: The random key of the whole search.
        seconds: The budget of evaluation time, in seconds; give this or ``evaluations``.
        evaluations: The budget of evaluations, a number of them.
        learning_rate: The learning rate of Adam.
        baseline: The decay of the moving average of values, within [0, 1).

    Returns:
        The configurations that the search evaluated, with their values and costs.

    Raises:
        InputError: If neither budget is given.

    References:
        Williams 1992 (REINFORCE); as in the baseline of NAS-Bench-201, Dong and Yang 2020, arXiv:2001.00326.

    Example:
        >>> import numpy as np
        >>> from metajax.supernet.spaces import cell_space
        >>> first = lambda encodings: (np.asarray(encodings)[:, 0], np.zeros(len(encodings)))
        >>> reinforce(cell_space(2), first, jax.random.key(0), evaluations=20).best
        {'edge_0_1': 'none'}
    """
    draw, mask = policy_paths(1), jnp.ones(space.width)
    optimizer = optax.adam(learning_rate, b2=0.999)

    @jax.jit
    def sample(logits: Any, key: Key) -> jax.Array:
        return draw(space, logits, Moment(jnp.zeros(()), mask), key)

    @jax.jit
    def learn(logits: Any, opt_state: Any, encoding: jax.Array, advantage: Scalar) -> Any:
        loss = lambda logits: -advantage * log_probability(space, logits, mask, encoding)[0]
        updates, opt_state = optimizer.update(jax.grad(loss)(logits), opt_state)
        return optax.apply_updates(logits, updates), opt_state

    def walk(look: Look) -> None:
        logits, average = space.zeros(), None
        opt_state = optimizer.init(logits)
        for step in itertools.count():
            encoding = sample(logits, jax.random.fold_in(key, step))
            value = float(look(space.decode_configs(encoding))[0])
            average = value if average is None else baseline * average + (1 - baseline) * value
            logits, opt_state = learn(logits, opt_state, encoding, value - average)

    return spend(space, evaluate, seconds, evaluations, walk)
