"""Prototypical networks (Snell et al. 2017, arXiv:1703.05175): the nearest class mean of learned features."""

import optax

from metajax import nn
from metajax.fewshot import heads
from metajax.fewshot._builders import SOLVED, on_features
from metajax.fewshot._features import Embed, Head, by_features
from metajax.fewshot._method import Method
from metajax.fewshot._recipe import Recipe
from metajax.types import InputError


def protonet(
    embed: Embed | nn.Running,
    outer_optimizer: optax.GradientTransformation,
    distance: heads.Distance = "euclidean",
    chunk: int | None = None,
) -> Method:
    r"""Learns features in which the nearest class mean classifies well.

    The score of a class c is minus the squared distance to the mean of its support examples, and the cross-entropy of the
    scores on the query trains the features $f_\theta$:

    $$p(y = c \mid x) = \mathrm{softmax}_c \bigl(-\lVert f_\theta(x) - m_c \rVert^2\bigr), \qquad
    m_c = \frac{1}{|S_c|} \sum_{x_i \in S_c} f_\theta(x_i)$$

    Training on more ways than are tested, as the paper does (60 for Omniglot), needs nothing but another sampler.

    Args:
        embed: ``(params, x) -> features f32[n, d]``, or ``nn.running(network, example)``. If it is a function, its batch
            norms normalize support and queries separately, each by its own statistics (transductive). With ``nn.Running`` it
            is inductive, as in the authors' code: in training support and queries are one batch, whose statistics a running
            mean follows; ``adapt`` and ``loss`` use the running ones. ``state.hyper`` then has the entries ``"hyper"`` and
            ``"statistics"``.
        outer_optimizer: Optimizer of the network; Adam with rate 1e-3, halved every 2,000 episodes, in the paper.
        distance: ``"euclidean"`` (squared, the paper's) or ``"cosine"``.
        chunk: Number of tasks that are computed side by side; see ``maml``.

    Returns:
        The method. ``adapt`` returns the class means and the number of examples of each class.

    Raises:
        InputError: If ``distance`` is neither of the two.

    Deviations:
        The published numbers are inductive: batch norm uses running statistics, which ``nn.running`` makes of a network. With
        a plain function the scores are transductive.

    References:
        Snell et al. 2017, arXiv:1703.05175.

    Example:
        >>> import jax
        >>> from metajax import fewshot, nn
        >>> init, embed = nn.functional(lambda rngs: nn.Conv4(None, width=4, rngs=rngs))
        >>> method = protonet(embed, optax.adam(1e-3))
        >>> state = method.init(jax.random.key(0), init(jax.random.key(1)))
        >>> images = jax.random.uniform(jax.random.key(2), (6, 4, 8, 8))
        >>> task = fewshot.episodes.classes(images, ways=5, shots=1, queries=3)
        >>> episodes = jax.jit(fewshot.episodes.tasks(task, 2))(jax.random.key(3))
        >>> state, info = jax.jit(method.update)(state, episodes)
        >>> sorted(info)
        ['accuracy', 'hypergradient_norm', 'outer_loss']
    """
    if distance not in ("euclidean", "cosine"):
        raise InputError(f"protonet: distance must be 'euclidean' or 'cosine', got {distance!r}")

    head = Head(
        solve=lambda hyper, features, labels: heads.centroids(features, labels),
        scores=lambda hyper, prototypes, features: heads.prototype_scores(features, prototypes, distance),
    )
    return by_features(embed, head, outer_optimizer, chunk=chunk)


RECIPES = {"protonet": Recipe(on_features, protonet, **SOLVED)}
"""The recipes of this file by the names of the methods."""
