"""Reptile (Nichol et al. 2018, arXiv:1803.02999): move the initialization outer_descent where a task's training ends."""

import jax
import jax.numpy as jnp
import optax

from metajax import bilevel
from metajax.fewshot._builders import BuiltMethod, whole_network
from metajax.fewshot._maml import maml_problem
from metajax.fewshot._method import Method, by_gradient
from metajax.fewshot._recipe import Network, Recipe
from metajax.fewshot.episodes import Episode
from metajax.types import Batch, Key, LossFn, stream


def displacement(problem: bilevel.Problem) -> bilevel.HypergradientFn:
    """Estimates the hypergradient as ``initialization - end``; the outer loss is evaluated for the record alone."""
    learn = bilevel.weights_only()(problem)

    def estimate(hyper, start, inner_batches, outer_batch, key):
        learned = learn(hyper, start, inner_batches, outer_batch, key)
        value, info = problem.outer_loss(hyper, learned.end.params, outer_batch, stream(key, "outer"))
        grad = jax.tree.map(jnp.subtract, hyper, learned.end.params)
        return bilevel.Hypergradient(value, grad, learned.end, {**info, **learned.info})

    return bilevel.HypergradientFn(estimate, learn.init)


def reptile(
    loss_fn: LossFn,
    inner_optimizer: optax.GradientTransformation,
    outer_optimizer: optax.GradientTransformation,
    inner_steps: int = 5,
    batch: int = 10,
    test_steps: int | None = None,
    chunk: int | None = None,
) -> Method:
    r"""Moves the initialization outer_descent where the training on a task ends; first order, without a split of the task.

    Inner steps run on minibatches of support and query together, drawn without replacement. With the parameters
    $w^\tau_S(h)$ at which a task's training from h ends, an outer step is

    $$h \leftarrow h + \epsilon \, \frac1T \sum_\tau \bigl(w^\tau_S(h) - h\bigr)$$

    so the outer optimizer is given ``h - w`` as the gradient.

    Args:
        loss_fn: Loss of a task; see ``maml``.
        inner_optimizer: Adam with rate 1e-3 and β₁ = 0 in the paper.
        outer_optimizer: Gradient descent in the paper, with a rate that falls linearly from 1 to 0: ``optax.sgd(...)``.
        inner_steps: Adaptation steps in training, >= 1.
        batch: Number of examples in a minibatch, >= 1; an episode that has fewer is taken whole.
        test_steps: Adaptation steps in ``adapt``, >= 1, each on the whole support. The default is ``inner_steps``.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method.

    Raises:
        InputError: If ``test_steps`` is less than 1.

    Deviations:
        The authors' code (github.com/openai/supervised-reptile) lets the inner Adam's moments live on from task to task, and
        adapts to minibatches of the support in a test. Here every task begins with fresh moments, and a test takes the whole
        support at every step.

    References:
        Nichol et al. 2018, arXiv:1803.02999.

    Example:
        >>> from metajax import fewshot, nn
        >>> init, apply = nn.functional(lambda rngs: nn.MLP(1, (40, 40), 1, rngs=rngs))
        >>> method = reptile(fewshot.squared_error(apply), optax.sgd(0.02), optax.sgd(0.1), inner_steps=10)
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> waves = fewshot.episodes.tasks(fewshot.episodes.sinusoid(10, 10), 4)
        >>> state, info = jax.jit(method.update)(state, waves(jax.random.key(2)))
    """

    def batches(episodes: Episode, key: Key) -> Batch:
        pooled = jax.tree.map(lambda s, q: jnp.concatenate([s, q], axis=1), episodes.support, episodes.query)
        tasks, examples = jax.tree.leaves(pooled)[0].shape[:2]

        def draw(key: Key) -> Batch:
            rows = jax.vmap(lambda k: jax.random.permutation(k, examples)[:batch])(jax.random.split(key, tasks))
            return jax.tree.map(lambda x: jax.vmap(lambda a, r: a[r])(x, rows), pooled)

        return jax.vmap(draw)(jax.random.split(key, inner_steps))

    problem = maml_problem(loss_fn, inner_optimizer)
    return by_gradient(problem, displacement, outer_optimizer, inner_steps, test_steps, batches=batches, chunk=chunk)


def _build(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds Reptile with its own optimizers: an inner Adam, and outer gradient descent whose rate falls to zero."""
    model = whole_network(recipe, network)
    adam = optax.adam(recipe.inner_rate, b1=0.0)
    outer_descent = network.outer_optimizer or optax.sgd(optax.linear_schedule(recipe.outer_rate, 0.0, network.steps))
    loss_fn, steps = network.loss(model.apply), (recipe.inner_steps, recipe.test_steps)
    method = reptile(loss_fn, adam, outer_descent, steps[0], test_steps=steps[1], chunk=recipe.chunk, **recipe.options)
    return method, model.init


RECIPES = {
    "reptile": Recipe(
        _build,
        reptile,
        "gradient",
        {"batch": 10},
        inner_rate=1e-3,
        inner_steps=5,
        test_steps=50,
        outer_rate=1.0,
        train_queries=10,
        many_ways={"options": {"batch": 20}},  # as in the authors' commands for 5 and for 20 ways
    )
}
"""The recipes of this file by the names of the methods."""
