"""The training of one architecture from scratch, as one function."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax.nn import Functional, check_labels, label_cross_entropy
from metajax.types import InputError, Key, Params, Scalar


class TrainingSetup(NamedTuple):
    """How each architecture is trained: Adam with cosine decay on shuffled epochs.

    Attributes:
        epochs: The number of passes over the training part.
        batch_size: The number of examples of a batch; examples that do not fill a batch of an epoch are left out.
        learning_rate: The learning rate of Adam at the first step.

    Example:
        >>> TrainingSetup(epochs=12)
        TrainingSetup(epochs=12, batch_size=64, learning_rate=0.005)
    """

    epochs: int = 15
    batch_size: int = 64
    learning_rate: float = 5e-3


def trainer(
    network: Functional, training: TrainingSetup, x: jax.Array, y: jax.Array, x_test: jax.Array, y_test: jax.Array
) -> Callable[[jax.Array, Key], Scalar]:
    """Returns a function that trains one architecture from scratch and tests it; it can be vmapped.

    Args:
        network: The network, with ``init(key)`` and ``apply(params, x, encoding) -> logits``.
        training: The setup of the training.
        x: The training examples, [n, ...].
        y: The labels of the training examples, i32[n].
        x_test: The test examples.
        y_test: The labels of the test examples.

    Returns:
        A function ``(encoding, key) -> test accuracy``.

    Raises:
        InputError: If a batch is larger than the training part.

    Example:
        >>> from metajax.supernet import spaces
        >>> net, x, y = spaces.elastic_mlp(1, 2, (1,), (8,)), jnp.linspace(-1, 1, 64)[:, None], jnp.arange(64) // 32
        >>> train = trainer(net.network, TrainingSetup(epochs=20, batch_size=16, learning_rate=0.05), x, y, x, y)
        >>> encoding = net.space.encode(net.space.at([0]))[0]
        >>> bool(train(encoding, jax.random.key(0)) > 0.9)
        True
    """
    per_epoch = len(x) // training.batch_size
    if per_epoch < 1:
        raise InputError(
            f"trainer: batch_size must be at most the number of training examples, {len(x)}, got {training.batch_size}"
        )
    steps = training.epochs * per_epoch
    optimizer = optax.adam(optax.cosine_decay_schedule(training.learning_rate, steps))

    def loss(params: Params, encoding: jax.Array, xb: jax.Array, yb: jax.Array) -> Scalar:
        logits = network.apply(params, xb, encoding)
        for name, labels in (("y", y), ("y_test", y_test)):
            check_labels(labels, logits.shape[-1], name)
        return jnp.mean(label_cross_entropy(logits, yb))

    def run(encoding: jax.Array, key: Key) -> Scalar:
        init_key, order_key = jax.random.split(key)
        params = network.init(init_key)

        def step(carry: Any, rows: jax.Array) -> Any:
            params, opt_state = carry
            grads = jax.grad(loss)(params, encoding, x[rows], y[rows])
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), None

        def epoch(carry: Any, number: jax.Array) -> Any:
            order = jax.random.permutation(jax.random.fold_in(order_key, number), len(x))
            return jax.lax.scan(
                step, carry, order[: per_epoch * training.batch_size].reshape(per_epoch, training.batch_size)
            )

        (params, _), _ = jax.lax.scan(epoch, (params, optimizer.init(params)), jnp.arange(training.epochs))
        predicted = jnp.argmax(network.apply(params, x_test, encoding), axis=-1).astype(y_test.dtype)
        return jnp.mean(predicted == y_test, dtype=jnp.float32)

    return run
