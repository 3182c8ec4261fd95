"""What would go wrong silently, or in a tracer's words, is said in a sentence."""

import warnings

import jax
import jax.numpy as jnp
import optax
import pytest

from metajax import bilevel, hpo
from metajax.types import InputError

SINGULAR = {
    "adam": lambda h: optax.adam(h),
    "adamw": lambda h: optax.adamw(h),
    "clip_by_global_norm": lambda h: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(h)),
    "adaptive_grad_clip": lambda h: optax.chain(optax.adaptive_grad_clip(0.1), optax.sgd(h)),
    "normalize_by_update_norm": lambda h: optax.chain(optax.normalize_by_update_norm(), optax.sgd(h)),
}
SMOOTH = {
    "sgd": lambda h: optax.sgd(h),
    "momentum": lambda h: optax.sgd(h, 0.9, nesterov=True),
    "adam with eps_root": lambda h: optax.adam(h, eps_root=1e-8),
    "hpo.adam": lambda h: hpo.adam(h),
    "clip": lambda h: optax.chain(optax.clip(1.0), optax.sgd(h)),
}
ESTIMATORS = {
    "unroll": bilevel.unroll(),
    "forward": bilevel.forward(),
    "finite_difference": bilevel.finite_difference(),
    "implicit": bilevel.implicit(),
    "first_order": bilevel.first_order(),
    "evolution": bilevel.evolution(),
}


def corner(h, w, batch, key):
    """A unit that is off, and one that is on."""
    return jnp.sum(jnp.square(jax.nn.relu(w["a"] - 2.0) + w["b"])), {}


def problem(optimizer, inner_loss=corner, outer_loss=corner):
    weights = {"a": jnp.ones((3, 2)), "b": jnp.ones(())}
    return bilevel.Problem(bilevel.Inner.descent(inner_loss, lambda h, key: weights, optimizer), outer_loss)


def estimate(estimator, problem):
    return estimator(problem)(jnp.asarray(0.1), None, jnp.zeros(2), jnp.zeros(()), jax.random.key(0))


@pytest.mark.parametrize("estimator", ["unroll", "forward", "finite_difference"])
@pytest.mark.parametrize("name", SINGULAR)
def test_an_optimizer_without_a_derivative_at_zero_is_named(name, estimator):
    with pytest.warns(UserWarning, match="NaN where a gradient is zero.*eps_root=1e-8.*optax.clip"):
        estimate(ESTIMATORS[estimator], problem(SINGULAR[name]))


def test_the_warning_is_right():
    """Adam without eps_root has a hypergradient of NaN, with it a number: some weights begin at their minimum."""
    bowl = lambda h, w, batch, key: (jnp.sum((w["a"] - 1.0) ** 2) + w["b"] ** 2, {})
    total = lambda h, w, batch, key: (jnp.sum(w["a"]) + w["b"], {})
    hypergradient = lambda optimizer: estimate(bilevel.unroll(), problem(optimizer, bowl, total)).grad
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert jnp.isnan(hypergradient(SINGULAR["adam"]))
    assert jnp.isfinite(hypergradient(SMOOTH["adam with eps_root"]))


@pytest.mark.parametrize("name", SMOOTH)
def test_no_other_optimizer_is_named(name):
    """Warnings are errors here."""
    for estimator in ("unroll", "forward", "finite_difference"):
        assert jnp.isfinite(estimate(ESTIMATORS[estimator], problem(SMOOTH[name])).grad)


def test_an_optimizer_that_needs_the_true_shapes_is_left_alone():
    rates = jnp.full((3, 2), 0.1)

    def optimizer(h):
        def update(grads, state, params):
            return {"a": -h * jnp.linalg.norm(rates) * grads["a"].reshape(3, 2), "b": -h * grads["b"]}, state

        return optax.GradientTransformation(lambda params: (), update)

    assert jnp.isfinite(estimate(bilevel.unroll(), problem(optimizer)).grad)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("where", ["inner", "outer"])
def test_a_loss_without_info_is_named(name, where):
    bare = lambda h, w, batch, key: corner(h, w, batch, key)[0]
    wrong = problem(SMOOTH["sgd"], **{f"{where}_loss": bare})
    with pytest.raises(
        InputError, match=rf"the {where} loss must return \(loss, info\), .*, but returned an array of shape \(\)"
    ):
        estimate(ESTIMATORS[name], wrong)


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (lambda w: (w, w), "a pair whose second part is a"),
        (lambda w: (w, {}, {}), "a tuple of 3"),
        (lambda w: None, "a NoneType"),
        (lambda w: w, r"an array of shape \(\)"),
    ],
)
def test_a_supervised_loss_without_info_is_named(out, said):
    learner = bilevel.supervised(lambda key: jnp.zeros(()), lambda w, batch, key: out(w), optax.sgd(0.1))
    state = learner.init(jax.random.key(0))
    for update in (learner.update, jax.jit(learner.update)):
        with pytest.raises(
            InputError, match=rf"loss_fn must return .* such as `return loss, {{}}`, but returned {said}"
        ):
            update(state, jnp.ones(3))


def test_a_solution_is_judged_by_a_loss_with_info():
    inner = bilevel.Inner.solution(lambda h, batch, key: h * jnp.mean(batch))
    bare = bilevel.Problem(inner, lambda h, w, batch, key: w**2)
    with pytest.raises(InputError, match=r"the outer loss must return .* but returned an array"):
        bilevel.through_solution()(bare)(jnp.ones(()), None, jnp.ones((1, 4)), (), jax.random.key(0))
