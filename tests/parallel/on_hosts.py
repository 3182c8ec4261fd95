"""A training by two processes, as on two hosts: ``python on_hosts.py PORT PROCESS OUT STEPS``; PORT 0 is one process alone."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel, parallel, run

X = np.random.default_rng(0).normal(size=(256, 6)).astype(np.float32)


def loss(w, batch, key):
    return jnp.mean((batch @ w - batch.sum(axis=1) + 0.1 * jax.random.normal(key, batch.shape[:1])) ** 2), {}


LEARNER = bilevel.supervised(lambda key: jax.random.normal(key, (6,)), loss, optax.adam(0.05))


def sampler(key):
    return jnp.asarray(X)[jax.random.randint(key, (64,), 0, len(X))]


def own_batches(process, processes):
    """The part of this process of each batch."""
    number = 0
    while True:
        rows = np.random.default_rng(number).integers(0, len(X), 64)
        yield X[np.split(rows, processes)[process]]
        number += 1


def main(port, process, out, steps):
    processes = 1 if port == "0" else 2
    if processes > 1:
        parallel.connect(f"127.0.0.1:{port}", processes, process, seconds=120)
    state, show = LEARNER.init(jax.random.key(0)), {"show": False, "devices": "all"}
    with run.RunDirectory(out, {}, resume=True) as directory:
        end = run.train(LEARNER, state, sampler, steps, directory, chunk=10, **show)
        directory.finish({"metrics": {"first": float(np.asarray(end.params)[0])}})
    end_of_parts = run.train(LEARNER, state, own_batches(process, processes), 10, **show)
    try:
        run.train(LEARNER, state, sampler, 1, show=False, devices=1)
        message = ""
    except ValueError as error:
        message = str(error)
    print(*np.asarray(end.params).tolist(), *np.asarray(end_of_parts.params).tolist(), sep=",")
    print(message)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
