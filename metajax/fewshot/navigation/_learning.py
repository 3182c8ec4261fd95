"""Learning from trajectories: the surrogate of the policy gradient, and a few-shot method that gathers its own."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metajax.fewshot._method import Method
from metajax.fewshot.episodes import Episode
from metajax.fewshot.navigation._rollout import Policy, Trajectories, log_prob, rollout
from metajax.types import Info, Key, Learner, LossFn, Params, Scalar, stream


def surrogate(policy: Policy, clip: float | None = None) -> LossFn:
    """Makes the policy gradient's surrogate, a loss over ``Trajectories``: minus the mean of ratio times advantage.

    The ratio of the probabilities now and when the actions were drawn makes its gradient the policy gradient and its second
    derivative that of the expected return's low-variance estimate (Rothfuss et al. 2019, arXiv:1810.06784).

    Args:
        policy: Mean of the actions.
        clip: Bound the ratio to [1 - clip, 1 + clip] where that lowers the gain (PPO); ``None`` bounds nothing.

    Returns:
        ``(params, trajectories, key) -> (loss, info)``; the info reports ``return``.

    References:
        Schulman et al. 2017, arXiv:1707.06347 (PPO). Rothfuss et al. 2019, arXiv:1810.06784.

    Example:
        >>> params = {"mean": jnp.ones(()), "log_std": jnp.full(2, -3.0)}
        >>> eager = lambda params, position, goal: params * (goal - position)
        >>> runs = rollout(eager, params, jnp.array([0.3, 0.0]), jax.random.key(0), runs=4, horizon=5)
        >>> bool(abs(surrogate(eager)(params, runs, None)[0]) < 1e-4)  # advantages have mean 0, all ratios are 1
        True
    """

    def loss_fn(params: Params, batch: Trajectories, key: Key) -> tuple[Scalar, Info]:
        now = log_prob(policy, params, batch.positions, batch.goals, batch.actions)
        ratio = jnp.exp(now - batch.log_probs)
        gain = ratio * batch.advantages
        if clip is not None:
            gain = jnp.minimum(gain, jnp.clip(ratio, 1 - clip, 1 + clip) * batch.advantages)
        total = jnp.maximum(jnp.sum(batch.alive), 1.0)
        return -jnp.sum(gain * batch.alive) / total, {"return": batch.mean_return}

    return loss_fn


def reinforced(method: Method, policy: Policy, runs: int = 20, horizon: int = 100, epochs: int = 5) -> Learner:
    """Makes a learner of a few-shot method that gathers its own episodes: ``update(state, goals f32[tasks, 2])``.

    An update draws each task's support under the present policy and its query under the adapted one, then takes ``epochs``
    of the method's updates on these same trajectories: with a clipped query loss, a PPO step.

    Args:
        method: The few-shot method; its loss is a ``surrogate``.
        policy: Mean of the actions.
        runs: Number of trajectories of a task, before adaptation and after it.
        horizon: Number of steps of a trajectory.
        epochs: Number of the method's updates on the same trajectories, >= 1.

    Returns:
        The learner.

    Example:
        >>> import optax
        >>> from metajax import fewshot
        >>> from metajax.fewshot.navigation import goals
        >>> policy = lambda params, position, goal: params
        >>> method = fewshot.maml(surrogate(policy), optax.sgd(0.1), optax.adam(0.03))
        >>> learner = reinforced(method, policy, runs=2, horizon=3, epochs=1)
        >>> state = learner.init(jax.random.key(0), {"mean": jnp.zeros(2), "log_std": jnp.zeros(2)})
        >>> sorted(jax.eval_shape(learner.update, state, goals(jax.random.key(1), 4))[1])
        ['hypergradient_norm', 'inner_loss', 'outer_loss', 'return']
    """
    draw = lambda params, goal, key: rollout(policy, params, goal, key, runs, horizon)

    def update(state: Any, tasks: jax.Array) -> tuple[Any, Info]:
        gather_key, epoch_key = (
            jax.random.fold_in(stream(state.key, name), state.step) for name in ("gather", "epochs")
        )

        def gather(goal: jax.Array, key: Key) -> Episode:
            support_key, query_key, adapt_key = jax.random.split(key, 3)
            support = draw(state.hyper, goal, support_key)
            learned = jax.tree.map(lambda x: x[-1], method.adapt(state.hyper, support, adapt_key))
            return Episode(support, draw(learned, goal, query_key))

        episodes = jax.vmap(gather)(tasks, jax.random.split(gather_key, tasks.shape[0]))
        repeat_update = lambda inner, _: method.update(inner, episodes)
        new_state, info = jax.lax.scan(repeat_update, state._replace(key=epoch_key), None, epochs)
        return new_state._replace(step=state.step + 1, key=state.key), jax.tree.map(lambda x: x[0], dict(info))

    return Learner(method.init, update)


def returns_by_step(
    steps: Sequence[Method], policy: Policy, params: Params, tasks: jax.Array, key: Key, runs: int = 40
) -> jax.Array:
    """Returns the mean return before and after each gradient step on fresh trajectories.

    Args:
        steps: The methods whose ``adapt`` makes each step; the paper halves the rate after the first.
        policy: Mean of the actions.
        params: The initialization.
        tasks: Goals f32[tasks, 2].
        key: A random key.
        runs: Number of trajectories of a task at every step.

    Returns:
        Mean returns f32[tasks, steps + 1].

    Example:
        >>> from metajax.fewshot.navigation import goals
        >>> policy = lambda params, position, goal: params
        >>> params = {"mean": jnp.zeros(2), "log_std": jnp.full(2, -2.0)}
        >>> returns_by_step([], policy, params, goals(jax.random.key(0), 3), jax.random.key(1), runs=2).shape
        (3, 1)
    """

    def task_returns(goal: jax.Array, key: Key) -> jax.Array:
        state, scores = params, []
        for number, method in enumerate([*steps, None]):
            support_key, return_key, adapt_key = jax.random.split(jax.random.fold_in(key, number), 3)
            scores.append(rollout(policy, state, goal, return_key, runs).mean_return)
            if method is not None:
                support = rollout(policy, state, goal, support_key, runs)
                state = jax.tree.map(lambda x: x[-1], method.adapt(state, support, adapt_key))
        return jnp.stack(scores)

    return jax.jit(jax.vmap(task_returns))(tasks, jax.random.split(key, tasks.shape[0]))
