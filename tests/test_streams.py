"""Randomness: no key is used for two purposes, in any learner.

Every use of a key is recorded as the program runs: a draw, a split, a fold with a count. A key that is used at two places of
the program serves two purposes, whichever way it came there. A named stream of a key does not use it up.
"""

import inspect
import itertools
import sys
from collections import defaultdict
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import bilevel, fewshot, hpo, predictor, run, search, supernet, types
from metajax.automl import _population as population
from metajax.automl._space import tabular_space
from metajax.fewshot import navigation
from metajax.nn import Functional
from metajax.space import Categorical, Float, Space
from metajax.supernet import relaxations

OWN = (str(Path(__file__).parents[1] / "metajax"), __file__)
SKIPPED = (types.__file__,)


def source_line() -> str:
    """The innermost line of the project, or of a test, that is being run."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(OWN) and file not in SKIPPED and frame.f_code.co_name != "watched":
            return f"{Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


def record(save, data):
    """Calls ``save`` with the data whenever they are computed: in a vmap once with all of them, not once for each."""

    @jax.custom_batching.custom_vmap
    def call(data):
        jax.debug.callback(save, data)
        return ()

    @call.def_vmap
    def call_with_all(axis_size, in_batched, data):
        record(save, data)
        return (), ()

    call(data)


@pytest.fixture
def used(monkeypatch):
    """Source line -> the data of the keys that it used; it fills while programs run that are compiled in the test."""
    places = defaultdict(list)

    def watch(name, function):
        def watched(key, *args, **kwargs):
            counts = name == "fold_in" and isinstance(args[0], int) and args[0] >= 2**31
            if not counts and isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
                place = source_line()
                save = lambda data: places[place].append(np.array(data).reshape(-1, data.shape[-1]))
                record(save, jax.random.key_data(key))
            return function(key, *args, **kwargs)

        return watched

    for name, function in inspect.getmembers(jax.random, callable):
        if next(iter(inspect.signature(function).parameters), "") == "key" and name not in ("key_data", "clone"):
            monkeypatch.setattr(jax.random, name, watch(name, function))
    return places


def alone(used, at_least=3):
    """Every key was used at one place."""
    jax.effects_barrier()
    at = {
        place: {tuple(key) for key in np.unique(np.concatenate(seen), axis=0).tolist()} for place, seen in used.items()
    }
    shared = [(a, b) for a, b in itertools.combinations(sorted(at), 2) if at[a] & at[b]]
    assert not shared, f"keys are used at several places, among them {shared[:5]}"
    assert len(set().union(*at.values())) >= at_least, "nothing was recorded"


def draw(key):
    return jax.random.normal(key)


def noisy(curvature):
    """A loss that draws from its key."""

    def loss(hyper, params, batch, key):
        noise = jax.random.normal(key)
        return 0.5 * curvature * jnp.sum((params - hyper - batch) ** 2) + 0.0 * noise, {}

    return loss


def judge(hyper, params, batch, key):
    return jnp.sum((params - batch) ** 2) + 0.0 * jax.random.normal(key), {}


PROBLEM = bilevel.Problem(
    bilevel.Inner.descent(noisy(0.5), lambda h, key: h + jax.random.normal(key, (2,)), lambda h: optax.sgd(0.1)), judge
)
ESTIMATORS = {
    "unroll": bilevel.unroll(),
    "truncated": bilevel.unroll(truncate=1),
    "forward": bilevel.forward(),
    "first_order": bilevel.first_order(),
    "finite_difference": bilevel.finite_difference(),
    "neumann": bilevel.implicit("neumann"),
    "identity": bilevel.implicit("identity"),
    "evolution": bilevel.evolution(4),
    "persistent": bilevel.evolution(4, persistent=True),
    "weights_only": bilevel.weights_only(),
    "batched": bilevel.batched(bilevel.unroll()),
}


@pytest.mark.parametrize(("name", "warm_start"), [("unroll", False), *((name, True) for name in ESTIMATORS)])
def test_bilevel(used, name, warm_start):
    tasks = 3 if name == "batched" else None
    lead = () if tasks is None else (tasks,)
    more = {"restart_every": 2, "tasks": tasks} if warm_start else {}
    learner = bilevel.learner(PROBLEM, ESTIMATORS[name], optax.sgd(0.1), 2, warm_start, **more)
    sample = lambda key: jax.tree.map(lambda x: x + 0.0 * draw(key), (jnp.ones((2, *lead, 2)), jnp.ones((*lead, 2))))
    run.train(learner, learner.init(jax.random.key(0), jnp.zeros(2)), sample, 3, chunk=3, show=False)
    alone(used)


def test_training_alone_and_hyperparameters(used):
    init = lambda key: jax.random.normal(key, (2,))
    loss = lambda params, batch, key: (jnp.sum(params**2) + 0.0 * jax.random.normal(key), {})
    for learner, rest in (
        (bilevel.supervised(init, loss, optax.sgd(0.1)), ()),
        (hpo.hypergradient_descent(init, loss, hpo.sgd, optax.sgd(0.1)), (jnp.asarray(0.1),)),
    ):
        used.clear()
        run.train(learner, learner.init(jax.random.key(0), *rest), lambda key: 0.0 * draw(key), 2, chunk=2, show=False)
        alone(used)


def test_parts_and_joint_choices(used):
    network = Functional(lambda key: {"w": jax.random.normal(key, (2, 3))}, lambda p, x: x @ p["w"])
    part = lambda: hpo.Component(
        lambda key: jax.random.normal(key), lambda h, losses, batch: losses * 0 + jax.nn.sigmoid(h)
    )
    other = hpo.Component(lambda key: jax.random.normal(key), lambda h, params: h**2)
    hpo.training_problem(network, optax.sgd(0.1), 3, weights=part(), penalty=other).init(jax.random.key(0))
    alone(used, 2)
    used.clear()
    space = Space({"unit": Categorical(("a", "b")), "rate": Float(0.1, 1.0)})
    loss = lambda choice, w, batch, key: (jnp.sum(choice.encoding) * w + 0.0 * jax.random.normal(key), {})
    after = lambda choice, w, batch, key: (jnp.sum(choice.encoding) * w + 0.0 * jax.random.normal(key), {})
    init = lambda key: jax.random.normal(key)
    relaxed = hpo.joint_problem(
        space, init, loss, after, lambda values: hpo.sgd(values["rate"]), "gumbel_softmax"
    ).relaxed
    bilevel.unroll()(relaxed)(space.zeros(), None, jnp.zeros(2), jnp.zeros(()), jax.random.key(0))
    alone(used)


def test_three_levels(used):
    make = lambda rate: bilevel.learner(PROBLEM, bilevel.unroll(), optax.sgd(rate), 2, warm_start=True)
    outer = lambda h, state, batch, key: (jnp.sum(state.hyper**2) + 0.0 * jax.random.normal(key), {})
    third = bilevel.Problem(hpo.nested_inner(make, lambda rate: jnp.zeros(2)), outer)
    estimate = bilevel.through_solution()(third)
    estimate(jnp.asarray(0.1), None, (jnp.ones((1, 2, 2, 2)), jnp.ones((1, 2, 2))), jnp.ones(()), jax.random.key(0))
    alone(used)


def init_pair(key):
    return jax.random.normal(key, (2, 3))


LOSS = lambda params, batch, key: (jnp.mean((batch[0] @ params) ** 2) + 0.0 * jax.random.normal(key), {"loss": 0.0})
SGD = optax.sgd(0.1)
FEWSHOT = {
    "maml": fewshot.maml(LOSS, SGD, SGD, 2),
    "reptile": fewshot.reptile(LOSS, SGD, SGD, 2, batch=2),
    "maml++": fewshot.maml_plus_plus(LOSS, 0.1, SGD, 2, multi_step_until=1),
    "imaml": fewshot.imaml(LOSS, SGD, SGD, 2.0, 2),
    "protonet": fewshot.protonet(lambda p, x: x @ p, SGD),
}


@pytest.mark.parametrize("name", FEWSHOT)
def test_few_shot_methods_and_their_evaluation(used, name):
    method = FEWSHOT[name]

    def sampler(key):
        x = jax.random.normal(key, (8, 2))
        half = x[:4], jnp.arange(4) % 2
        return fewshot.Episode(half, (x[4:], jnp.arange(4) % 2))

    state = method.init(jax.random.key(0), init_pair(jax.random.key(1)))
    run.train(method.learner, state, fewshot.episodes.tasks(sampler, 3), 2, chunk=2, show=False)
    alone(used)
    used.clear()
    metric = "accuracy" if name == "protonet" else "loss"
    fewshot.evaluate(method, state.hyper, sampler, metric, jax.random.key(2), 2, chunk=2)
    alone(used)


def test_navigation(used):
    policy = lambda params, position, goal: position @ params
    loss = navigation.surrogate(policy)
    noisy_loss = lambda params, batch, key: (loss(params, batch, key)[0] + 0.0 * jax.random.normal(key), {})
    learner = navigation.reinforced(fewshot.maml(noisy_loss, SGD, SGD, 1), policy, runs=2, horizon=3, epochs=2)
    params = {"mean": jnp.zeros((2, 2)), "log_std": jnp.zeros(2)}
    sample = lambda key: navigation.goals(key, 2)
    run.train(learner, learner.init(jax.random.key(0), params), sample, 3, chunk=3, show=False)
    alone(used)


SPACE = Space({"a": Categorical((0, 1, 2)), "b": Categorical((0, 1))})
RELAXATIONS = {
    "straight_through": relaxations.straight_through_path(),
    "policy": relaxations.controller(2),
    "fair": relaxations.sampled_paths(relaxations.fair_paths()),
    "sandwich": relaxations.sampled_paths(relaxations.sandwich_paths(1)),
}


@pytest.mark.parametrize("name", RELAXATIONS)
def test_search(used, name):
    network = Functional(
        lambda key: jax.random.normal(key, (SPACE.width, 2)), lambda p, x, encoding: (x + encoding) @ p
    )

    def loss(apply):
        return lambda params, batch, key: (
            jnp.mean((apply(params, batch[0]) - jax.nn.one_hot(batch[1], 2)) ** 2) + 0.0 * jax.random.normal(key),
            {"accuracy": jnp.zeros(())},
        )

    def disturb(space, value, encoding, moment, key):
        return encoding + 0.0 * jax.random.normal(key, encoding.shape)

    x, y = jnp.ones((4, SPACE.width)), jnp.zeros(4, jnp.int32)
    events = supernet.events.project(0.0, 2), supernet.events.eigenvalue(2)
    if name in ("fair", "sandwich"):  # judged by paths that are drawn as the policy's
        events = ()
    search = supernet.compose_search(
        SPACE, network, loss, SGD, SGD, 4, RELAXATIONS[name], disturb=disturb, events=events, warm_up=1
    )
    sample = lambda key: (((x + 0.0 * draw(key))[None], y[None]), (x, y), (x, y))
    run.train(search.learner, search.init(jax.random.key(0)), sample, 3, chunk=3, show=False)
    alone(used)


def test_populations(used, monkeypatch):
    """Populations draw on the host: from the initial parameters to the order of the rows."""
    lines = defaultdict(set)

    def watched(key):
        lines[tuple(jax.random.key_data(key).tolist())].add(source_line())
        return types.generator(key)

    for name, module in list(sys.modules.items()):
        if name.startswith("metajax.automl.") and getattr(module, "generator", None) is types.generator:
            monkeypatch.setattr(module, "generator", watched)
    space = tabular_space(2, classification=True)
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.normal(size=(83, 2)), jnp.float32), jnp.asarray(rng.integers(0, 2, 83), jnp.int32)
    configs = {name: np.asarray(value) for name, value in space.sample(jax.random.key(1), 2).items()}
    configs["epochs"] = np.minimum(configs["epochs"], 2)
    used.clear()
    options = population.Options(group_size=2)
    population.train(configs, np.arange(2), population.Data(x, y, x, y), 2, jax.random.key(0), options)
    alone(used, at_least=1)
    assert len(lines) >= 4 and all(len(where) == 1 for where in lines.values())


def test_proposals(used):
    """Random candidates, mutations, and the search by gradient, which ends in evolution."""
    space = Space({f"x{i}": Categorical((0, 1, 2)) for i in range(3)} | {"y": Float(0.0, 1.0)})
    proposer = search.Proposer(space, predictor.ridge(1), n_initial=4)
    for _ in range(2):
        asked = proposer.ask(4)
        proposer.tell(asked, [c["x0"] + c["y"] for c in asked])
    used.clear()
    proposer.ask(4)
    alone(used)


def test_a_policy_over_a_space(used):
    space = Space({f"z{i}": Categorical((0, 1, 2)) for i in range(4)})
    configs = space.sample(jax.random.key(0), 40)
    gain = [sum(c.values()) for c in space.dicts(configs)]
    model = predictor.fit(predictor.Trials.from_arrays(space, configs, gain), predictor.ridge(1), "value")
    used.clear()
    search.maximize(model, search.Reinforce(), k=2, key=jax.random.key(3))
    alone(used)
