"""Plain training is the loop that one would write, as a Learner that resumes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel, run


def loss(params, batch, key):
    noise = jax.random.normal(key, batch.shape, batch.dtype)
    return jnp.mean((params["w"] * batch + 0.01 * noise - 1.0) ** 2), {"noise": jnp.mean(noise)}


def learner(optimizer):
    return bilevel.supervised(lambda key: {"w": jax.random.normal(key)}, loss, optimizer)


def test_it_is_the_plain_loop():
    optimizer = optax.adam(0.1)
    method, key = learner(optimizer), jax.random.key(0)
    state = method.init(key)
    params, opt_state = state.params, optimizer.init(state.params)
    for step in range(5):
        batch = jax.random.normal(jax.random.key(step), (8,))
        (expected, _), grads = jax.value_and_grad(loss, has_aux=True)(params, batch, jax.random.fold_in(key, step))
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        state, info = jax.jit(method.update)(state, batch)
        np.testing.assert_allclose(info["loss"], expected, rtol=1e-6)
    np.testing.assert_allclose(state.params["w"], params["w"], rtol=1e-6)
    assert int(state.step) == 5
    assert set(info) == {"loss", "noise"}


def test_it_resumes_to_the_same_bits(tmp_path):
    method, sample = learner(optax.sgd(0.1, momentum=0.9)), lambda key: jax.random.normal(key, (8,))

    def trained(folder, *steps):
        for again, number in enumerate(steps):
            with run.RunDirectory(tmp_path / folder, {}, resume=bool(again)) as directory:
                state = run.train(
                    method, method.init(jax.random.key(0)), sample, number, directory, chunk=5, show=False
                )
        return state.params["w"]

    assert trained("whole", 20) == trained("parts", 10, 20)
