"""2-D navigation: the environment, the policy gradient, and MAML on it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import fewshot
from metajax.fewshot import navigation

GOAL = jnp.array([0.32, -0.21])


def straight(params, position, goal):
    """Heads for the goal as fast as it may; the parameter is how eagerly."""
    return params * (goal - position)


def still(params, position, goal):
    return params["bias"] + params["slope"] * position


def test_a_straight_walk_reaches_the_goal_and_ends_there():
    params = {"mean": jnp.ones(()), "log_std": jnp.full(2, -20.0)}
    seen = navigation.rollout(straight, params, GOAL, jax.random.key(0), runs=3, horizon=20)
    first = np.asarray(seen.rewards)[0]
    # 0.1 a step along each axis until the rest is covered: four steps to (0.32, -0.21)
    path = [(0, 0), (0.1, -0.1), (0.2, -0.2), (0.3, -0.21)]
    expected = [-((min(x + 0.1, 0.32) - 0.32) ** 2 + (max(y - 0.1, -0.21) + 0.21) ** 2) for x, y in path]
    np.testing.assert_allclose(first[:4], expected, atol=1e-5)
    assert np.all(first[4:] == 0), "nothing is paid once the goal is reached"
    assert np.asarray(seen.alive)[0].tolist() == [1] * 4 + [0] * 16
    np.testing.assert_allclose(seen.mean_return, sum(expected), atol=1e-4)


def test_moves_are_bounded_and_goals_lie_in_the_square():
    params = {"mean": {"bias": jnp.full(2, 5.0), "slope": jnp.zeros(())}, "log_std": jnp.zeros(2)}
    seen = navigation.rollout(still, params, GOAL, jax.random.key(0), horizon=10)
    assert np.max(np.abs(np.diff(seen.positions, axis=1))) <= 0.1 + 1e-6
    goals = navigation.goals(jax.random.key(0), 1000)
    assert 0.45 < np.max(np.abs(goals)) <= 0.5


def test_advantages_have_mean_0_and_deviation_1_and_ignore_what_is_over():
    params = {"mean": jnp.ones(()), "log_std": jnp.full(2, -2.0)}
    seen = navigation.rollout(straight, params, GOAL, jax.random.key(0), runs=50, horizon=30)
    gain, alive = np.asarray(seen.advantages), np.asarray(seen.alive) > 0
    assert np.all(gain[~alive] == 0)
    assert abs(gain[alive].mean()) < 1e-4
    assert abs(gain[alive].std() - 1) < 1e-3


def test_the_surrogate_has_the_policy_gradient_and_clips(x64):
    params = {"mean": {"bias": jnp.array([0.01, 0.0]), "slope": jnp.asarray(-0.3)}, "log_std": jnp.full(2, -1.0)}
    seen = navigation.rollout(still, params, GOAL.astype(float), jax.random.key(0), runs=5, horizon=8)
    plain, clipped = navigation.surrogate(still), navigation.surrogate(still, 0.2)

    def direct(p):
        now = navigation.log_prob(still, p, seen.positions, seen.goals, seen.actions)
        return -jnp.sum(now * seen.advantages * seen.alive) / jnp.sum(seen.alive)

    close = lambda a, b: jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9), a, b)
    values = (direct, *(lambda p, loss=loss: loss(p, seen, None)[0] for loss in (plain, clipped)))
    run = jax.jit(lambda p: [jax.value_and_grad(value)(p) for value in values])
    (_, exact), (_, grad), (_, of_clipped) = run(params)
    close(grad, exact)
    close(of_clipped, grad)
    far = {**params, "mean": {**params["mean"], "bias": jnp.array([5.0, 5.0])}}
    _, (loss, _), (loss_of_clipped, _) = run(far)
    assert float(loss_of_clipped) >= float(loss) - 1e-12


@pytest.mark.slow
def test_maml_learns_to_navigate_through_the_same_core():
    """A linear policy whose adapted return must rise over a few updates, by the learner that any method gives."""
    policy = lambda p, position, goal: p["bias"] + position * p["slope"]
    method = fewshot.maml(
        navigation.surrogate(policy), optax.sgd(0.1), optax.adam(0.03), query_loss=navigation.surrogate(policy, 0.2)
    )
    start = {"mean": {"bias": jnp.zeros(2), "slope": jnp.zeros(())}, "log_std": jnp.full(2, -1.0)}
    learner = navigation.reinforced(method, policy, runs=10, horizon=30, epochs=3)
    state = learner.init(jax.random.key(0), start)
    step = lambda s, k: learner.update(s, navigation.goals(k, 8))
    state, info = jax.jit(lambda s: jax.lax.scan(step, s, jax.random.split(jax.random.key(1), 30)))(state)
    assert int(state.step) == 30
    assert all(np.all(np.isfinite(v)) for v in info.values())
    assert info["return"][-5:].mean() > info["return"][:5].mean()
    goals = navigation.goals(jax.random.key(2), 10)
    by_step = navigation.returns_by_step([method] * 2, policy, state.hyper, goals, jax.random.key(3), 10)
    assert by_step.shape == (10, 3)
