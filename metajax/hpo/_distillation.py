"""Dataset distillation: a handful of synthetic examples on which a network learns what it would from all."""

import jax
import jax.numpy as jnp

from metajax.bilevel import Inner, Problem
from metajax.hpo._optimizers import sgd
from metajax.hpo._training import HyperProblem, IndexedBatch, cross_entropy
from metajax.nn import Functional, one_hot
from metajax.types import Batch, Hyper, Key, Params


def distillation_problem(network: Functional, shape: tuple[int, ...], classes: int, per_class: int = 1) -> HyperProblem:
    r"""Makes a bilevel problem that learns synthetic examples and the learning rate at which to learn from them.

    With synthetic examples $\tilde x$, their fixed labels $\tilde y$, a learning rate $\eta$ and a random initialization $w_0$,

    $$\min_{\tilde x, \eta} \; \mathbb{E}_{w_0} \, \ell(w_S; x, y), \qquad
    w_{s+1} = w_s - \eta \, \nabla_w \ell(w_s; \tilde x, \tilde y)$$

    A few steps of gradient descent on the synthetic examples, from a random initialization, are to fit real data. ``hyper`` is
    ``{"x": f32[classes · per_class, ...], "rate": logarithm of the learning rate}``; the outer batch is an ``IndexedBatch`` of
    real data. The inner batches only count the steps: give ``jnp.arange(steps)``. Use ``unroll``: what is learned is a path, so
    the implicit estimators do not apply.

    Args:
        network: A classifier, ``apply(params, x) -> logits``.
        shape: The shape of one example.
        classes: The number of classes.
        per_class: The number of synthetic examples of each class.

    Returns:
        The problem and the first hyperparameters: Gaussian noise, and a learning rate of 0.02.

    Deviations:
        In the paper each step of a longer descent has synthetic examples and a learning rate of its own, and an outer step
        averages over several initializations. Here all steps share the examples and the rate, an outer step draws one
        initialization, and the rate is learned by its logarithm.

    References:
        Wang et al. 2018, "Dataset distillation", arXiv:1811.10959.

    Example:
        >>> from metajax import bilevel, hpo, nn
        >>> network = nn.functional(lambda rngs: nn.MLP(4, (8,), 3, rngs=rngs))
        >>> problem = hpo.distillation_problem(network, (4,), 3)
        >>> hyper = problem.init(jax.random.key(0))
        >>> real = hpo.IndexedBatch(jnp.ones((5, 4)), jnp.zeros(5, jnp.int32), jnp.arange(5))
        >>> result = jax.jit(bilevel.unroll()(problem.problem))(hyper, None, jnp.arange(10), real, jax.random.key(1))
        >>> result.grad["x"].shape
        (3, 4)
    """
    labels = jax.nn.one_hot(jnp.repeat(jnp.arange(classes), per_class), classes)

    def inner_loss(hyper: Hyper, params: Params, batch: Batch, key: Key):
        return jnp.mean(cross_entropy(network.apply(params, hyper["x"]), labels)), {}

    def outer_loss(hyper: Hyper, params: Params, batch: IndexedBatch, key: Key):
        outputs = network.apply(params, batch.x)
        accuracy = jnp.mean(jnp.argmax(outputs, -1) == batch.y, dtype=outputs.dtype)
        return jnp.mean(cross_entropy(outputs, one_hot(batch.y, classes))), {"accuracy": accuracy}

    def init(key: Key) -> dict[str, jax.Array]:
        return {"x": jax.random.normal(key, (classes * per_class, *shape)), "rate": jnp.log(jnp.asarray(0.02))}

    inner = Inner.descent(inner_loss, lambda hyper, key: network.init(key), lambda hyper: sgd(jnp.exp(hyper["rate"])))
    return HyperProblem(Problem(inner, outer_loss), init)
