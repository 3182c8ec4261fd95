"""The environment: goals, policies, and trajectories with their advantages."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.types import Key, Params

Policy = Callable[[Params, jax.Array, jax.Array], jax.Array]
"""``(params, position f32[..., 2], goal f32[..., 2]) -> mean action``; one that may not see the goal ignores it."""

STEP = 0.1
"""The longest move along an axis."""

NEAR = 0.01
"""The distance at which the goal is reached."""


class Trajectories(NamedTuple):
    """n runs of H steps under one policy, with everything that a loss needs of them.

    Attributes:
        positions: Positions before each action, f32[n, H, 2].
        goals: The goal, the same throughout, f32[n, H, 2].
        actions: Actions as drawn, before they are clipped to the longest move, f32[n, H, 2].
        log_probs: Log-probabilities of the actions under the policy that drew them, f32[n, H].
        rewards: Minus the squared distance to the goal; 0 once it was reached; f32[n, H].
        alive: 1 until the goal was reached, then 0; f32[n, H].
        advantages: See ``advantages``, f32[n, H].
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
    """Draws goals uniformly in the square of side 1 around the origin.

    Args:
        key: A random key.
        n: Number of goals.

    Returns:
        Goals f32[n, 2].

    Example:
        >>> goals(jax.random.key(0), 20).shape
        (20, 2)
    """
    return jax.random.uniform(key, (n, 2), minval=-0.5, maxval=0.5)


def log_prob(policy: Policy, params: Params, positions: jax.Array, goal: jax.Array, actions: jax.Array) -> jax.Array:
    """Returns the log-probability of actions under a Gaussian policy.

    Args:
        policy: Mean of the actions.
        params: ``{"mean": parameters of the policy, "log_std": f32[2]}``.
        positions: Positions before the actions, f32[..., 2].
        goal: Goals, of the shape of the positions.
        actions: The actions, of the shape of the positions.

    Returns:
        Log-probabilities f32[...].

    Example:
        >>> params = {"mean": (), "log_std": jnp.zeros(2)}
        >>> zero = jnp.zeros(2)
        >>> round(float(log_prob(lambda params, position, goal: position, params, zero, zero, zero)), 3)
        -1.838
    """
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
    """Draws trajectories towards one goal, with advantages over a baseline that is linear in position and time.

    Args:
        policy: Mean of the actions.
        params: ``{"mean": parameters of the policy, "log_std": f32[2]}``.
        goal: The goal f32[2].
        key: A random key.
        runs: Number of trajectories, >= 1; 20 in the paper.
        horizon: Number of steps, >= 1; 100 in the paper.
        discount: Discount of later rewards, in (0, 1].

    Returns:
        The trajectories.

    Example:
        >>> params = {"mean": (), "log_std": jnp.full(2, -3.0)}
        >>> straight = lambda params, position, goal: goal - position
        >>> runs = rollout(straight, params, jnp.array([0.3, 0.0]), jax.random.key(0), runs=4, horizon=10)
        >>> bool(runs.mean_return > -0.5)
        True
    """

    def step(carry: tuple[jax.Array, jax.Array], step_key: Key) -> tuple[tuple[jax.Array, jax.Array], Any]:
        position, alive = carry
        mean = policy(params["mean"], position, jnp.broadcast_to(goal, position.shape))
        action = mean + jnp.exp(params["log_std"]) * jax.random.normal(step_key, position.shape)
        moved = position + jnp.clip(action, -STEP, STEP)
        distance = jnp.sum(jnp.square(moved - goal), axis=-1)
        record = (position, action, -distance * alive, alive)
        return (moved, jnp.where(distance > NEAR**2, alive, 0.0)), record

    start = (jnp.zeros((runs, 2)), jnp.ones(runs))
    _, records = jax.lax.scan(step, start, jax.random.split(key, horizon))
    positions, actions, rewards, alive = (jnp.moveaxis(x, 0, 1) for x in records)
    same_goal = jnp.broadcast_to(goal, positions.shape)
    log_probs = log_prob(policy, params, positions, same_goal, actions)
    gains = advantages(positions, rewards, alive, discount)
    return Trajectories(positions, same_goal, actions, log_probs, rewards, alive, gains)


def advantages(positions: jax.Array, rewards: jax.Array, alive: jax.Array, discount: float) -> jax.Array:
    """Returns discounted returns less a baseline that is linear in position and time, of mean 0 and deviation 1.

    Args:
        positions: Positions before each action, f32[n, H, 2].
        rewards: Rewards of each action, f32[n, H].
        alive: 1 until the goal was reached, then 0; f32[n, H].
        discount: Discount of later rewards, in (0, 1].

    Returns:
        Advantages f32[n, H], 0 where a run is over.

    References:
        Duan et al. 2016, arXiv:1604.06778 (the baseline).

    Example:
        >>> rewards = jax.random.normal(jax.random.key(0), (4, 10))
        >>> gain = advantages(jnp.zeros((4, 10, 2)), rewards, jnp.ones((4, 10)), 0.99)
        >>> bool(abs(gain.mean()) < 1e-5), bool(abs(gain.std() - 1) < 1e-3)
        (True, True)
    """
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
