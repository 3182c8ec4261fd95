"""Every hypergradient estimator and every SuperNet method makes the numbers that it made when they were recorded.

The numbers are those of one step on a tiny problem, in float64 and with a fixed key. They guard against silent changes: they
say that something changed, and not what is right, which other tests say. Where a change is on purpose, record them again:

    python tests/test_golden_values.py > tests/golden_values.json
"""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import bilevel, fewshot, supernet
from metajax.nn import Functional
from metajax.space import Categorical, Space

RECORDED = Path(__file__).with_name("golden_values.json")
DESCENT = {
    "unroll": bilevel.unroll(),
    "unroll, truncated": bilevel.unroll(truncate=2),
    "forward": bilevel.forward(),
    "first_order": bilevel.first_order(),
    "finite_difference": bilevel.finite_difference(),
    "evolution": bilevel.evolution(4),
    "evolution, persistent": bilevel.evolution(4, persistent=True),
    "weights_only": bilevel.weights_only(),
}
IMPLICIT = {
    "implicit, cg": bilevel.implicit("cg", damping=1.0),
    "implicit, neumann": bilevel.implicit("neumann", iterations=3),
    "implicit, identity": bilevel.implicit("identity", step_size=0.1),
}
BATCHED = {
    "batched": bilevel.batched(bilevel.unroll()),
    "batched, in chunks": bilevel.batched(bilevel.first_order(), chunk=1),
}
ESTIMATORS = {**DESCENT, **IMPLICIT, **BATCHED, "through_solution": bilevel.through_solution()}

SPACE = Space({name: Categorical(("none", "skip", "conv1x1")) for name in ("edge_0_1", "edge_0_2", "edge_1_2")})
SEARCH_STEPS = 4
SEARCH_STEP = 1  # past the warm-up of nearly every method, and where a method that prunes does so
LOGS_EIGENVALUE = (
    "darts-1",
    "darts-2",
    "r-darts-l2",
    "s-darts-random",
    "s-darts-adversarial",
    "beta-darts",
    "darts-minus",
)
"""Methods whose one event only logs, and is left out here to save time; ``r-darts-stop`` has it."""
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options of the compiler: nearly all of the time is compiling."""


def fingerprint(tree):
    """One number that depends on every entry of a tree and on its place."""
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
    return float(flat @ np.cos(np.arange(len(flat))))


def numbers(**entries):
    return {name: fingerprint(tree) for name, tree in entries.items()}


def estimate(name):
    """One hypergradient in a decay and, where the estimator can, in the learning rate and the initialization."""
    rng, learns_all = np.random.default_rng(0), name not in IMPLICIT
    lead, tasks = ((3, 2), (2,)) if name in BATCHED else ((3,), ())
    inner_batches = rng.normal(size=(*lead, 5, 3)), rng.normal(size=(*lead, 5))
    outer_batch = rng.normal(size=(*tasks, 5, 3)), rng.normal(size=(*tasks, 5))
    w = rng.normal(size=3)
    hyper = {"decay": np.array(-1.0)} | ({"rate": np.array(-1.5), "init": w} if learns_all else {})

    def outer_loss(h, w, batch, key):
        x, y = batch
        noise = 0.1 * jax.random.normal(key, y.shape, y.dtype)
        return jnp.mean((jnp.tanh(x @ w) - y + noise) ** 2), {"size": jnp.sum(w**2)}

    def inner_loss(h, w, batch, key):
        loss, info = outer_loss(h, w, batch, key)
        return loss + jnp.exp(h["decay"]) * jnp.sum(w**2), info

    def solve(h, batch, key):
        x, y = batch
        return jnp.linalg.solve(x.T @ x + jnp.exp(h["decay"]) * jnp.eye(3), x.T @ y)

    descent = bilevel.Inner.descent(
        inner_loss,
        lambda h, key: h.get("init", jnp.asarray(w)),
        lambda h: optax.sgd(jnp.exp(h.get("rate", -1.5)), momentum=0.9),
    )
    inner = bilevel.Inner.solution(solve) if name == "through_solution" else descent
    fn = ESTIMATORS[name](bilevel.Problem(inner, outer_loss))
    result = jax.jit(fn, compiler_options=QUICK)(hyper, None, inner_batches, outer_batch, jax.random.key(0))
    end = result.end.main if name == "evolution, persistent" else result.end
    return numbers(value=result.value, grad=result.grad, end=end.params, info=dict(result.info))


def network(partial, single_path):
    """Three nodes, a matrix for every edge whose value is a product, and no head."""

    def init(key):
        return jax.random.normal(key, (3, 3, 3))

    def apply(params, x, encoding, wide=None):
        _, skip, product = encoding.reshape(3, 3).T
        edge = lambda i, x: skip[i] * x + product[i] * jnp.tanh(x @ params[i])
        return edge(1, x) + edge(2, edge(0, x))

    return Functional(init, apply)


def search(name):
    """One step of a method, in the middle of a search."""
    method = supernet.METHODS[name].recipe(SPACE)
    method = dataclasses.replace(method, events=()) if name in LOGS_EIGENVALUE else method
    built = method.build(SPACE, network, fewshot.cross_entropy, steps=SEARCH_STEPS, steps_per_epoch=1)
    rng = np.random.default_rng(0)
    part = lambda *lead: (rng.normal(size=(*lead, 6, 3)), rng.integers(0, 3, (*lead, 6)))
    state = built.init(jax.random.key(0))
    state = state._replace(bilevel=state.bilevel._replace(step=np.full((), SEARCH_STEP, np.int32)))
    with jax.numpy_dtype_promotion("standard"):  # a search keeps some float32 beside float64
        state, info = jax.jit(built.update, compiler_options=QUICK)(state, (part(method.inner_steps), part(), part()))
    learned = numbers(logits=state.logits, params=state.params, mask=state.mask)
    return {name: float(value) for name, value in sorted(info.items())} | learned


def record():
    """All numbers, as the file holds them."""
    with jax.enable_x64(True):
        return {
            "estimators": {name: estimate(name) for name in ESTIMATORS},
            "methods": {name: search(name) for name in supernet.METHODS},
        }


def test_every_estimator_and_method_is_recorded():
    recorded = json.loads(RECORDED.read_text())
    assert set(recorded["methods"]) == set(supernet.METHODS)
    assert set(recorded["estimators"]) == set(ESTIMATORS)
    others = {"learner", "supervised", "trajectory"}
    functions = {n for n in bilevel.__all__ if n.islower()} - others
    assert functions == {name.split(",")[0] for name in ESTIMATORS}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_makes_the_recorded_numbers(name, x64):
    assert estimate(name) == pytest.approx(json.loads(RECORDED.read_text())["estimators"][name], rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("name", supernet.METHODS)
def test_a_method_makes_the_recorded_numbers(name, x64):
    # the logits of a search are float32
    assert search(name) == pytest.approx(json.loads(RECORDED.read_text())["methods"][name], rel=1e-5, abs=1e-7)


if __name__ == "__main__":
    print(json.dumps(record(), indent=1))
