"""MetaOptNet (Lee et al. 2019, arXiv:1904.03758): features for a support vector machine that is solved in the program."""

import dataclasses

import jax.numpy as jnp
import optax

from metajax import nn
from metajax.fewshot import heads
from metajax.fewshot._builders import SOLVED, BuiltMethod, on_features
from metajax.fewshot._features import Embed, Head, by_features
from metajax.fewshot._method import Method
from metajax.fewshot._recipe import Network, Recipe
from metajax.types import InputError


def metaoptnet(
    embed: Embed | nn.Running,
    outer_optimizer: optax.GradientTransformation,
    c: float = 0.1,
    scale: float = 1.0,
    iterations: int = 15,
    chunk: int | None = None,
    ways: int | None = None,
) -> Method:
    r"""Learns features on which a support vector machine, solved inside the program, classifies well.

    The machine of a task is the dual of Crammer and Singer on the Gram matrix K of the support's features, with dual
    variables A of one row for each example and one-hot labels Y. It is solved by an interior-point method, whose solution is
    differentiated:

    $$\min_A \; \tfrac12 \bigl\langle A, (K + I) A \bigr\rangle - \langle A, Y \rangle \quad
    \text{subject to} \quad A \le C\,Y, \; A \mathbf{1} = 0, \qquad
    \mathrm{scores}(x) = \alpha \, f_\theta(x)^\top X^\top A$$

    ``state.hyper`` has the entries ``"body"`` and ``"log_scale"``.

    Args:
        embed: ``(body params, x) -> features f32[n, d]``, or ``nn.running(network, example)``; see ``protonet``.
        outer_optimizer: Optimizer of the network and the scale.
        c: Bound of the dual variables, > 0: the soft-margin penalty (larger fits the support more closely); 0.1 in the
            paper.
        scale: Initial factor of the scores, > 0, meta-learned; 1 in the paper.
        iterations: Iterations of the solver, >= 1.
        chunk: Number of tasks that are computed side by side; see ``maml``.
        ways: Largest number of classes of a task, in training and test, >= 2. The solver uses it to be faster where classes
            have many examples. ``None`` if it is not known.

    Returns:
        The method.

    Raises:
        InputError: If an argument is out of range.

    Deviations:
        The identity beside K is that of the authors' code (github.com/kjunelee/MetaOptNet), which the paper does not print.
        They learn the scale of the scores itself, here its logarithm is learned. The network is the caller's; the authors' is
        a ResNet-12.

    References:
        Lee et al. 2019, arXiv:1904.03758.

    Example:
        >>> import jax
        >>> from metajax import nn
        >>> init, embed = nn.functional(lambda rngs: nn.Conv4(None, width=8, rngs=rngs))
        >>> method = metaoptnet(embed, optax.adam(1e-3))
        >>> sorted(method.init(jax.random.key(0), init(jax.random.key(1))).hyper)
        ['body', 'log_scale']
    """
    if ways is not None and ways < 2:
        raise InputError(f"metaoptnet: ways must be None or an integer >= 2, got {ways}")
    if c <= 0 or scale <= 0 or iterations < 1:
        raise InputError(
            f"metaoptnet: c and scale must be positive and iterations an integer >= 1, got c={c}, scale={scale}, "
            f"iterations={iterations}"
        )

    head = Head(
        solve=lambda hyper, features, labels: heads.fit_svm(features, labels, c, iterations, ways=ways),
        scores=heads.linear_scores,
        body=lambda hyper: hyper["body"],
    )
    begin = lambda params: {"body": params, "log_scale": jnp.log(scale)}
    return by_features(embed, head, outer_optimizer, begin, chunk)


def _build(recipe: Recipe, network: Network) -> BuiltMethod:
    """Builds MetaOptNet, which is faster if it knows the number of ways."""
    ways = {"ways": max(recipe.ways, recipe.train_ways or recipe.ways)}
    return on_features(dataclasses.replace(recipe, options={**ways, **recipe.options}), network)


RECIPES = {"metaoptnet-svm": Recipe(_build, metaoptnet, **SOLVED)}
"""The recipes of this file by the names of the methods."""
