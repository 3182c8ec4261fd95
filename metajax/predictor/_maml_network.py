"""A network that is meta-learned on other datasets."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.predictor._networks import check_widths, layers, network_output
from metajax.predictor._spec import Spec
from metajax.predictor._tasks import draw, run, tasks_of
from metajax.predictor._trials import Trials
from metajax.types import Key, stream


def maml_network(
    trials: Trials,
    target: str = "rank",
    key: Key | None = None,
    hidden: Sequence[int] = (64, 64),
    steps: int = 1000,
    inner_steps: int = 5,
    inner_learning_rate: float = 0.05,
    batch_rows: int = 16,
) -> Spec:
    r"""A network whose initialization learns on other datasets to adapt by a few gradient steps (MAML, exact second order).

    The datasets D are the tasks. With the squared errors L on some trials of a dataset and L' on others:

    $$\min_h \; \mathbb{E}_D \, L'_D\bigl(w^D_S(h)\bigr), \qquad
    w^D_0 = h, \quad w^D_{s+1} = w^D_s - \alpha \nabla L_D(w^D_s)$$

    With no trials of the new dataset, the model is the initialization.

    Args:
        trials: Trials of two or more datasets (groups), with 4 trials or more each. Context is not read.
        target: What is learned, standardized within each dataset; see ``fit``.
        key: Random key for initialization and samples; ``jax.random.key(0)`` by default.
        hidden: Widths of the hidden layers.
        steps: Steps of meta-learning, on 16 datasets each.
        inner_steps: Steps of gradient descent on a dataset.
        inner_learning_rate: Learning rate of gradient descent on a dataset.
        batch_rows: Number of trials to adapt to in meta-learning, and as many others to be judged on.

    Returns:
        The spec ``"maml"``.

    Raises:
        InputError: If there is only one dataset, or one of fewer than 4 trials.

    References:
        Finn, Abbeel and Levine, Model-agnostic meta-learning for fast adaptation of deep networks, 2017, arXiv:1703.03400.

    Example:
        >>> import numpy as np
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> space = Space({"x": Float(0.0, 1.0, grid=9)})
        >>> every = space.dicts(space.at(range(9)))
        >>> metric = [-((c["x"] - best) ** 2) for best in (0.4, 0.5, 0.6) for c in every]
        >>> past = predictor.Trials.from_arrays(space, every * 3, metric, group=np.repeat([0, 1, 2], 9))
        >>> spec = predictor.maml_network(past, hidden=(8,), steps=20, batch_rows=4)
        >>> predictor.fit(past.take([0, 4]), spec, "value").predict([{"x": 0.5}])[0].shape
        (1,)
    """
    check_widths(hidden)
    tasks, key = tasks_of(trials, target, "maml_network"), jax.random.key(0) if key is None else key

    def loss(params, batch):
        x, y, weight = batch
        error = weight * (network_output(params, x)[:, 0] - y) ** 2
        return jnp.sum(error) / jnp.maximum(jnp.sum(weight), 1e-6)

    task_loss = lambda hyper, params, batch, key: (loss(params, batch), {})
    optimizer = lambda hyper: optax.sgd(inner_learning_rate)
    problem = bilevel.Problem(bilevel.Inner.descent(task_loss, lambda hyper, key: hyper, optimizer), task_loss)
    estimator = bilevel.batched(bilevel.unroll())
    search = bilevel.learner(problem, estimator, optax.adam(1e-3), inner_steps, warm_start=False)

    def update(state, key):
        x, y = draw(tasks, key, 16, 2 * batch_rows)
        part = lambda half: (x[:, half], y[:, half], jnp.ones((16, batch_rows), x.dtype))
        support = jax.tree.map(lambda a: jnp.broadcast_to(a, (inner_steps, *a.shape)), part(slice(None, batch_rows)))
        return search.update(state, (support, part(slice(batch_rows, None))))

    learner = search._replace(
        init=lambda key: search.init(key, layers(stream(key, "init"), (trials.space.width, *hidden, 1))), update=update
    )
    initial = run(learner, key, steps).hyper

    def fit(key, x, y, weight, blocks, start=None):
        path = bilevel.trajectory(problem, initial if start is None else start["net"], (x, y, weight), inner_steps, key)
        net = jax.tree.map(lambda a: a[-1], path)
        return {"net": net, "variance": loss(net, (x, y, weight)) + 1e-2}

    def apply(params, x):
        mean = network_output(params["net"], x)[:, 0]
        return mean, jnp.broadcast_to(jnp.sqrt(params["variance"]), mean.shape)

    return Spec("maml", fit, apply)
