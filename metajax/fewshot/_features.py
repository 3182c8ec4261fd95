"""Methods that solve a task on features: a learned network, and a head that is fitted to the support in closed form."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metajax import nn
from metajax.bilevel import BilevelState
from metajax.fewshot._losses import classification_loss
from metajax.fewshot._method import Method, by_solution, solution_learner
from metajax.fewshot._tasks import with_tasks
from metajax.fewshot.episodes import Episode
from metajax.types import Batch, Hyper, Info, Key, Params, Scalar

Embed = Callable[[Params, Any], jax.Array]
"""``(body params, x) -> features f32[n, d]``."""


class Head(NamedTuple):
    """A classifier that is fitted to the features of a support set.

    Attributes:
        solve: ``(hyper, features f32[n, d], labels i32[n]) -> learned``.
        scores: ``(hyper, learned, features f32[m, d]) -> logits f32[m, classes]``.
        body: ``hyper -> body params``, the parameters of the network.

    Example:
        >>> from metajax.fewshot import heads
        >>> solve = lambda hyper, features, labels: heads.centroids(features, labels)
        >>> head = Head(solve, lambda hyper, prototypes, features: heads.prototype_scores(features, prototypes))
        >>> prototypes = head.solve(None, jnp.array([[0.0], [4.0]]), jnp.array([0, 1]))
        >>> head.scores(None, prototypes, jnp.array([[1.0]])).tolist()
        [[-1.0, -9.0]]
    """

    solve: Callable[[Hyper, jax.Array, jax.Array], Any]
    scores: Callable[[Hyper, Any, jax.Array], jax.Array]
    body: Callable[[Hyper], Params] = lambda hyper: hyper


def by_features(
    embed: Embed | nn.Running,
    head: Head,
    outer_optimizer: optax.GradientTransformation,
    begin: Callable[[Params], Hyper] = lambda params: params,
    chunk: int | None = None,
) -> Method:
    """Makes a method that embeds the support, solves for the head, and scores the embedded queries.

    If ``embed`` is a function, its batch norms normalize support and queries separately, each by its own statistics
    (transductive). With ``nn.Running`` it is inductive, as in the code of prototypical networks: in training support and
    queries are one batch, whose statistics a running mean follows; ``adapt`` and ``loss`` use the running ones. Then
    ``state.hyper`` has the entries ``"hyper"`` and ``"statistics"``.

    Args:
        embed: The network.
        head: The classifier that is fitted to the support.
        outer_optimizer: Optimizer of everything that is meta-learned; it never moves running statistics.
        begin: Maps initial parameters of the network to the meta-learned parameters.
        chunk: Number of tasks that are computed side by side; the rest follow in a scan.

    Returns:
        The method.

    Example:
        >>> from metajax.fewshot import heads
        >>> solve = lambda hyper, features, labels: heads.centroids(features, labels)
        >>> scores = lambda hyper, prototypes, features: heads.prototype_scores(features, prototypes)
        >>> method = by_features(lambda weights, x: x @ weights, Head(solve, scores), optax.sgd(0.1))
        >>> state = method.init(jax.random.key(0), jnp.eye(4))
        >>> means, counts = method.adapt(state.hyper, (jnp.eye(4), jnp.array([0, 0, 1, 1])), jax.random.key(1))
        >>> means[0, :2].tolist()
        [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    if isinstance(embed, nn.Running):
        return _inductive(embed, head, outer_optimizer, begin, chunk)

    def solve(hyper: Hyper, support: Any, key: Key) -> Any:
        return head.solve(hyper, embed(head.body(hyper), support[0]), support[1])

    def query_loss(hyper: Hyper, learned: Any, batch: Batch, key: Key) -> tuple[Scalar, Info]:
        return classification_loss(head.scores(hyper, learned, embed(head.body(hyper), batch[0])), batch[1])

    return by_solution(solve, query_loss, outer_optimizer, begin, chunk)


def _inductive(
    network: nn.Running,
    head: Head,
    outer_optimizer: optax.GradientTransformation,
    begin: Callable[[Params], Hyper],
    chunk: int | None,
) -> Method:
    """The method with batch norm by running statistics; see ``by_features``."""

    def task_loss(hyper: Hyper, support: Any, batch: Batch, key: Key) -> tuple[Scalar, Info]:
        inner, n_support = hyper["hyper"], support[0].shape[0]
        features, statistics = network.train(head.body(inner), jnp.concatenate([support[0], batch[0]]))
        learned = head.solve(inner, features[:n_support], support[1])
        loss, info = classification_loss(head.scores(inner, learned, features[n_support:]), batch[1])
        return loss, {**info, "statistics": jax.lax.stop_gradient(statistics)}

    learner = solution_learner(lambda hyper, support, key: support, task_loss, outer_optimizer, chunk)

    def update(state: BilevelState, episodes: Episode) -> tuple[BilevelState, Info]:
        with_tasks(episodes)
        single_step = jax.tree.map(lambda x: x[None], episodes.support)
        new_state, info = learner.update(state, (single_step, episodes.query))
        info = dict(info)
        statistics = network.follow(state.hyper["statistics"], info.pop("statistics"))
        return new_state._replace(hyper={**new_state.hyper, "statistics": statistics}), info

    def features(hyper: Hyper, x: Any) -> jax.Array:
        return network.test(head.body(hyper["hyper"]), x, hyper["statistics"])

    def adapt(hyper: Hyper, support: Any, key: Key) -> Any:
        learned = head.solve(hyper["hyper"], features(hyper, support[0]), support[1])
        return jax.tree.map(lambda x: x[None], learned)

    def query_loss(hyper: Hyper, learned: Any, batch: Batch, key: Key) -> tuple[Scalar, Info]:
        return classification_loss(head.scores(hyper["hyper"], learned, features(hyper, batch[0])), batch[1])

    def init(key: Key, params: Params) -> BilevelState:
        return learner.init(key, {"hyper": begin(params), "statistics": network.start()})

    return Method(init, update, adapt, query_loss, 0, 0)
