"""A small training run in its own process, to be killed: ``python target.py OUT``."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel, run

STEPS, CHUNK = 3000, 10


class Counting:
    """An iterator of batches with a position."""

    def __init__(self):
        self.at = 0

    def __next__(self):
        self.at += 1
        return np.random.default_rng(self.at).normal(size=(3, 4)).astype(np.float32), np.ones(4, np.float32)

    def get_state(self):
        return {"at": self.at}

    def set_state(self, state):
        self.at = state["at"]


def learner():
    inner = bilevel.Inner.descent(
        lambda h, w, b, key: (jnp.sum((w - b - 0.1 * jax.random.normal(key)) ** 2 * jnp.exp(h)), {}),
        lambda h, key: jax.random.normal(key, (4,)),
        lambda h: optax.sgd(0.1, momentum=0.9),
    )
    problem = bilevel.Problem(inner, lambda h, w, b, key: (jnp.sum((w - b) ** 2), {}))
    return bilevel.learner(problem, bilevel.unroll(), optax.adam(1e-3), 3, warm_start=True)


def sampler(key):
    return jax.random.normal(key, (3, 4)), jnp.ones(4)


def main(out, kind, steps=STEPS, show=False):
    method = learner()
    state = method.init(jax.random.key(0), jnp.zeros(4))
    with run.RunDirectory(out, {"seed": 0, "kind": kind}, resume=True) as directory:
        batches = sampler if kind == "sampler" else Counting()
        score = lambda s: {"score": float(jnp.sum(s.hyper))}
        state = run.train(
            method,
            state,
            batches,
            steps,
            directory,
            chunk=CHUNK,
            evaluate=score,
            evaluate_every=100,
            best="score",
            checkpoint_seconds=0.0,
            show=show,
        )
        directory.finish({"metrics": {"score": float(jnp.sum(state.hyper))}})
    bits = [np.asarray(x).tobytes().hex() for x in jax.tree.leaves(state._replace(key=jax.random.key_data(state.key)))]
    print("\n".join(bits))


if __name__ == "__main__":
    sys.exit(run.main(lambda: main(sys.argv[1], sys.argv[2])))
