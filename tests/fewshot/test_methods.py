"""The contract that every few-shot method inherits. A new method joins by one line in ``METHODS``.

All checks of a method share the programs that are compiled for it (``contract.Case``), so every method is in the default tests.
"""

import functools

import contract
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from plain import dense, normed

from metajax import bilevel, fewshot, nn

WAYS, TASKS, FEATURES = 3, 4, 6


BODY, HEAD, MANY = dense(FEATURES, 8, jnp.tanh), dense(8, WAYS), dense(8, 10)
WHOLE = nn.chain(BODY, HEAD)
CONTEXT = nn.chain(dense(FEATURES + 4, 8, jnp.tanh), HEAD)
RUNNING = nn.running(normed(BODY), np.zeros((1, FEATURES), np.float32))
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
    "protonet_running": (fewshot.protonet(RUNNING, OUTER), BODY.init),
    "r2d2_running": (fewshot.r2d2(RUNNING, OUTER), BODY.init),
    "r2d2": (fewshot.r2d2(BODY.apply, OUTER), BODY.init),
    "metaoptnet_ridge": (fewshot.metaoptnet_ridge(BODY.apply, OUTER, l2=1.0), BODY.init),
    "metaoptnet_svm": (fewshot.metaoptnet(BODY.apply, OUTER), BODY.init),
    "nearest_centroid": (fewshot.baselines.nearest_centroid(BODY.apply, MANY.apply, OUTER), nn.chain(BODY, MANY).init),
    "linear_probe": (
        fewshot.baselines.linear_probe(BODY.apply, MANY.apply, OUTER, test_steps=5),
        nn.chain(BODY, MANY).init,
    ),
}
BASELINES = ("nearest_centroid", "linear_probe")
LEARNING_STEPS = 200


@functools.cache
def points():
    """Ten classes of twelve noisy points."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(10, 1, FEATURES))
    return (centers + 0.3 * rng.normal(size=(10, 12, FEATURES))).astype(np.float32)


@functools.cache
def one_task():
    return fewshot.episodes.classes(points(), WAYS, shots=2, queries=4)


@functools.cache
def sampler(baseline):
    """Compiled once for all methods that take the same batches."""
    return jax.jit(fewshot.episodes.examples(points(), 16) if baseline else fewshot.episodes.tasks(one_task(), TASKS))


@pytest.fixture(scope="module", params=METHODS)
def case(request, own_programs):
    """A method and its compiled programs, for all tests of it."""
    name = request.param
    return contract.case(*METHODS[name], sampler(name in BASELINES), one_task(), episodes=200)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(case, check):
    check(case)


def test_every_method_learns(case, request):
    """Two hundred steps on ten classes must beat the initial network on the same tasks."""
    draw = sampler(request.node.callspec.params["case"] in BASELINES)
    before, state = case.judge(case.start.hyper).mean[-1], case.start
    for step in range(LEARNING_STEPS):
        state, _ = case.update(state, draw(jax.random.fold_in(jax.random.key(7), step)))
    assert case.judge(state.hyper).mean[-1] > min(before + 0.05, 0.97)
