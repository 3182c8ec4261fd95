"""The contract of every few-shot method: the recipes of ``fewshot.METHODS`` as they are built, and variants of their parts.

A new method joins by the line of its file in ``metajax/fewshot/_recipes.py``. All checks of a method share the programs
that are compiled for it (``testing.FewShotContract``), so every method is in the default tests.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from plain import dense, normed, scaled

from metajax import fewshot, nn, testing
from metajax.fewshot._recipes import FILES
from metajax.types import InputError

WAYS, TASKS, FEATURES, WIDTH, CLASSES = 3, 4, 6, 8, 10
LEARNING_STEPS = 200
OUTER = optax.sgd(0.1, momentum=0.5)


def body(*, flatten, context):
    """A layer with a scale, as batch norms have it, which takes the context as further inputs."""
    model = scaled(dense(FEATURES + context, WIDTH), jnp.tanh)
    join = lambda x, more: nn.with_context(x, *more) if more else x
    return nn.Functional(model.init, lambda params, x, *more: model.apply(params, join(x, more)))


def head(outputs):
    return dense(WIDTH, outputs)


def recipe(name, **settings):
    return dataclasses.replace(fewshot.METHODS[name].for_ways(WAYS), **settings)


def build(chosen):
    """Gradient descent for the outer steps: Adam makes whole steps of rounding errors where a gradient is zero."""
    outer = None if "batch" in chosen.options else OUTER  # Reptile has its own
    example = np.zeros((1, FEATURES), np.float32)
    return chosen.build(
        normed_body if chosen.batch_norm == "running" else body,
        head,
        steps=LEARNING_STEPS,
        classes=CLASSES,
        example=example,
        outer_optimizer=outer,
    )


def normed_body(*, flatten, context):
    return normed(dense(FEATURES, WIDTH, jnp.tanh))


_PLUS = functools.partial(recipe, "maml++", inner_steps=2)
_SMALLER = {name: {"inner_rate": 0.1, "inner_steps": 2} for name in ("maml", "fomaml", "anil", "boil", "meta-sgd")}
_SMALLER["cavia"] = {"inner_steps": 2, "options": {"size": 4}}
RECIPES = {name: recipe(name, **_SMALLER.get(name, {})) for name in fewshot.METHODS} | {
    "maml, two chunks and still norms": recipe("maml", **_SMALLER["maml"], chunk=2, adapt_norms=False),
    "maml++, multi-step alone": _PLUS(options={"multi_step_until": 3, "learned_rates": False, "per_step": None}),
    "maml++, rates alone": _PLUS(options={"multi_step_until": 0, "per_step": None}),
    "maml++, norms alone": _PLUS(options={"multi_step_until": 0, "learned_rates": False}),
    "maml++, annealed": _PLUS(options={"multi_step_until": 3, "first_order_until": 2}),
    "protonet, cosine": recipe("protonet", options={"distance": "cosine"}, chunk=2),
    "protonet, running": recipe("protonet", batch_norm="running"),
    "r2d2, running": recipe("r2d2", batch_norm="running"),
}


@functools.cache
def points():
    """Ten classes of twelve noisy points."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(CLASSES, 1, FEATURES))
    return (centers + 0.3 * rng.normal(size=(CLASSES, 12, FEATURES))).astype(np.float32)


@functools.cache
def one_task():
    return fewshot.episodes.classes(points(), WAYS, shots=2, queries=4)


@functools.cache
def sampler(family):
    """Compiled once for all methods that take the same batches."""
    if family == "pretraining":
        return jax.jit(fewshot.episodes.examples(points(), 16))
    return jax.jit(fewshot.episodes.tasks(one_task(), TASKS))


@functools.cache
def learning_batches(family):
    """The batches that every method of a family learns from."""
    draw, keys = sampler(family), jax.random.split(jax.random.key(7), LEARNING_STEPS)
    return [draw(key) for key in keys]


@pytest.fixture(scope="module", params=RECIPES)
def contract(request, own_programs):
    """A method and its compiled programs, for all tests of it."""
    chosen = RECIPES[request.param]
    return testing.FewShotContract(build(chosen), one_task(), batches=sampler(chosen.family), episodes=200)


# Without jit an update is a thousand programs of one operation each. One method that adapts and one that
# solves its task are in the default tests.
EAGER = ("fomaml", "protonet")
WITHOUT_JIT = testing.FewShotContract.check_without_jit


@pytest.mark.parametrize("check", [check for check in testing.FewShotContract.CHECKS if check is not WITHOUT_JIT])
def test_contract(contract, check):
    check(contract)


@pytest.mark.parametrize(
    "contract", [pytest.param(n, marks=[] if n in EAGER else [pytest.mark.slow]) for n in RECIPES], indirect=True
)
def test_updates_without_jit(contract):
    contract.check_without_jit()


def test_every_method_learns(contract, request):
    """Two hundred steps on ten classes must beat the initial network on the same tasks."""
    before, state = contract.judge(contract.start.hyper).mean[-1], contract.start
    for batch in learning_batches(RECIPES[request.node.callspec.params["contract"]].family):
        state, _ = contract.update(state, batch)
    assert contract.judge(state.hyper).mean[-1] > min(before + 0.05, 0.97)


class Impure:
    """Methods that break the contract, each in one way."""

    def __init__(self, breaks):
        self.count = 0
        self.method = fewshot.protonet(lambda params, x: x @ params, optax.sgd(0.1))
        self.breaks = breaks

    def update(self, state, episodes):
        self.count += 1
        moved, info = self.method.update(state, episodes)
        if self.breaks == "counts":
            moved = moved._replace(hyper=moved.hyper * (1.0 + 0.1 * self.count))
        if self.breaks == "looks":
            concrete = not isinstance(state.hyper, jax.core.Tracer)
            moved = moved._replace(hyper=moved.hyper + 1.0 if concrete else moved.hyper)
        if self.breaks == "forgets":
            moved = moved._replace(hyper=state.hyper)
        return moved, info


@pytest.mark.parametrize(
    ("breaks", "check", "message"),
    [
        ("counts", testing.FewShotContract.check_purity, "it is not pure"),
        ("looks", WITHOUT_JIT, "without jit the update computes"),
        ("forgets", testing.FewShotContract.check_steps, "nothing was learned"),
    ],
)
def test_the_contract_notices_what_is_wrong(breaks, check, message):
    impure = Impure(breaks)
    method = impure.method._replace(update=impure.update)
    init_params = lambda key: jax.random.normal(key, (FEATURES, FEATURES))
    with pytest.raises(AssertionError, match=message):
        check(testing.FewShotContract(method, one_task(), init_params, batches=sampler("episodes")))


def test_a_method_of_parts_has_no_initial_parameters():
    method = fewshot.protonet(lambda params, x: x, optax.sgd(0.1))
    with pytest.raises(InputError, match="init_params: this method has no initial parameters"):
        method.init_params(jax.random.key(0))
    built = build(recipe("protonet"))
    first, again = (built.init(jax.random.key(0)).hyper["layer"]["kernel"] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(
    ("name", "settings", "arguments", "message"),
    [
        ("maml", {}, {"steps": 0}, "steps must be an integer >= 1, got 0"),
        ("maml", {}, {"steps": 5, "head": None}, "head must be a Functional"),
        ("linear-probe", {}, {"steps": 5}, "classes must be the number of training classes"),
        ("maml", {"batch_norm": "running"}, {"steps": 5}, "this method has no running statistics"),
        ("protonet", {"batch_norm": "running"}, {"steps": 5}, "example must be .* with batch_norm='running'"),
    ],
)
def test_what_a_recipe_needs_is_named(name, settings, arguments, message):
    with pytest.raises(InputError, match=message):
        recipe(name, **settings).build(body, **{"head": head, **arguments})


def test_every_file_with_recipes_is_in_the_table():
    files = Path(fewshot.__file__).parent.glob("_*.py")
    assert {file.stem for file in files if "\nRECIPES = {" in file.read_text()} == set(FILES)


def test_recipes_depend_on_the_number_of_ways():
    settings = lambda name, ways: fewshot.METHODS[name].for_ways(ways)
    few, many = settings("maml", 10), settings("maml", 20)
    assert (few.inner_rate, few.inner_steps, few.test_steps, few.train_ways) == (0.4, 1, 3, 10)
    assert (many.inner_rate, many.inner_steps, many.test_steps, many.train_ways) == (0.4, 5, 5, 20)
    assert settings("protonet", 5).train_ways == 20
    assert [settings("reptile", ways).options["batch"] for ways in (5, 20)] == [10, 20]
    with pytest.raises(InputError, match="ways=1 must be an integer >= 2"):
        settings("maml", 1)


def test_the_head_may_be_a_network_and_normalizes_by_the_support():
    points_body = normed(dense(FEATURES, WIDTH, jnp.tanh))
    method = recipe("protonet", batch_norm="support").build(points_body, steps=10)
    task = fewshot.episodes.with_support(one_task())
    state, info = jax.jit(method.update)(
        method.init(jax.random.key(0)), fewshot.episodes.tasks(task, 2)(jax.random.key(1))
    )
    assert np.isfinite(info["outer_loss"]) and int(state.step) == 1


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=r"method must be one of maml, .*protonet.*, got 'mamll'"):
        fewshot.METHODS["mamll"]
    assert "mamll" not in fewshot.METHODS and fewshot.METHODS.get("mamll") is None
