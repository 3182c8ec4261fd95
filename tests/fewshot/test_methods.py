"""The contract that every few-shot method inherits. A new method joins by one line in ``METHODS``."""

import functools

import contract
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


def case(name):
    return *METHODS[name], batches(name)


@pytest.mark.parametrize("name", METHODS)
def test_contract_one_compilation_adapts_and_stays_finite_on_a_blank_task(name):
    method, init, sampler = case(name)
    state = contract.compiles_once_and_stays_finite(method, init, sampler)
    contract.evaluates(method, state.hyper, one_task(), "accuracy")


@EACH
def test_contract_jit_and_scan(name):
    contract.jit_and_scan_change_nothing(*case(name))


@EACH
def test_contract_vmap_over_seeds(name):
    contract.vmaps_over_seeds(*case(name))


@EACH
def test_contract_resume_is_bit_exact(name):
    contract.resumes_to_the_same_bits(*case(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns(name):
    """Two hundred steps on ten classes must beat the initial network on the same tasks."""
    method, init, sampler = case(name)
    state = contract.start_of(method, init)
    score = lambda hyper: fewshot.evaluate(method, hyper, one_task(), "accuracy", jax.random.key(6), 200).mean[-1]
    before = score(state.hyper)
    state = run.train(method.learner, state, sampler, 200, chunk=200, show=False)
    assert score(state.hyper) > min(before + 0.05, 0.97)
