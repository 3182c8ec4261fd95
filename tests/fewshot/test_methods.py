"""The contract that every few-shot method inherits. A new method joins by one line in ``METHODS``."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from metajax import bilevel, fewshot, nn, run

WAYS, TASKS = 3, 4
BODY = nn.functional(lambda rngs: nn.MLP(6, (8,), 8, jnp.tanh, rngs=rngs))
HEAD = nn.functional(lambda rngs: nnx.Linear(8, WAYS, rngs=rngs))
WHOLE = nn.chain(BODY, HEAD)
MANY = nn.functional(lambda rngs: nnx.Linear(8, 10, rngs=rngs))
CONTEXT = nn.functional(lambda rngs: nn.MLP(6 + 4, (8,), WAYS, jnp.tanh, rngs=rngs))
LOSS, HEAD_LOSS = fewshot.cross_entropy(WHOLE.apply), fewshot.cross_entropy(HEAD.apply)
CONTEXT_LOSS = fewshot.cross_entropy(lambda p, x: CONTEXT.apply(p["params"], nn.with_context(x, p["context"])))
SGD, OUTER = optax.sgd(0.1), optax.sgd(0.1, momentum=0.5)
PLUS = functools.partial(fewshot.maml_plus_plus, LOSS, 0.1, OUTER, 2)

# name -> (method, initial parameters)
METHODS = {
    "maml": (fewshot.maml(LOSS, SGD, OUTER, 2, 3), WHOLE.init),
    "maml_chunked": (fewshot.maml(LOSS, SGD, OUTER, 2, 3, chunk=2), WHOLE.init),
    "first_order_maml": (fewshot.maml(LOSS, SGD, OUTER, 2, 3, bilevel.first_order()), WHOLE.init),
    "reptile": (fewshot.reptile(LOSS, SGD, optax.sgd(0.5), 3, batch=4), WHOLE.init),
    "anil": (fewshot.anil(BODY.apply, HEAD_LOSS, SGD, OUTER, 2, 3), WHOLE.init),
    "boil": (fewshot.boil(LOSS, SGD, OUTER, 2, 3), WHOLE.init),
    "meta_sgd": (fewshot.meta_sgd(LOSS, 0.1, OUTER, 2, 3), WHOLE.init),
    "maml++": (PLUS(multi_step_until=3, first_order_until=1, per_step=lambda p: "bias" in p), WHOLE.init),
    "maml++_multi_step": (PLUS(multi_step_until=3, learned_rates=False), WHOLE.init),
    "maml++_rates": (PLUS(), WHOLE.init),
    "maml++_per_step": (PLUS(learned_rates=False, per_step=lambda p: "bias" in p), WHOLE.init),
    "maml++_annealed": (PLUS(learned_rates=False, first_order_until=2), WHOLE.init),
    "imaml": (fewshot.imaml(LOSS, SGD, OUTER, 2.0, 5), WHOLE.init),
    "cavia": (fewshot.cavia(CONTEXT_LOSS, 4, optax.sgd(1.0), OUTER, 2, 3), CONTEXT.init),
    "protonet": (fewshot.protonet(BODY.apply, OUTER), BODY.init),
    "protonet_cosine": (fewshot.protonet(BODY.apply, OUTER, "cosine", chunk=2), BODY.init),
    "r2d2": (fewshot.r2d2(BODY.apply, OUTER), BODY.init),
    "metaoptnet_ridge": (fewshot.metaoptnet_ridge(BODY.apply, OUTER, l2=1.0), BODY.init),
    "metaoptnet_svm": (fewshot.metaoptnet(BODY.apply, OUTER), BODY.init),
    "nearest_centroid": (fewshot.nearest_centroid(BODY.apply, MANY.apply, OUTER), nn.chain(BODY, MANY).init),
    "linear_probe": (fewshot.linear_probe(BODY.apply, MANY.apply, OUTER, test_steps=5), nn.chain(BODY, MANY).init),
}
# the rest of the contract is run for these by default, for the others with -m slow
SHOWN = ("maml++",)
EACH = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in SHOWN else [pytest.mark.slow]) for n in METHODS]
)
BASELINES = ("nearest_centroid", "linear_probe")


@functools.cache
def points():
    """Ten classes of twelve noisy points in six dimensions."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 1, 6))
    return (centres + 0.3 * rng.normal(size=(10, 12, 6))).astype(np.float32)


def one_task():
    return fewshot.classes(points(), WAYS, shots=2, queries=4)


def batches(name):
    return fewshot.examples(points(), 16) if name in BASELINES else fewshot.tasks(one_task(), TASKS)


def begin(name):
    method, init = METHODS[name]
    return method, method.init(jax.random.key(0), init(jax.random.key(1)))


def floats(tree):
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]


def close(a, b, rtol=1e-4, atol=1e-5):
    for x, y in zip(floats(a), floats(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", METHODS)
def test_contract_one_compilation_adapts_and_stays_finite_on_a_blank_task(name):
    method, start = begin(name)
    sample, update = batches(name), jax.jit(method.update)
    state, _ = update(start, sample(jax.random.key(0)))
    state, info = update(state, sample(jax.random.key(1)))
    assert int(state.step) == 2
    assert all(np.isfinite(v) for v in info.values())
    kinds = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert kinds(state) == kinds(start)
    assert any(np.any(x != y) for x, y in zip(floats(start.hyper), floats(state.hyper))), "something is learned"
    blank = jax.tree.map(jnp.zeros_like, sample(jax.random.key(0)))
    after, info = update(state, blank)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in floats((after, info)))
    assert update._cache_size() == 1, "one compilation serves all steps"
    report = fewshot.evaluate(method, state.hyper, one_task(), "accuracy", jax.random.key(6), 40, chunk=20)
    assert report.mean.shape == (method.test_steps + 1,)
    assert np.all(np.isfinite(report.mean)) and not report.diverged


@EACH
def test_contract_jit_and_scan(name):
    method, start = begin(name)
    draws = [batches(name)(jax.random.key(t)) for t in range(4)]
    update, state = jax.jit(method.update), start
    for draw in draws:
        state, _ = update(state, draw)
    plain, _ = method.update(start, draws[0])
    close(plain.hyper, update(start, draws[0])[0].hyper, rtol=2e-3, atol=2e-4)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *draws)
    scanned, _ = jax.jit(lambda s: jax.lax.scan(method.update, s, stacked))(start)
    close(scanned.hyper, state.hyper, rtol=2e-3, atol=2e-4)


@EACH
def test_contract_vmap_over_seeds(name):
    method, _ = begin(name)
    _, init = METHODS[name]
    keys, draw = jax.random.split(jax.random.key(5), 2), batches(name)(jax.random.key(2))
    step = lambda key: method.update(method.init(key, init(key)), draw)[0].hyper
    many = jax.jit(jax.vmap(step))(keys)
    close(jax.tree.map(lambda x: x[1], many), jax.jit(step)(keys[1]), rtol=2e-3, atol=2e-4)


@EACH
def test_contract_resume_is_bit_exact(name, tmp_path):
    method, start = begin(name)
    train = functools.partial(run.train, method.learner, start, batches(name), chunk=2, show=False)
    whole = train(4)
    with run.RunDirectory(tmp_path / "r", {}) as directory:
        train(2, directory)
    with run.RunDirectory(tmp_path / "r", {}, resume=True) as directory:
        resumed = train(4, directory)
    for a, b in zip(floats(whole), floats(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


@EACH
def test_every_method_learns(name):
    """Two hundred steps on ten classes must beat the initial network on the same tasks."""
    method, state = begin(name)
    score = lambda hyper: fewshot.evaluate(method, hyper, one_task(), "accuracy", jax.random.key(6), 200).mean[-1]
    before = score(state.hyper)
    state = run.train(method.learner, state, batches(name), 200, chunk=200, show=False)
    assert score(state.hyper) > min(before + 0.05, 0.97)
