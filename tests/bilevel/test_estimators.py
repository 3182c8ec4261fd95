"""Every estimator against a closed form and against central differences, in float64; biases measured, not assumed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from differences import central_difference

from metajax import bilevel
from metajax.bilevel._unroll import learn_and_judge
from metajax.types import InputError

pytestmark = pytest.mark.usefixtures("own_programs")
STEPS = 6


def small_problem(optimizer=None):
    """A nonlinear problem in which the rate, a decay and the initialization are all hyperparameters."""

    def forward(w, x):
        return jnp.tanh(x @ w["a"]) @ w["b"]

    def inner_loss(h, w, batch, key):
        x, y = batch
        decay = jnp.exp(h["decay"])
        return jnp.mean((forward(w, x) - y) ** 2) + decay * sum(jnp.sum(p**2) for p in jax.tree.leaves(w)), {}

    def outer_loss(h, w, batch, key):
        x, y = batch
        return jnp.mean((forward(w, x) - y) ** 2) + 0.01 * jnp.sum(h["decay"] ** 2), {"seen": jnp.sum(w["b"])}

    optimizer = optimizer or (lambda h: optax.sgd(jnp.exp(h["rate"])))
    return bilevel.Problem(bilevel.Inner.descent(inner_loss, lambda h, key: h["init"], optimizer), outer_loss)


def small_data(steps=STEPS, tasks=None):
    rng = np.random.default_rng(0)
    lead = (steps,) if tasks is None else (steps, tasks)
    hyper = {
        "decay": np.array(-3.0),
        "rate": np.array(-1.5),
        "init": {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=(4,))},
    }
    inner = (rng.normal(size=(*lead, 8, 3)), rng.normal(size=(*lead, 8)))
    outer = (rng.normal(size=(*lead[1:], 8, 3)), rng.normal(size=(*lead[1:], 8)))
    return jax.tree.map(jnp.asarray, (hyper, inner, outer))


def taken(tree, i, axis=0):
    """Entry ``i`` along an axis, in NumPy: JAX would compile a program for every ``i``."""
    return jax.tree.map(lambda x: np.take(np.asarray(x), i, axis), tree)


def close(a, b, rtol=1e-5, atol=1e-8):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b)


EXACT = {
    "unroll": bilevel.unroll(),
    "unroll_sqrt": bilevel.unroll(remat="sqrt"),
    "unroll_every_4": bilevel.unroll(remat=4),
    "unroll_truncate_all": bilevel.unroll(truncate=STEPS),
    "forward": bilevel.forward(),
}
ALL = EXACT | {
    "truncated": bilevel.unroll(truncate=2),
    "first_order": bilevel.first_order(),
    "cg": bilevel.implicit("cg", damping=1.0),  # it needs a positive definite matrix
    "neumann": bilevel.implicit("neumann", step_size=0.1),
    "identity": bilevel.implicit("identity", step_size=0.1),
    "finite_difference": bilevel.finite_difference(),
    "evolution": bilevel.evolution(4),
    "persistent_evolution": bilevel.evolution(4, persistent=True),
    "batched_unroll": bilevel.unroll(),
    "batched_first_order": bilevel.first_order(),
    "batched_persistent_evolution": bilevel.evolution(4, persistent=True),
}
OPTIMIZERS = {
    "sgd": lambda h: optax.sgd(jnp.exp(h["rate"])),
    "momentum": lambda h: optax.sgd(jnp.exp(h["rate"]), momentum=0.9, nesterov=True),
    "adam": lambda h: optax.adam(jnp.exp(h["rate"]), eps_root=1e-8),
    "adamw": lambda h: optax.adamw(jnp.exp(h["rate"]), weight_decay=jnp.exp(h["decay"]), eps_root=1e-8),
}


@functools.cache
def small_program(name, optimizer):
    """The compiled estimator of the small problem, for all tests that take the same one."""
    return jax.jit(EXACT[name](small_problem(OPTIMIZERS[optimizer])))


@functools.cache
def small_differences(optimizer):
    """The outer loss of the small problem and its central differences."""
    hyper, inner, outer = small_data()
    problem, key = small_problem(OPTIMIZERS[optimizer]), jax.random.key(0)
    value = jax.jit(lambda h: learn_and_judge(problem, h, None, inner, outer, key)[0])
    return float(value(hyper)), central_difference(value, hyper)


@pytest.mark.parametrize(
    ("name", "optimizer"), [(n, "adam") for n in EXACT] + [("unroll", o) for o in OPTIMIZERS if o != "adam"]
)
def test_exact_estimators_equal_central_differences(x64, name, optimizer):
    hyper, inner, outer = small_data()
    hypergradient = small_program(name, optimizer)(hyper, None, inner, outer, jax.random.key(0))
    value, grad = small_differences(optimizer)
    close(hypergradient.grad, grad)
    assert float(hypergradient.value) == pytest.approx(value, rel=1e-12)


def test_warm_start_goes_on_from_the_given_state(x64):
    """Two halves of the inner loop end where the whole ends; the second half's gradient ignores the initialization."""
    hyper, inner, outer = small_data(2 * STEPS)
    half = lambda first: jax.tree.map(lambda x: np.asarray(x)[:STEPS] if first else np.asarray(x)[STEPS:], inner)
    fn, key = small_program("unroll", "momentum"), jax.random.key(0)
    whole = fn(hyper, None, inner, outer, key)
    first = fn(hyper, None, half(True), outer, key)
    rest = fn(hyper, first.end, half(False), outer, key)
    close(whole.end, rest.end, rtol=1e-12)
    close(rest.grad["init"], jax.tree.map(jnp.zeros_like, hyper["init"]))


def ridge(n=40, d=5):
    """Ridge regression with one regularizer per coefficient; the hypergradient through ``solve`` is exact."""
    rng = np.random.default_rng(1)
    x, y = jnp.asarray(rng.normal(size=(n, d))), jnp.asarray(rng.normal(size=n))
    xv, yv = jnp.asarray(rng.normal(size=(n, d))), jnp.asarray(rng.normal(size=n))

    def inner_loss(h, w, batch, key):
        x, y = batch
        return 0.5 * jnp.mean((x @ w - y) ** 2) + 0.5 * jnp.sum(jnp.exp(h) * w**2), {}

    def outer_loss(h, w, batch, key):
        x, y = batch
        return 0.5 * jnp.mean((x @ w - y) ** 2), {}

    def closed_form(h):
        w = jnp.linalg.solve(x.T @ x / n + jnp.diag(jnp.exp(h)), x.T @ y / n)
        return outer_loss(h, w, (xv, yv), None)[0]

    inner = bilevel.Inner.descent(inner_loss, lambda h, key: jnp.zeros(d), lambda h: optax.sgd(0.3))
    problem = bilevel.Problem(inner, outer_loss)
    hyper = jnp.asarray(rng.normal(size=d) - 1.0)
    repeat = lambda steps: jax.tree.map(lambda a: jnp.broadcast_to(a, (steps, *a.shape)), (x, y))
    return problem, hyper, repeat, (xv, yv), jax.grad(closed_form)(hyper)


@pytest.mark.parametrize(
    ("estimator", "rtol"),
    [
        (bilevel.unroll(), 1e-7),
        (bilevel.unroll(remat="sqrt"), 1e-7),
        (bilevel.forward(), 1e-7),
        (bilevel.implicit("cg", iterations=20, tolerance=1e-12), 1e-7),
        (bilevel.implicit("neumann", iterations=300, step_size=0.3), 1e-7),
        (bilevel.unroll(truncate=100), 1e-4),
        (bilevel.evolution(4000, sigma=1e-3), 0.15),
    ],
)
def test_ridge_closed_form(x64, estimator, rtol):
    problem, hyper, repeat, outer, truth = ridge()
    hypergradient = jax.jit(estimator(problem))(hyper, None, repeat(300), outer, jax.random.key(3))
    scale = float(jnp.max(jnp.abs(truth)))
    np.testing.assert_allclose(hypergradient.grad, truth, rtol=rtol, atol=rtol * scale)


def test_neumann_chooses_a_step_that_converges(x64):
    """Curvature up to 13, where a step of 1 diverges; the residual tells a good solve from a bad one."""
    problem, hyper, repeat, outer, _ = ridge()
    (x, y), (xv, yv) = jax.tree.map(lambda a: a[0], repeat(1)), outer
    x, xv, n = 3 * x, 3 * xv, len(x)

    def closed_form(h):
        w = jnp.linalg.solve(x.T @ x / n + jnp.diag(jnp.exp(h)), x.T @ y / n)
        return 0.5 * jnp.mean((xv @ w - yv) ** 2)

    truth, curvature = jax.grad(closed_form)(hyper), jnp.linalg.eigvalsh(x.T @ x / n + jnp.diag(jnp.exp(hyper)))
    largest = float(curvature[-1])
    assert largest > 2
    slower = dataclasses.replace(problem.inner, optimizer=lambda h: optax.sgd(1 / largest))
    problem = problem._replace(inner=slower)
    inner = jax.tree.map(lambda a: jnp.broadcast_to(a, (400, *a.shape)), (x, y))
    solve = lambda *args, **more: jax.jit(bilevel.implicit(*args, **more)(problem))(
        hyper, None, inner, (xv, yv), jax.random.key(0)
    )
    series, exact = solve("neumann", iterations=200), solve("cg", tolerance=1e-12)
    np.testing.assert_allclose(series.grad, truth, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(exact.grad, truth, rtol=1e-6, atol=1e-8)
    assert float(series.info["solver_residual"]) < 1e-6 and float(exact.info["solver_residual"]) < 1e-6
    few, many = (float(solve("neumann", iterations=k).info["solver_residual"]) for k in (2, 20))
    assert many < few < 1
    assert float(solve("neumann", step_size=1.0).info["solver_residual"]) > 1e3
    identity = float(solve("identity", step_size=0.1).info["solver_residual"])
    assert 0.01 < identity < 1


def test_bias_of_truncation_falls_geometrically(x64):
    """On a quadratic the error of truncating to k steps is (I - rate·H)^k of the whole: it must fall at that rate."""
    problem, hyper, repeat, outer, truth = ridge()
    args = (hyper, None, repeat(300), outer, jax.random.key(0))
    run = lambda k: jax.jit(bilevel.unroll(truncate=k)(problem))(*args).grad
    error = [float(jnp.linalg.norm(run(k) - truth)) for k in (1, 5, 20)]
    assert error[0] > 0.1 * float(jnp.linalg.norm(truth))
    assert error[0] > 1.5 * error[1] > 3 * error[2] > 0


def test_bias_of_identity_is_that_of_one_step(x64):
    """T1-T2 is the first term of the Neumann series, and at convergence one truncated step of gradient descent."""
    problem, hyper, repeat, outer, truth = ridge()
    args = (hyper, None, repeat(300), outer, jax.random.key(0))
    t1t2 = jax.jit(bilevel.implicit("identity", step_size=0.3)(problem))(*args).grad
    close(t1t2, jax.jit(bilevel.unroll(truncate=1)(problem))(*args).grad, rtol=1e-6)
    assert float(jnp.linalg.norm(t1t2 - truth)) > 0.1 * float(jnp.linalg.norm(truth))
    assert float(jnp.dot(t1t2, truth)) > 0  # biased, but downhill


def test_neumann_error_falls_with_terms(x64):
    problem, hyper, repeat, outer, truth = ridge()
    args = (hyper, None, repeat(300), outer, jax.random.key(0))
    grad = lambda k: jax.jit(bilevel.implicit("neumann", k, step_size=0.3)(problem))(*args).grad
    error = lambda k: float(jnp.linalg.norm(grad(k) - truth))
    few, more, many = (error(k) for k in (2, 20, 60))
    assert few > 2 * more > 4 * many


def test_first_order_is_the_direct_gradient_only(x64):
    """The regularizer acts through inner learning alone, so first order sees nothing of it: its bias is everything."""
    problem, hyper, repeat, outer, truth = ridge()
    hypergradient = jax.jit(bilevel.first_order()(problem))(hyper, None, repeat(50), outer, jax.random.key(0))
    np.testing.assert_array_equal(hypergradient.grad, jnp.zeros_like(hyper))
    assert float(jnp.linalg.norm(truth)) > 0


def test_first_order_maml_on_a_quadratic(x64):
    """inner ½wᵀAw, k steps of rate r: w_k = (I-rA)^k w_0. MAML's gradient is (I-rA)^k ∇outer(w_k); first order ∇outer(w_k)."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(4, 4))
    a, target, rate, k = jnp.asarray(root @ root.T / 4), jnp.asarray(rng.normal(size=4)), 0.1, 3
    quadratic = lambda h, w, b, key: (0.5 * w @ a @ w, {})
    inner = bilevel.Inner.descent(quadratic, lambda h, key: h, lambda h: optax.sgd(rate))
    problem = bilevel.Problem(inner, lambda h, w, b, key: (0.5 * jnp.sum((w - target) ** 2), {}))
    h = jnp.asarray(rng.normal(size=4))
    contraction = jnp.linalg.matrix_power(jnp.eye(4) - rate * a, k)
    outer_grad = contraction @ h - target
    args = (h, None, jnp.zeros(k), jnp.zeros(()), jax.random.key(0))
    close(jax.jit(bilevel.first_order()(problem))(*args).grad, outer_grad, rtol=1e-10)
    close(jax.jit(bilevel.unroll()(problem))(*args).grad, contraction @ outer_grad, rtol=1e-10)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_finite_difference_approximates_the_last_step(x64, optimizer):
    problem = small_problem(OPTIMIZERS[optimizer])
    hyper, inner, outer = small_data()
    args = (hyper, None, inner, outer, jax.random.key(0))
    rough = jax.jit(bilevel.finite_difference(eps=0.01)(problem))(*args)
    exact = jax.jit(bilevel.unroll(truncate=1)(problem))(*args)
    close(rough.end, exact.end, rtol=1e-10)
    close(rough.grad, exact.grad, rtol=1e-2, atol=1e-4)
    fine = jax.jit(bilevel.finite_difference(eps=1e-4)(problem))(*args)
    close(fine.grad, exact.grad, rtol=1e-5, atol=1e-7)


def test_persistent_evolution_is_unbiased_over_segments(x64):
    """Two segments of one inner step each; plain ES sees each segment alone, PES sums to the gradient of the whole."""
    fit = lambda h, w, b, key: (0.5 * (w - h) ** 2, {})
    inner = bilevel.Inner.descent(fit, lambda h, key: jnp.zeros(()), lambda h: optax.sgd(0.5))
    problem = bilevel.Problem(inner, lambda h, w, b, key: (0.5 * (w - 2.0) ** 2, {}))
    h = jnp.asarray(1.0)
    one = (jnp.zeros(1), jnp.zeros(()), jax.random.key(1))

    def whole(h):
        total, w = 0.0, 0.0
        for _ in range(2):
            w = w - 0.5 * (w - h)
            total += 0.5 * (w - 2.0) ** 2
        return total

    def sum_of(estimator):
        fn = jax.jit(estimator(problem))
        first = fn(h, None, *one)
        return first.grad + fn(h, first.end, *one[:2], jax.random.key(2)).grad

    truth = jax.grad(whole)(h)
    persistent = sum_of(bilevel.evolution(20000, sigma=0.01, persistent=True))
    plain = sum_of(bilevel.evolution(20000, sigma=0.01))
    assert float(persistent) == pytest.approx(float(truth), rel=0.03)
    assert abs(float(plain - truth)) > 0.1 * abs(float(truth))


# -- the contract that every estimator inherits --------------------------------------------------------------------


RATE, SEEDS = 0.1, 2


def contract_case(name):
    tasks = 4 if name.startswith("batched") else None
    estimator = bilevel.batched(ALL[name], chunk=2) if tasks else ALL[name]
    hyper, inner, outer = small_data(tasks=tasks)
    to32 = lambda t: jax.tree.map(lambda x: x.astype(jnp.float32), t)
    hyper, problem = to32(hyper), small_problem()
    if name in ("cg", "neumann", "identity"):  # blind to the rate and the initialization, and say so
        problem, hyper = with_fixed(problem, hyper), {"decay": hyper["decay"]}
    return problem, estimator, hyper, to32(inner), to32(outer)


def with_fixed(problem, fixed):
    """The problem with what ``hyper`` lacks taken from ``fixed``."""
    with_all = lambda f: lambda h, *rest: f({**fixed, **h}, *rest)
    inner = problem.inner
    descent = bilevel.Inner.descent(with_all(inner.loss), with_all(inner.init), with_all(inner.optimizer))
    return bilevel.Problem(descent, with_all(problem.outer_loss))


@pytest.mark.parametrize("name", ["cg", "neumann", "identity"])
@pytest.mark.parametrize("blind", ["rate", "init"])
def test_implicit_estimators_refuse_what_they_cannot_see(name, blind):
    hyper, inner, outer = small_data()
    problem = with_fixed(small_problem(), hyper)
    args = {"decay": hyper["decay"], blind: hyper[blind]}, None, inner, outer, jax.random.key(0)
    with pytest.raises(ValueError, match=rf"hyper\['{blind}'\].*reaches neither"):
        jax.eval_shape(ALL[name](problem), *args)


@functools.cache
def contract_program(name):
    """The compiled estimator and its data, for all tests of the contract."""
    problem, estimator, hyper, inner, outer = contract_case(name)
    fn = estimator(problem)
    return fn, jax.jit(fn), hyper, inner, outer


@pytest.mark.parametrize("name", ALL)
def test_contract_jit_dtypes_and_structure(name):
    fn, program, hyper, inner, outer = contract_program(name)
    args = (hyper, None, inner, outer, jax.random.key(0))
    plain = fn(*args)
    close(plain.grad, program(*args).grad, rtol=2e-3, atol=2e-4)
    assert jax.tree.structure(plain.grad) == jax.tree.structure(hyper)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), plain.grad) == jax.tree.map(lambda x: (x.shape, x.dtype), hyper)
    assert plain.value.shape == () and {"inner_loss", "seen"} <= set(plain.info)
    assert ("solver_residual" in plain.info) == (name in ("cg", "neumann", "identity"))


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_contract_seeds_in_a_loop_of_steps_are_one_program_and_resume_is_exact(name, warm_start):
    _, program, hyper, inner, outer = contract_program(name)
    problem, estimator, *_ = contract_case(name)
    tasks = 4 if name.startswith("batched") and warm_start else None
    search = bilevel.learner(problem, estimator, optax.sgd(RATE, momentum=0.9), STEPS, warm_start, tasks=tasks)
    keys = jax.random.split(jax.random.key(1), SEEDS)
    start = through_host(jax.jit(jax.vmap(search.init, (0, None)))(keys, hyper))

    @jax.jit
    def advance(states, steps):
        def update(_, carry):
            states, info = jax.vmap(search.update, (0, None))(carry[0], (inner, outer))
            return states, carry[1] & jnp.all(jnp.isfinite(jnp.stack(list(info.values()))))

        return jax.lax.fori_loop(0, steps, update, (states, jnp.array(True)))

    states, seen = start, []
    for _ in range(4):
        states, is_finite = advance(states, 1)
        assert is_finite
        seen.append(states)
    assert states.step.tolist() == [4] * SEEDS
    whole, _ = advance(start, 4)
    close(whole.hyper, states.hyper, rtol=1e-3, atol=1e-5)
    rest, resumed = (advance(half, 2)[0] for half in (seen[1], through_host(seen[1])))
    jax.tree.map(np.testing.assert_array_equal, through_host(resumed).hyper, rest.hyper)
    assert advance._cache_size() == 1, "one compilation serves all steps"
    if not warm_start:
        alone = program(hyper, None, inner, outer, jax.random.fold_in(keys[1], 0)).grad
        descended = jax.tree.map(lambda old, new: (np.asarray(old) - np.asarray(new[1])) / RATE, hyper, seen[0].hyper)
        close(descended, alone, rtol=2e-3, atol=2e-4)


def through_host(state):
    """To NumPy and back, as a checkpoint does."""
    is_key = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    numpy = lambda x: np.asarray(jax.random.key_data(x) if is_key(x) else x)
    back = lambda x: jax.random.wrap_key_data(numpy(x)) if is_key(x) else jnp.asarray(numpy(x))
    return jax.tree.map(back, state)


@pytest.mark.parametrize("name", ALL)
def test_contract_finite_where_the_inner_gradient_is_zero(name):
    _, program, hyper, inner, outer = contract_program(name)
    still = jax.tree.map(jnp.zeros_like, inner)
    if "init" in hyper:
        hyper = {**hyper, "init": jax.tree.map(jnp.zeros_like, hyper["init"])}
    hypergradient = program(hyper, None, still, outer, jax.random.key(0))
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves((hypergradient.value, hypergradient.grad)))


@functools.cache
def tasks_alone(rounds):
    """The hypergradient of each of six tasks alone, after rounds of inner learning that each goes on from the one before."""
    hyper, inner, outer = small_data(tasks=6)
    program, results = small_program("unroll", "momentum"), [None] * 6
    for _ in range(rounds):
        results = [
            program(hyper, before and before.end, taken(inner, i, 1), taken(outer, i), jax.random.key(0))
            for i, before in enumerate(results)
        ]
    return results


def mean_gradient(results):
    return jax.tree.map(lambda *g: np.mean(g, axis=0), *[result.grad for result in results])


def test_batched_is_the_mean_over_tasks(x64):
    problem = small_problem(OPTIMIZERS["momentum"])
    hyper, inner, outer = small_data(tasks=6)
    key = jax.random.key(0)
    whole = jax.jit(bilevel.batched(bilevel.unroll())(problem))(hyper, None, inner, outer, key)
    chunked = jax.jit(bilevel.batched(bilevel.unroll(), chunk=2)(problem))(hyper, None, inner, outer, key)
    mean = mean_gradient(tasks_alone(1))
    close(whole.grad, mean, rtol=1e-10)
    close(chunked.grad, mean, rtol=1e-10)
    close(chunked.end, whole.end, rtol=1e-10)
    close(dict(chunked.info), dict(whole.info), rtol=1e-10)
    assert float(chunked.value) == pytest.approx(float(whole.value), rel=1e-10)


@pytest.mark.parametrize("chunk", [None, 2])
def test_a_warm_start_of_tasks_is_every_task_alone(x64, chunk):
    """Six tasks carried on together end where each would end alone, and have the mean of its gradients."""
    hyper, inner, outer = small_data(tasks=6)
    search = bilevel.learner(
        small_problem(OPTIMIZERS["momentum"]),
        bilevel.batched(bilevel.unroll(), chunk),
        optax.sgd(0.0),
        STEPS,
        True,
        warm_up=1,
        tasks=6,
    )
    state, update = search.init(jax.random.key(0), hyper), jax.jit(search.update)
    for _ in range(3):
        state, info = update(state, (inner, outer))
    results = tasks_alone(3)
    for i, alone in enumerate(results):
        close(taken(state.inner, i), alone.end, rtol=1e-9)
    norm = float(optax.tree.norm(mean_gradient(results)))
    assert float(info["hypergradient_norm"]) == pytest.approx(norm, rel=1e-9)


def test_a_warm_start_of_tasks_names_what_is_missing():
    problem, estimator, hyper, inner, outer = contract_case("batched_unroll")
    make = lambda tasks: bilevel.learner(problem, estimator, optax.sgd(0.1), STEPS, True, tasks=tasks)
    with pytest.raises(InputError, match=r"begin: tasks must be .*batched.*got None.*tasks=4"):
        make(None).init(jax.random.key(0), hyper)
    other = make(2)
    with pytest.raises(InputError, match=r"start \['2'\], inner_batches \['4'\], outer_batch \['4'\]"):
        other.update(other.init(jax.random.key(0), hyper), (inner, outer))
    with pytest.raises(InputError, match=r"tasks must be .*, got tasks=4, warm_start=False"):
        bilevel.learner(problem, estimator, optax.sgd(0.1), STEPS, False, tasks=4)
    with pytest.raises(InputError, match=r"begin: tasks must be None .*, got 4; .*batched"):
        bilevel.unroll()(problem).begin(hyper, jax.random.key(0), 4)


def test_restart_every_begins_anew(x64):
    problem, hyper, repeat, outer, _ = ridge()
    search = bilevel.learner(problem, bilevel.unroll(), optax.sgd(0.0), 5, warm_start=True, restart_every=2)
    state, update, losses = search.init(jax.random.key(0), hyper), jax.jit(search.update), []
    for _ in range(4):
        state, info = update(state, (repeat(5), outer))
        losses.append(float(info["inner_loss"]))
    assert losses[0] == losses[2] > losses[1] == losses[3]


def test_restarts_bound_what_persistent_evolution_gathers(x64):
    """The sum of perturbations, and with it the noise of the gradient, grows as the root of the segments since a restart."""
    problem, hyper, repeat, outer, _ = ridge()
    estimator = bilevel.evolution(2000, sigma=0.1, persistent=True)
    search = bilevel.learner(problem, estimator, optax.sgd(0.0), 1, warm_start=True, restart_every=3)
    state, update, spread = search.init(jax.random.key(0), hyper), jax.jit(search.update), []
    for _ in range(5):
        state, _ = update(state, (repeat(1), outer))
        spread.append(float(jnp.std(state.inner.total)))
    np.testing.assert_allclose(spread, 0.1 * np.sqrt([1, 2, 3, 1, 2]), rtol=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bilevel.unroll(remat="cube"), "remat must be .*, got 'cube'"),
        (lambda: bilevel.unroll(truncate=0), "truncate must be .*, got 0"),
        (lambda: bilevel.implicit("lu"), "solver must be .*, got 'lu'"),
        (lambda: bilevel.implicit(damping=-1.0), "damping=-1.0"),
        (lambda: bilevel.finite_difference(eps=0.0), "eps must be a positive number, got 0.0"),
        (lambda: bilevel.evolution(population=3), "population=3"),
        (lambda: bilevel.batched(bilevel.unroll(), chunk=0), "chunk must be .*, got 0"),
        (
            lambda: bilevel.learner(small_problem(), bilevel.unroll(), optax.sgd(0.1), 0, True),
            "inner_steps must be .*, got 0",
        ),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_wrong_number_of_inner_batches_is_named():
    problem, estimator, hyper, inner, outer = contract_case("unroll")
    search = bilevel.learner(problem, estimator, optax.sgd(0.1), 3, False)
    with pytest.raises(ValueError, match="must have inner_steps=3 batches, got 6"):
        search.update(search.init(jax.random.key(0), hyper), (inner, outer))
    with pytest.raises(ValueError, match="leading axis"):
        estimator(problem)(hyper, None, (inner[0], inner[1][:2]), outer, jax.random.key(0))


# -- how the inner problem is solved ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(ALL) - {"evolution"}))
def test_an_estimator_of_steps_refuses_a_solution(name):
    solved = bilevel.Problem(bilevel.Inner.solution(lambda h, batch, key: h), lambda h, w, batch, key: (w, {}))
    with pytest.raises(InputError, match=r"must be Inner\.descent.*got Inner\.solution.*use bilevel\.through_solution"):
        ALL[name](solved)


def test_through_solution_refuses_a_descent_and_a_warm_start():
    with pytest.raises(InputError, match=r"must be Inner\.solution\(solve\), got Inner\.descent.*use bilevel\.unroll"):
        bilevel.through_solution()(small_problem())
    problem = bilevel.Problem(bilevel.Inner.solution(lambda h, batch, key: h), lambda h, w, batch, key: (w, {}))
    search = bilevel.learner(problem, bilevel.through_solution(), optax.sgd(0.1), 1, warm_start=True)
    with pytest.raises(InputError, match=r"no state to carry over; use .*warm_start=False"):
        search.init(jax.random.key(0), jnp.zeros(()))


def test_a_solution_is_differentiated_exactly_and_by_evolution(x64):
    """Ridge regression in closed form: the truth by its own derivative, the smoothed gradient near it."""
    problem, hyper, repeat, outer, truth = ridge()

    def solve(h, batch, key):
        x, y = batch
        return jnp.linalg.solve(x.T @ x / len(y) + jnp.diag(jnp.exp(h)), x.T @ y / len(y))

    solved = bilevel.Problem(bilevel.Inner.solution(solve), problem.outer_loss)
    args = (hyper, None, repeat(1), outer, jax.random.key(3))
    exact, smoothed = (
        jax.jit(estimator(solved))(*args)
        for estimator in (bilevel.through_solution(), bilevel.evolution(4000, sigma=1e-3))
    )
    np.testing.assert_allclose(exact.grad, truth, rtol=1e-12)
    np.testing.assert_allclose(smoothed.grad, truth, rtol=0.15, atol=0.15 * float(jnp.max(jnp.abs(truth))))
    assert float(smoothed.value) == pytest.approx(float(exact.value), rel=1e-12)
