"""Every method against a closed form, a well-kept library, or central differences, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from differences import central_difference
from plain import dense, normed

from metajax import bilevel, fewshot, nn
from metajax.fewshot._maml_plus_plus import importance
from metajax.fewshot.heads import crammer_singer, fit_svm
from metajax.types import InputError


@functools.cache
def compiled_step(method):
    @jax.jit
    def run(params, episodes, step):
        state = method.init(jax.random.key(0), params)._replace(step=step)
        after, info = method.update(state, episodes)
        return jax.tree.map(jnp.subtract, state.hyper, after.hyper), info

    return run


def unit_step(method, params, episodes, step=0):
    """The estimated gradient: what one outer step of gradient descent of rate 1 subtracts."""
    return compiled_step(method)(params, episodes, np.int32(step))


def close(a, b, rtol=1e-8, atol=1e-10):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b)


# -- on a quadratic everything is known ------------------------------------------------------------------------------

A = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 0.5]])
RATE, STEPS = 0.1, 4
START = np.array([1.0, -2.0, 0.5])


def quadratic(params, batch, key):
    """½ (w - c)ᵀ A (w - c); the batch is c, once for each "example" so that Reptile may draw of them."""
    apart = params - jnp.mean(batch, axis=0)
    return 0.5 * apart @ jnp.asarray(A) @ apart, {}


def one_quadratic():
    support, query = np.array([0.2, 0.1, -1.0]), np.array([-0.5, 0.4, 0.3])
    return support, query, fewshot.Episode(jnp.asarray(support[None, None]), jnp.asarray(query[None, None]))


def descend(center, steps=STEPS):
    path = [START]
    for _ in range(steps):
        path.append(path[-1] - RATE * A @ (path[-1] - center))
    return path


def test_maml_first_order_maml_and_reptile_differ_as_theory_says(x64):
    support, query, episodes = one_quadratic()
    maml = lambda estimator: fewshot.maml(quadratic, optax.sgd(RATE), optax.sgd(1.0), STEPS, estimator=estimator)
    end = descend(support)[-1]
    outer = A @ (end - query)
    contraction = np.linalg.matrix_power(np.eye(3) - RATE * A, STEPS)
    close(unit_step(maml(None), jnp.asarray(START), episodes)[0], contraction @ outer)
    close(unit_step(maml(bilevel.first_order()), jnp.asarray(START), episodes)[0], outer)
    # Reptile on one repeated example: the sum of the inner gradients, times the rate
    both = fewshot.Episode(episodes.support, episodes.support)
    method = fewshot.reptile(quadratic, optax.sgd(RATE), optax.sgd(1.0), STEPS, batch=1)
    path = descend(support)
    close(unit_step(method, jnp.asarray(START), both)[0], RATE * sum(A @ (w - support) for w in path[:-1]))
    close(unit_step(method, jnp.asarray(START), both)[0], START - path[-1])


def test_reptile_is_maml_in_the_limit_the_paper_derives(x64):
    """Nichol et al. 2018, section 5: to first order in the rate α, with two steps and g, H at the start, MAML is
    g - 2αHg, first-order MAML g - αHg, and Reptile 2g - αHg (over α)."""
    support, _, episodes = one_quadratic()
    same, rate = fewshot.Episode(episodes.support, episodes.support), 1e-5
    g = A @ (START - support)
    step = lambda method: np.asarray(unit_step(method, jnp.asarray(START), same)[0])
    sgd, outer = optax.sgd(rate), optax.sgd(1.0)
    exact = step(fewshot.maml(quadratic, sgd, outer, 1))
    first = step(fewshot.maml(quadratic, sgd, outer, 1, estimator=bilevel.first_order()))
    moved = step(fewshot.reptile(quadratic, sgd, outer, 2, batch=1)) / rate
    close((g - exact) / rate, 2 * A @ g, rtol=1e-3)
    close((g - first) / rate, A @ g, rtol=1e-3)
    close((2 * g - moved) / rate, A @ g, rtol=1e-3)


def test_imaml_solves_the_proximal_problem(x64):
    support, query, episodes = one_quadratic()
    strength = 2.0
    method = fewshot.imaml(quadratic, optax.sgd(0.2), optax.sgd(1.0), strength, 400, iterations=20)
    # argmin ½(w-c)ᵀA(w-c) + λ/2‖w-θ‖²
    end = np.linalg.solve(A + strength * np.eye(3), A @ support + strength * START)
    exact = np.linalg.solve(np.eye(3) + A / strength, A @ (end - query))
    close(unit_step(method, jnp.asarray(START), episodes)[0], exact, rtol=1e-6)


def test_meta_sgd_learns_its_rates(x64):
    support, query, episodes = one_quadratic()
    method = fewshot.meta_sgd(quadratic, RATE, optax.sgd(1.0), 1)
    grad, _ = unit_step(method, jnp.asarray(START), episodes)
    inner, outer = A @ (START - support), A @ (descend(support, 1)[-1] - query)
    close(grad, {"params": (np.eye(3) - RATE * A) @ outer, "rates": -inner * outer})


def test_maml_plus_plus_with_everything_off_is_maml(x64):
    _, _, episodes = one_quadratic()
    plain = fewshot.maml(quadratic, optax.sgd(RATE), optax.sgd(1.0), STEPS)
    plus = fewshot.maml_plus_plus(quadratic, RATE, optax.sgd(1.0), STEPS, learned_rates=False)
    expected, _ = unit_step(plain, jnp.asarray(START), episodes)
    grad, _ = unit_step(plus, jnp.asarray(START), episodes)
    close(grad["params"], expected)
    close(grad["rates"], np.zeros(STEPS))


def test_maml_plus_plus_parts(x64):
    support, query, episodes = one_quadratic()
    path = descend(support)
    loss = lambda w: 0.5 * (w - query) @ A @ (w - query)
    contraction = lambda k: np.linalg.matrix_power(np.eye(3) - RATE * A, k)
    outer = [A @ (w - query) for w in path]

    # the multi-step loss: even weights at step 0, annealed at step 1, the last step alone from step 2 on
    method = fewshot.maml_plus_plus(
        quadratic, RATE, optax.sgd(1.0), STEPS, multi_step_until=2, multi_step_epochs=2, learned_rates=False
    )
    grad, info = unit_step(method, jnp.asarray(START), episodes)
    close(grad["params"], sum(contraction(k) @ outer[k] for k in range(1, STEPS + 1)) / STEPS)
    close(info["outer_loss"], np.mean([loss(w) for w in path[1:]]))
    later, _ = unit_step(method, jnp.asarray(START), episodes, step=2)
    close(later["params"], contraction(STEPS) @ outer[-1])
    halfway, _ = unit_step(method, jnp.asarray(START), episodes, step=1)
    weights = [1 / 4 - 1 / 8] * 3 + [1 / 4 + 3 / 8]  # 1/S - epoch/(S·E), with S = 4, E = 2, in epoch 1
    expected = sum(weight * contraction(k) @ outer[k] for k, weight in enumerate(weights, 1))
    close(halfway["params"], expected)

    # derivative-order annealing: first order before, exact after
    method = fewshot.maml_plus_plus(quadratic, RATE, optax.sgd(1.0), STEPS, learned_rates=False, first_order_until=1)
    grad, _ = unit_step(method, jnp.asarray(START), episodes)
    close(grad["params"], outer[-1])
    later, _ = unit_step(method, jnp.asarray(START), episodes, step=1)
    close(later["params"], contraction(STEPS) @ outer[-1])

    # per-layer per-step rates, against central differences
    method = fewshot.maml_plus_plus(quadratic, RATE, optax.sgd(1.0), STEPS)

    def value(rates):
        w = jnp.asarray(START)
        for k in range(STEPS):
            w = w - rates[k] * (jnp.asarray(A) @ (w - support))
        return 0.5 * (w - query) @ jnp.asarray(A) @ (w - query)

    grad, _ = unit_step(method, jnp.asarray(START), episodes)
    close(grad["rates"], central_difference(jax.jit(value), np.full(STEPS, RATE)), rtol=1e-6)


@pytest.mark.parametrize(
    ("epoch", "steps", "epochs", "expected"),
    [
        (0, 5, 10, [0.2] * 5),
        (1, 5, 10, [0.18] * 4 + [0.28]),
        (9, 5, 10, [0.02] * 4 + [0.92]),
        (10, 5, 10, [0.006] * 4 + [0.976]),  # the floor of 0.03/S
        (2, 2, 3, [1 / 6, 5 / 6]),
        (3, 1, 10, [1.0]),
    ],
)
def test_the_importance_of_every_step_is_that_of_the_authors_code(x64, epoch, steps, epochs, expected):
    close(importance(epoch, steps, epochs), np.array(expected))


def test_the_query_runs_with_the_batch_norm_of_the_step_before_it(x64):
    """After inner step t the authors' code evaluates the query with the parameters of step t, not of step t + 1."""
    support, query, episodes = one_quadratic()
    loss = lambda p, batch, key: quadratic(p["w"] + p["norm"], batch, key)
    method = fewshot.maml_plus_plus(
        loss,
        RATE,
        optax.sgd(1.0),
        STEPS,
        multi_step_until=10,
        learned_rates=False,
        per_step=lambda path: path == "norm",
    )
    params = {"w": jnp.asarray(START), "norm": jnp.zeros(3)}

    def value(norms):
        w, total = jnp.asarray(START), 0.0
        for k in range(STEPS):
            w = w - RATE * (jnp.asarray(A) @ (w + norms[k] - support))
            apart = w + norms[k] - query
            total += 0.5 * apart @ jnp.asarray(A) @ apart / STEPS
        return total

    grad, _ = unit_step(method, params, episodes)
    close(grad["per_step"]["norm"], central_difference(jax.jit(value), np.zeros((STEPS, 3))), rtol=1e-6, atol=1e-8)
    start = method.init(jax.random.key(0), params).hyper
    learned = jax.jit(method.adapt)(start, jnp.asarray(support[None]), jax.random.key(0))
    assert learned["step"].tolist() == [0, 0, 1, 2, 3]


def test_every_array_of_parameters_has_a_rate_for_every_step():
    init, apply = nn.functional(lambda rngs: nn.Conv4(3, width=4, rngs=rngs))
    norms = lambda path: "norms" in path
    method = fewshot.maml_plus_plus(fewshot.cross_entropy(apply), 0.1, optax.adam(1e-3), 5, per_step=norms)
    hyper = method.init(jax.random.key(0), init(jax.random.key(1))).hyper
    rates = jax.tree.leaves(hyper["rates"])
    assert len(rates) == 10, "kernel and bias of four convolutions and the head, no batch norm"
    assert all(rate.shape == (5,) and np.allclose(rate, 0.1) for rate in rates)
    assert all(x.shape == (5, 4) for x in jax.tree.leaves(hyper["per_step"])), "one scale and shift for each step"


def test_maml_plus_plus_keeps_some_parameters_for_each_step(x64):
    support, query, episodes = one_quadratic()
    loss = lambda p, batch, key: quadratic(p["w"] + p["norm"], batch, key)
    method = fewshot.maml_plus_plus(
        loss, RATE, optax.sgd(1.0), STEPS, learned_rates=False, per_step=lambda path: path == "norm"
    )
    params = {"w": jnp.asarray(START), "norm": jnp.zeros(3)}
    grad, _ = unit_step(method, params, episodes)
    assert grad["per_step"]["norm"].shape == (STEPS, 3)

    def value(norms):
        w = jnp.asarray(START)
        for k in range(STEPS):
            w = w - RATE * (jnp.asarray(A) @ (w + norms[k] - support))
        return 0.5 * (w + norms[-1] - query) @ jnp.asarray(A) @ (w + norms[-1] - query)

    close(grad["per_step"]["norm"], central_difference(jax.jit(value), np.zeros((STEPS, 3))), rtol=1e-6, atol=1e-8)


# -- on a small network ----------------------------------------------------------------------------------------------

BODY, HEAD = dense(1, 4, jnp.tanh), dense(4, 1)
WHOLE = nn.chain(BODY, HEAD)


@functools.cache
def start():
    """The initial network, in float64."""
    return jax.jit(WHOLE.init)(jax.random.key(0))


@functools.cache
def wave():
    return jax.jit(fewshot.episodes.sinusoid(5, 5))(jax.random.key(2))


@functools.cache
def waves():
    return jax.jit(fewshot.episodes.tasks(fewshot.episodes.sinusoid(5, 5), 3))(jax.random.key(1))


@functools.cache
def two_steps_by_hand():
    """The objective of MAML, written out, and its central differences."""
    loss, episodes = fewshot.squared_error(WHOLE.apply), waves()

    @jax.jit
    def objective(start):
        def task(support, query):
            w = start
            for _ in range(2):
                grads = jax.grad(lambda p: loss(p, support, None)[0])(w)
                w = jax.tree.map(lambda p, g: p - 0.05 * g, w, grads)
            return loss(w, query, None)[0]

        return jnp.mean(jax.vmap(task)(episodes.support, episodes.query))

    return float(objective(start())), central_difference(objective, start())


@pytest.mark.parametrize("remat", [None, "sqrt"])
def test_the_maml_meta_gradient_equals_central_differences(x64, remat):
    loss, estimator = fewshot.squared_error(WHOLE.apply), bilevel.unroll(remat=remat)
    method = fewshot.maml(loss, optax.sgd(0.05), optax.sgd(1.0), 2, estimator=estimator)
    grad, info = unit_step(method, start(), waves())
    value, expected = two_steps_by_hand()
    close(grad, expected, rtol=1e-5, atol=1e-8)
    assert float(info["outer_loss"]) == pytest.approx(value, rel=1e-10)


def test_anil_is_maml_on_the_head(x64):
    sgd, outer = optax.sgd(0.05), optax.sgd(1.0)
    anil = fewshot.anil(BODY.apply, fewshot.squared_error(HEAD.apply), sgd, outer, 3, 5)
    plain = fewshot.maml(fewshot.squared_error(WHOLE.apply), sgd, outer, 3, 5, adapted=fewshot.parameters.under("head"))
    close(unit_step(anil, start(), waves())[0], unit_step(plain, start(), waves())[0])

    def adapted(method):
        @jax.jit
        def run(params, task):
            ends = method.adapt(params, task.support, jax.random.key(0))
            return ends, method.loss(params, jax.tree.map(lambda x: x[-1], ends), task.query, None)[0]

        return run(start(), wave())

    (ends, score), (plain_ends, plain_score) = adapted(anil), adapted(plain)
    close(ends, plain_ends["head"])
    assert float(score) == pytest.approx(float(plain_score))


def test_boil_moves_the_body_only(x64):
    boil = fewshot.boil(fewshot.squared_error(WHOLE.apply), optax.sgd(0.05), optax.sgd(1.0), 1)
    learned = jax.jit(boil.adapt)(start(), wave().support, jax.random.key(0))
    assert learned["head"] == {"kernel": None, "bias": None}
    assert all(not np.array_equal(*np.asarray(x)) for x in jax.tree.leaves(learned))


def test_partition_names_what_there_is():
    with pytest.raises(InputError, match="head/kernel"):
        fewshot.parameters.partition(jax.jit(WHOLE.init)(jax.random.key(0)), fewshot.parameters.under("tail"))


# -- heads -----------------------------------------------------------------------------------------------------------


fitted = jax.jit(fit_svm, static_argnames=("c", "iterations", "ridge", "ways"))


def features(n=12, d=20, ways=3):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(n, d))), jnp.asarray(np.arange(n) % ways)


def test_the_ridge_head_is_ridge_regression(x64):
    x, y = features()
    weights, counts = jax.jit(fewshot.heads.fit_ridge)(x, y, 0.7)
    primal = np.linalg.solve(x.T @ x + 0.7 * np.eye(20), x.T @ np.eye(3)[np.asarray(y)])
    close(weights[:, :3], primal)
    close(weights[:, 3:], np.zeros((20, 9)))
    assert counts.tolist() == [4, 4, 4] + [0] * 9


def test_the_prototype_is_the_mean(x64):
    x, y = features()
    means, _ = jax.jit(fewshot.heads.centroids)(x, y)
    close(np.asarray(means)[1], np.asarray(x)[np.asarray(y) == 1].mean(axis=0))
    direct = ((np.asarray(x)[:, None] - np.asarray(means)[None]) ** 2).sum(-1)
    close(jax.jit(fewshot.heads.squared_distances)(x, means), direct)


@pytest.mark.parametrize(("c", "ridge"), [(0.1, 0.0), (1.0, 0.0), (0.1, 1.0), (1.0, 1.0)])
def test_the_support_vector_machine_is_scikit_learns(x64, c, ridge):
    """The Gram matrix plus the identity is the Gram matrix of features with a coordinate of its own for every example."""
    svm_module = pytest.importorskip("sklearn.svm")
    x, y = features(30, 6)
    wide = np.hstack([x, np.sqrt(ridge) * np.eye(30)])
    machine = svm_module.LinearSVC(C=c, multi_class="crammer_singer", fit_intercept=False, tol=1e-10, max_iter=10**6)
    expected = machine.fit(wide, np.asarray(y)).coef_.T[:6]
    weights = np.asarray(fitted(x, y, c=c, iterations=30, ridge=ridge)[0])
    close(weights[:, :3], expected, rtol=1e-3, atol=2e-4)
    assert np.all(weights[:, 3:] == 0)


def test_the_dual_is_that_of_metaoptnets_code(x64):
    """Its quadratic program, ``½ zᵀ (K ⊗ I + I) z - Yᵀ z`` with C = 0.1, by a solver that knows nothing of its structure."""
    x, y = features(7, 3)
    members, n, k, c = np.eye(3)[np.asarray(y)], 7, 3, 0.1
    gram = np.kron(np.asarray(x) @ np.asarray(x).T, np.eye(k)) + np.eye(n * k)
    rows = np.kron(np.eye(n), np.ones((1, k)))
    solved = scipy.optimize.minimize(
        lambda z: 0.5 * z @ gram @ z - members.ravel() @ z,
        np.zeros(n * k),
        jac=lambda z: gram @ z - members.ravel(),
        method="SLSQP",
        bounds=[(None, c * m) for m in members.ravel()],
        constraints={"type": "eq", "fun": lambda z: rows @ z, "jac": lambda z: rows},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    weights = np.asarray(fitted(x, y, iterations=30)[0])
    close(weights[:, :3], np.asarray(x).T @ solved.x.reshape(n, k), rtol=1e-4, atol=1e-6)
    bare = np.asarray(fitted(x, y, iterations=30, ridge=0.0)[0])
    assert np.max(np.abs(weights - bare)) > 1e-3, "the identity counts"


@pytest.mark.parametrize(
    ("shots", "width", "scale", "bound"),
    [(5, 64, 1.0, 1e-3), (1, 1600, 1.0, 1e-3), (5, 1600, 1.0, 1e-3), (5, 1600, 3.0, 4e-3)],
)
def test_the_solver_is_exact_enough_within_its_default_iterations(shots, width, scale, bound):
    """The duality gap of 5 ways on features as many and as large as those of a network, in float32."""
    rng, n = np.random.default_rng(0), 5 * shots
    x = np.maximum(rng.normal(size=(5, 1, width)) + 0.7 * rng.normal(size=(5, shots, width)), 0).reshape(n, width)
    x = (scale * x).astype(np.float32)
    members = np.repeat(np.eye(5, dtype=np.float32), shots, axis=0)
    gram = x @ x.T + np.eye(n, dtype=np.float32)
    alpha = np.asarray(jax.jit(crammer_singer)(gram, members), np.float64)
    slope = members - np.asarray(gram, np.float64) @ alpha
    gap = np.sum(0.1 * (np.sum(slope * members, axis=1) - slope.min(axis=1)) - np.sum(alpha * slope, axis=1))
    value = np.sum(alpha * members) - 0.5 * np.sum(alpha * (gram @ alpha))
    assert gap > -1e-5 and gap < bound * value
    assert np.all(alpha <= 0.1 * members + 1e-6) and np.all(np.abs(alpha.sum(axis=1)) < 1e-6)


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_the_derivative_of_the_support_vector_machine(x64, ridge):
    x, y = features(6, 3)
    weight = jnp.asarray(np.random.default_rng(1).normal(size=(3, 6)))
    run = jax.jit(jax.value_and_grad(lambda x: jnp.sum(weight * fit_svm(x, y, 0.5, 30, ridge)[0])))
    close(run(x)[1], central_difference(lambda x: run(x)[0], x, 1e-5), rtol=1e-3, atol=1e-5)


def test_the_largest_number_of_classes_changes_only_the_work(x64):
    x, y = features(12, 5)
    for known, unknown in zip(fitted(x, y, ways=3), fitted(x, y)):
        close(known, unknown, rtol=1e-6, atol=1e-9)


# -- batch norm ------------------------------------------------------------------------------------------------------


def test_normalized_by_the_support_a_prediction_ignores_the_other_queries():
    init, apply = nn.functional(lambda rngs: nn.Conv4(3, width=4, rngs=rngs))
    params, rng = init(jax.random.key(0)), np.random.default_rng(0)
    support, queries = (jnp.asarray(rng.uniform(size=(n, 8, 8, 1)).astype(np.float32)) for n in (6, 5))
    run = nn.by_support(apply)
    run, apply = jax.jit(run), jax.jit(apply)
    whole, single = run(params, (support, queries)), run(params, (support, queries[:1]))
    np.testing.assert_allclose(whole[:1], single, rtol=1e-4, atol=1e-5)
    assert float(jnp.max(jnp.abs(apply(params, queries)[:1] - single))) > 1e-3, "transductive differs"
    np.testing.assert_allclose(run(params, support), apply(params, support), rtol=1e-6)


def inductive():
    """Prototypical networks with running statistics, the network as a function, a task, and two episodes."""
    points = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    model = normed(dense(4, 3, jnp.tanh))
    task = fewshot.episodes.classes(points, 3, 1, 2)
    episodes = jax.jit(fewshot.episodes.tasks(task, 2))(jax.random.key(2))
    return model, nn.running(model, jnp.zeros((1, 4))), task, episodes


def test_running_statistics_follow_support_and_queries_as_one_batch():
    """The mode of the code of prototypical networks: one batch in training, a tenth of its statistics into the running ones,
    in which the optimizer, here with a weight decay, has no say."""
    model, network, _, episodes = inductive()
    method = fewshot.protonet(network, optax.adamw(1e-3, weight_decay=0.5))
    state = method.init(jax.random.key(0), jax.jit(model.init)(jax.random.key(1)))
    moved, info = jax.jit(method.update)(state, episodes)

    @jax.jit
    def alone(task):
        (x, y), (xq, yq) = task
        features, statistics = network.train(state.hyper["hyper"], jnp.concatenate([x, xq]))
        prototypes, _ = fewshot.heads.centroids(features[:3], y)
        scores = -fewshot.heads.squared_distances(features[3:], prototypes[:3])
        return fewshot.classification_loss(scores, yq)[0], statistics

    losses, seen = zip(*(alone(jax.tree.map(lambda x, i=i: np.asarray(x)[i], episodes)) for i in range(2)))
    np.testing.assert_allclose(info["outer_loss"], np.mean(losses), rtol=1e-4)
    for layer, (running, *each) in enumerate(zip(moved.hyper["statistics"], *seen)):
        expected = jax.tree.map(lambda *values: 0.1 * np.mean(values, axis=0), *each)
        np.testing.assert_allclose(running.mean, expected.mean, rtol=1e-3, atol=1e-5, err_msg=f"layer {layer}")
        np.testing.assert_allclose(running.variance, 0.9 + expected.variance, rtol=1e-3, err_msg=f"layer {layer}")


def test_by_running_statistics_a_prediction_ignores_the_other_queries():
    model, network, task, _ = inductive()
    method = fewshot.protonet(network, optax.adam(1e-3))
    hyper = method.init(jax.random.key(0), jax.jit(model.init)(jax.random.key(1))).hyper
    support, query = jax.jit(task)(jax.random.key(3))
    learned = jax.tree.map(lambda a: np.asarray(a)[-1], jax.jit(method.adapt)(hyper, support, jax.random.key(0)))
    loss = jax.jit(lambda batch: method.loss(hyper, learned, batch, jax.random.key(0))[0])
    x, y = map(np.asarray, query)
    each = [float(loss((x[i : i + 1], y[i : i + 1]))) for i in range(len(y))]
    assert float(loss((x, y))) == pytest.approx(np.mean(each), rel=1e-4)
    report = fewshot.evaluate(method, hyper, task, "accuracy", jax.random.key(3), 10, "running", 5)
    assert "batch norm: running" in str(report)


def test_with_support_gives_pairs_that_methods_take():
    init, apply = normed(dense(4, 3, jnp.tanh))
    sampler = fewshot.episodes.with_support(
        fewshot.episodes.classes(np.random.default_rng(0).normal(size=(6, 5, 4)), 3, 1, 2)
    )
    method = fewshot.protonet(nn.by_support(apply), optax.adam(1e-3))
    state = method.init(jax.random.key(0), jax.jit(init)(jax.random.key(1)))
    state, info = jax.jit(method.update)(state, jax.jit(fewshot.episodes.tasks(sampler, 2))(jax.random.key(2)))
    assert np.isfinite(info["outer_loss"])
    report = fewshot.evaluate(method, state.hyper, sampler, "accuracy", jax.random.key(3), 10, "support", 5)
    assert "batch norm: support" in str(report)
