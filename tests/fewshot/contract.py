"""What every few-shot method must do, as checks of ``(method, init, batches)``: ``init(key) -> params`` are the initial
parameters, ``batches(key)`` is what ``update`` takes. Used by the test suite, and by whoever adds a method."""

import functools
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from metajax import fewshot, run


def start_of(method, init):
    return method.init(jax.random.key(0), init(jax.random.key(1)))


def floats(tree):
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]


def close(a, b, rtol=2e-3, atol=2e-4):
    for x, y in zip(floats(a), floats(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


def compiles_once_and_stays_finite(method, init, batches):
    """One compilation serves all steps, types and shapes stay, something is learned, a blank task gives no NaN."""
    start, update = start_of(method, init), jax.jit(method.update)
    state, _ = update(start, batches(jax.random.key(0)))
    state, info = update(state, batches(jax.random.key(1)))
    assert int(state.step) == 2
    assert all(np.isfinite(v) for v in info.values())
    kinds = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert kinds(state) == kinds(start)
    assert any(np.any(x != y) for x, y in zip(floats(start.hyper), floats(state.hyper))), "nothing was learned"
    blank = jax.tree.map(jnp.zeros_like, batches(jax.random.key(0)))
    after, info = update(state, blank)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in floats((after, info)))
    assert update._cache_size() == 1, "one compilation serves all steps"
    return state


def evaluates(method, hyper, task, metric):
    """``adapt`` has an entry for each step, and the protocol takes it."""
    report = fewshot.evaluate(method, hyper, task, metric, jax.random.key(6), 40, chunk=20)
    assert report.mean.shape == (method.test_steps + 1,)
    assert np.all(np.isfinite(report.mean)) and not report.diverged


def jit_and_scan_change_nothing(method, init, batches):
    """The same with and without jit, and in a scan as in a loop."""
    start, update = start_of(method, init), jax.jit(method.update)
    draws, state = [batches(jax.random.key(t)) for t in range(4)], start
    for draw in draws:
        state, _ = update(state, draw)
    close(method.update(start, draws[0])[0].hyper, update(start, draws[0])[0].hyper)
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *draws)
    scanned, _ = jax.jit(lambda s: jax.lax.scan(method.update, s, stacked))(start)
    close(scanned.hyper, state.hyper)


def vmaps_over_seeds(method, init, batches):
    keys, draw = jax.random.split(jax.random.key(5), 2), batches(jax.random.key(2))
    step = lambda key: method.update(method.init(key, init(key)), draw)[0].hyper
    many = jax.jit(jax.vmap(step))(keys)
    close(jax.tree.map(lambda x: x[1], many), jax.jit(step)(keys[1]))


def resumes_to_the_same_bits(method, init, batches):
    train = functools.partial(run.train, method.learner, start_of(method, init), batches, chunk=2, show=False)
    whole = train(4)
    with tempfile.TemporaryDirectory() as folder:
        with run.RunDirectory(f"{folder}/r", {}) as directory:
            train(2, directory)
        with run.RunDirectory(f"{folder}/r", {}, resume=True) as directory:
            resumed = train(4, directory)
    for a, b in zip(floats(whole), floats(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def check(method, init, task, tasks=4, metric="accuracy"):
    """The whole contract for a method that takes episodes of ``task``."""
    batches = fewshot.tasks(task, tasks)
    state = compiles_once_and_stays_finite(method, init, batches)
    evaluates(method, state.hyper, task, metric)
    for part in (jit_and_scan_change_nothing, vmaps_over_seeds, resumes_to_the_same_bits):
        part(method, init, batches)
