"""Ensembles of small networks, trained on all rows at once."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax.predictor._forms import ensemble_form
from metajax.predictor._spec import Spec
from metajax.types import InputError


def ensemble(
    members: int = 8,
    hidden: Sequence[int] = (64,),
    steps: int = 400,
    learning_rate: float = 1e-2,
    weight_decay: float = 3e-3,
) -> Spec:
    r"""Shallow ReLU networks from different initializations, trained by AdamW on all rows.

    With M members $f_m$ and the mean squared residual $s^2$ of the trials:

    $$\mu(x) = \frac1M \sum_m f_m(x), \qquad
    \sigma^2(x) = \frac1M \sum_m \bigl(f_m(x) - \mu(x)\bigr)^2 + s^2$$

    With one or two hidden
    layers the mean is a formula that ``search.Certify`` maximizes with a proof, and with one hidden layer ``search.Enumerate``
    evaluates it hundreds of millions of times a second. Fine-tuning takes half of the steps.

    Args:
        members: Number of networks, at least 2.
        hidden: Widths of the hidden layers.
        steps: Full-batch updates; the learning rate falls to zero by a cosine.
        learning_rate: Initial learning rate of AdamW.
        weight_decay: Weight decay of AdamW.

    Returns:
        The spec ``"ensemble"``.

    Raises:
        InputError: If ``members`` is below 2, or ``hidden`` has no widths.

    Deviations:
        The networks of the paper predict a variance of their own and are trained by its likelihood and on adversarial
        examples. Here they are trained by squared error, and the noise is the residual.

    References:
        Lakshminarayanan et al., Simple and scalable predictive uncertainty estimation using deep ensembles, 2017,
        arXiv:1612.01474.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> trials = predictor.Trials.from_arrays(
        ...     Space({"x": Float(0.0, 1.0)}), [{"x": i / 19} for i in range(20)], [abs(i - 10) for i in range(20)]
        ... )
        >>> model = predictor.fit(trials, predictor.ensemble(members=3, hidden=(32,)), "value")
        >>> mean, std = model.predict([{"x": 0.0}, {"x": 10 / 19}, {"x": 1.0}])
        >>> int(mean.argmin())
        1
    """
    if members < 2:
        raise InputError(f"ensemble: members must be an integer >= 2 for a standard deviation, got {members}")
    check_widths(hidden)

    initial = lambda key, columns, dtype: layers(key, (columns, *hidden, 1), dtype)
    forward = lambda params, x: network_output(params, x)[..., 0]
    spec = trained("ensemble", initial, forward, members, steps, learning_rate, weight_decay)
    return spec._replace(form=lambda params: ensemble_form(params["nets"]))


def mlp(
    hidden: Sequence[int] = (64,), steps: int = 400, learning_rate: float = 1e-2, weight_decay: float = 3e-3
) -> Spec:
    """The smallest ensemble: two shallow ReLU networks, so that there is a deviation.

    Args:
        hidden: Widths of the hidden layers.
        steps: See ``ensemble``.
        learning_rate: See ``ensemble``.
        weight_decay: See ``ensemble``.

    Returns:
        The spec ``"mlp"``.

    Example:
        >>> from metajax import predictor
        >>> predictor.mlp(hidden=(16,), steps=100).name
        'mlp'
    """
    return ensemble(2, hidden, steps, learning_rate, weight_decay)._replace(name="mlp")


def check_widths(hidden: Any) -> None:
    """Refuses values that are not widths of hidden layers before anything is trained."""
    is_width = lambda width: isinstance(width, int | np.integer) and not isinstance(width, bool) and width >= 1
    if not isinstance(hidden, Sequence) or isinstance(hidden, str) or not all(map(is_width, hidden)):
        raise InputError(f"hidden must be a sequence of integers >= 1, such as (64,), got {hidden!r}")


def layers(key: jax.Array, sizes: Sequence[int], dtype: Any = jnp.float32) -> list[tuple[jax.Array, jax.Array]]:
    """Weights and biases of a ReLU network, by He initialization."""
    draw = lambda i, a, b: jax.random.normal(jax.random.fold_in(key, i), (a, b), dtype) * (2 / a) ** 0.5
    return [(draw(i, a, b), jnp.zeros(b, dtype)) for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:]))]


def network_output(params: Sequence[tuple[jax.Array, jax.Array]], x: jax.Array) -> jax.Array:
    """f[n, out]: the outputs of a network of ``layers`` for rows f[n, in]."""
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    return x @ w + b


def trained(
    name: str,
    initial: Callable[[jax.Array, int, Any], Any],
    forward: Callable[[Any, jax.Array], jax.Array],
    members: int,
    steps: int,
    learning_rate: float,
    weight_decay: float,
) -> Spec:
    """The spec of an ensemble ``forward(params, x [n, d]) -> [n]`` with initial parameters ``initial(key, d, dtype)``.

    Each network is trained by AdamW under a cosine schedule. Fine-tuning takes half of the steps.
    """

    def adamw(count: int) -> optax.GradientTransformation:
        return optax.adamw(optax.cosine_decay_schedule(learning_rate, count), weight_decay=weight_decay)

    def fit(key, x, y, weight, blocks, start=None):
        def fit_member(key, start_nets):
            params = initial(key, x.shape[1], x.dtype) if start_nets is None else start_nets
            count = steps if start_nets is None else steps // 2
            loss = lambda p: jnp.sum(weight * (forward(p, x) - y) ** 2) / jnp.maximum(jnp.sum(weight), 1e-6)
            params = descend(loss, params, adamw(count), count)
            return params, loss(params)

        keys = jax.random.split(key, members)
        start_nets = None if start is None else start["nets"]
        nets, losses = jax.vmap(fit_member, in_axes=(0, None if start_nets is None else 0))(keys, start_nets)
        return {"nets": nets, "variance": jnp.mean(losses) + 1e-6}

    def apply(params, x):
        outputs = jax.vmap(forward, in_axes=(0, None))(params["nets"], x)
        return jnp.mean(outputs, axis=0), jnp.sqrt(jnp.var(outputs, axis=0) + params["variance"])

    return Spec(name, fit, apply)


def descend(loss: Callable[[Any], jax.Array], params: Any, optimizer: optax.GradientTransformation, steps: int) -> Any:
    """The parameters after ``steps`` full-batch updates."""

    def step(carry, _):
        params, opt_state = carry
        updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    return jax.lax.scan(step, (params, optimizer.init(params)), None, steps)[0][0]
