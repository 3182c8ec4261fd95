"""Reinforcement learning as few-shot learning: 2-D navigation (Finn et al. 2017, arXiv:1703.03400, section 5.3).

A point starts at the origin and is to reach a goal that it cannot see; the goal is the task. A task's support and query are
trajectories, and its loss is the policy gradient's surrogate, so that MAML takes it as it takes any other loss.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.fewshot._method import Method
from metajax.fewshot.episodes import Episode
from metajax.types import Key, Learner, LossFn, Params, stream

Policy = Callable[[Params, jax.Array, jax.Array], jax.Array]
"""``(params, position f32[..., 2], goal f32[..., 2]) -> mean action``; one that may not see the goal ignores it."""

STEP, NEAR = 0.1, 0.01
"""The longest move along an axis, and the distance at which the goal is reached."""


class Trajectories(NamedTuple):
    """n runs of H steps under one policy: what a loss needs of them.

    Attributes:
        positions: f32[n, H, 2] before each action.
        goals: f32[n, H, 2], the same throughout.
        actions: f32[n, H, 2] as drawn, before they are clipped to the longest move.
        log_probs: f32[n, H] of the actions under the policy that drew them.
        rewards: f32[n, H], minus the squared distance to the goal; 0 once it was reached.
        alive: f32[n, H], 1 until the goal was reached.
        advantages: f32[n, H].
    """

    positions: jax.Array
    goals: jax.Array
    actions: jax.Array
    log_probs: jax.Array
    rewards: jax.Array
    alive: jax.Array
    advantages: jax.Array

    @property
    def mean_return(self) -> jax.Array:
        """The undiscounted sum of rewards, mean over runs."""
        return jnp.mean(jnp.sum(self.rewards, axis=-1))


def goals(key: Key, n: int) -> jax.Array:
    """f32[n, 2], uniform in the square of side 1 around the origin."""
    return jax.random.uniform(key, (n, 2), minval=-0.5, maxval=0.5)


def log_prob(policy: Policy, params: Params, positions: jax.Array, goal: jax.Array, actions: jax.Array) -> jax.Array:
    """Of actions under a Gaussian policy, ``params = {"mean": ..., "log_std": f32[2]}``."""
    mean, log_std = policy(params["mean"], positions, goal), params["log_std"]
    scaled = (actions - mean) * jnp.exp(-log_std)
    return jnp.sum(-0.5 * jnp.square(scaled) - log_std - 0.5 * jnp.log(2 * jnp.pi), axis=-1)


def rollout(
    policy: Policy,
    params: Params,
    goal: jax.Array,
    key: Key,
    runs: int = 20,
    horizon: int = 100,
    discount: float = 0.99,
) -> Trajectories:
    """``runs`` trajectories towards one goal, with advantages over a baseline that is linear in position and time."""

    def step(carry, step_key):
        position, alive = carry
        mean = policy(params["mean"], position, jnp.broadcast_to(goal, position.shape))
        action = mean + jnp.exp(params["log_std"]) * jax.random.normal(step_key, position.shape)
        moved = position + jnp.clip(action, -STEP, STEP)
        distance = jnp.sum(jnp.square(moved - goal), axis=-1)
        seen = (position, action, -distance * alive, alive)
        return (moved, jnp.where(distance > NEAR**2, alive, 0.0)), seen

    start = (jnp.zeros((runs, 2)), jnp.ones(runs))
    _, seen = jax.lax.scan(step, start, jax.random.split(key, horizon))
    positions, actions, rewards, alive = (jnp.moveaxis(x, 0, 1) for x in seen)
    where = jnp.broadcast_to(goal, positions.shape)
    log_probs = log_prob(policy, params, positions, where, actions)
    gains = advantages(positions, rewards, alive, discount)
    return Trajectories(positions, where, actions, log_probs, rewards, alive, gains)


def advantages(positions: jax.Array, rewards: jax.Array, alive: jax.Array, discount: float) -> jax.Array:
    """Discounted returns less a linear baseline (Duan et al. 2016, arXiv:1604.06778), of mean 0 and deviation 1."""
    back = lambda later, reward: (reward + discount * later,) * 2
    _, returns = jax.lax.scan(back, jnp.zeros_like(rewards[:, 0]), rewards.T, reverse=True)
    returns = returns.T
    horizon = rewards.shape[1]
    time = jnp.broadcast_to(jnp.linspace(0.0, horizon / 100, horizon, dtype=rewards.dtype), rewards.shape)[..., None]
    features = jnp.concatenate([positions, positions**2, time, time**2, time**3, jnp.ones_like(time)], axis=-1)
    x, y, weight = features.reshape(-1, features.shape[-1]), returns.reshape(-1), alive.reshape(-1)
    gram = (x * weight[:, None]).T @ x + 1e-3 * jnp.eye(x.shape[1], dtype=x.dtype)
    gain = (y - x @ jnp.linalg.solve(gram, (x * weight[:, None]).T @ y)) * weight
    total = jnp.maximum(jnp.sum(weight), 1.0)
    mean = jnp.sum(gain) / total
    std = jnp.sqrt(jnp.sum(weight * jnp.square(gain - mean)) / total)
    return (weight * (gain - mean) / (std + 1e-8)).reshape(rewards.shape)


def surrogate(policy: Policy, clip: float | None = None) -> LossFn:
    """The policy gradient as a loss over ``Trajectories``: minus the mean of ratio times advantage.

    The ratio of the probabilities now and when the actions were drawn makes its gradient the policy gradient and its second
    derivative that of the expected return's low-variance estimate (Rothfuss et al. 2019, arXiv:1810.06784).

    Args:
        clip: bound the ratio to [1 - clip, 1 + clip] where that lowers the gain (PPO, Schulman et al. 2017).
    """

    def loss(params: Params, batch: Trajectories, key: Key):
        now = log_prob(policy, params, batch.positions, batch.goals, batch.actions)
        ratio = jnp.exp(now - batch.log_probs)
        gain = ratio * batch.advantages
        if clip is not None:
            gain = jnp.minimum(gain, jnp.clip(ratio, 1 - clip, 1 + clip) * batch.advantages)
        total = jnp.maximum(jnp.sum(batch.alive), 1.0)
        return -jnp.sum(gain * batch.alive) / total, {"return": batch.mean_return}

    return loss


def reinforced(method: Method, policy: Policy, runs: int = 20, horizon: int = 100, epochs: int = 5) -> Learner:
    """A few-shot method that gathers its own episodes: ``update(state, goals f32[tasks, 2])``.

    An update draws each task's support under the present policy and its query under the adapted one, then takes ``epochs``
    of the method's updates on these same trajectories: with a clipped query loss, a PPO step.
    """
    draw = lambda params, goal, key: rollout(policy, params, goal, key, runs, horizon)

    def update(state: Any, tasks: jax.Array):
        gather_key, epoch_key = (
            jax.random.fold_in(stream(state.key, name), state.step) for name in ("gather", "epochs")
        )

        def gather(goal: jax.Array, key: Key) -> Episode:
            before, after, learn = jax.random.split(key, 3)
            support = draw(state.hyper, goal, before)
            learned = jax.tree.map(lambda x: x[-1], method.adapt(state.hyper, support, learn))
            return Episode(support, draw(learned, goal, after))

        episodes = jax.vmap(gather)(tasks, jax.random.split(gather_key, tasks.shape[0]))
        again = lambda inner, _: method.update(inner, episodes)
        moved, info = jax.lax.scan(again, state._replace(key=epoch_key), None, epochs)
        return moved._replace(step=state.step + 1, key=state.key), jax.tree.map(lambda x: x[0], dict(info))

    return Learner(method.init, update)


def returns_by_step(
    steps: Sequence[Method], policy: Policy, params: Params, tasks: jax.Array, key: Key, runs: int = 40
) -> jax.Array:
    """f32[tasks, steps + 1]: the mean return before and after each gradient step on fresh trajectories.

    Args:
        steps: whose ``adapt`` makes each step; the paper halves the rate after the first.
    """

    def one(goal: jax.Array, key: Key) -> jax.Array:
        state, scores = params, []
        for number, method in enumerate([*steps, None]):
            gather, judge, learn = jax.random.split(jax.random.fold_in(key, number), 3)
            scores.append(rollout(policy, state, goal, judge, runs).mean_return)
            if method is not None:
                support = rollout(policy, state, goal, gather, runs)
                state = jax.tree.map(lambda x: x[-1], method.adapt(state, support, learn))
        return jnp.stack(scores)

    return jax.vmap(one)(tasks, jax.random.split(key, tasks.shape[0]))
