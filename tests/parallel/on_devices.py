"""Trainings on one device and on several, compared in a process with eight virtual ones: ``python on_devices.py``."""

import json
import re
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import bilevel, fewshot, nn, parallel, predictor, run, search, supernet
from metajax.run import compiled_chunk
from metajax.space import Integer, Space
from metajax.types import InputError

X = np.random.default_rng(0).normal(size=(256, 6)).astype(np.float32)
Y = (X @ np.arange(6) / 3).astype(np.float32)


def squared(w, batch, key):
    return jnp.mean((batch[0] @ w - batch[1] + 0.1 * jax.random.normal(key, batch[1].shape)) ** 2), {}


def draw(key, *shape):
    rows = jax.random.randint(key, shape, 0, len(X))
    return jnp.asarray(X)[rows], jnp.asarray(Y)[rows]


SUPERVISED = bilevel.supervised(lambda key: jax.random.normal(key, (6,)), squared, optax.adam(0.05))


def difference(a, b):
    """The largest difference of two trees, relative to the size of the values."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return max(float(np.abs(np.asarray(x) - np.asarray(y)).max() / (1 + np.abs(np.asarray(x)).max())) for x, y in pairs)


def train(learner, state, sampler, devices, axes=0, steps=20, directory=None):
    end = run.train(learner, state, sampler, steps, directory, chunk=10, show=False, devices=devices, batch_axes=axes)
    return {name: part for name, part in end._asdict().items() if name != "key"}


def compare(learner, state, sampler, axes=0, numbers=(8,)):
    one = train(learner, state, sampler, None)
    return max(difference(one, train(learner, state, sampler, n, axes)) for n in numbers)


def supervised():
    return compare(SUPERVISED, SUPERVISED.init(jax.random.key(0)), lambda key: draw(key, 64), numbers=(1, 2, 8))


def maml_learner(chunk=None):
    loss = lambda w, batch, key: (jnp.mean((batch[0] @ w - batch[1]) ** 2), {})
    return fewshot.maml(loss, optax.sgd(0.05), optax.adam(0.01), 2, chunk=chunk)


def draw_episodes(key):
    return fewshot.Episode(draw(key, 16, 5), draw(jax.random.fold_in(key, 1), 16, 10))


def maml(chunk=None):
    learner = maml_learner(chunk)
    return compare(learner, learner.init(jax.random.key(0), jnp.zeros(6)), draw_episodes)


def maml_in_chunks():
    return maml(8)


def score(devices):
    method = fewshot.maml(fewshot.squared_error(lambda w, x: x @ w), optax.sgd(0.05), optax.adam(0.01), 2)
    hyper = jax.random.normal(jax.random.key(2), (1, 1))
    sampler = fewshot.episodes.sinusoid(5, 10)
    return fewshot.evaluate(method, hyper, sampler, "mse", jax.random.key(1), 64, chunk=16, devices=devices).mean


def evaluated():
    return difference(score(None), score(8))


def hyperparameters():
    """The inner batches have an axis of steps in front of that of examples."""
    inner = bilevel.Inner.descent(
        lambda h, w, batch, key: (squared(w, batch, key)[0] + jnp.sum(jnp.exp(h) * w**2), {}),
        lambda h, key: jax.random.normal(key, (6,)),
        lambda h: optax.sgd(0.05),
    )
    problem = bilevel.Problem(inner, lambda h, w, batch, key: squared(w, batch, key))
    learner = bilevel.learner(problem, bilevel.unroll(), optax.adam(0.01), 3, warm_start=True)
    sampler = lambda key: (draw(key, 3, 16), draw(jax.random.fold_in(key, 1), 16))
    return compare(learner, learner.init(jax.random.key(0), jnp.zeros(6)), sampler, (1, 0))


def searched():
    space = supernet.spaces.cell_space(2)
    rng = np.random.default_rng(0)
    part = rng.normal(size=(32, 4, 4, 1)).astype(np.float32), np.arange(32) % 3
    network = nn.functional(lambda rngs: supernet.spaces.CellNet(space, 3, 4, 1, rngs=rngs))
    ends = [
        supernet.run(
            "darts-1", space, network, fewshot.cross_entropy, [part, part], steps=3, batch_size=16, devices=devices
        ).state
        for devices in (None, 4)
    ]
    return difference(*({"params": end.params, "hyper": end.hyper} for end in ends))


def exhausted():
    net = supernet.spaces.elastic_mlp(1, 2, (1,), (2, 4))
    part = np.linspace(-1, 1, 64, dtype=np.float32)[:, None], np.arange(64) // 32
    setup = supernet.truth.TrainingSetup(2, batch_size=16)
    tables = [supernet.truth.exhaust(net.space, net.network, part, part, setup, devices=n).accuracy for n in (1, 8)]
    return difference(*tables)


def enumerated():
    space = Space({"layers": Integer(1, 8), "width": Integer(1, 8)})
    metric = [-((c["layers"] - 3) ** 2) - c["width"] for c in space.dicts(space.at(range(64)))]
    model = predictor.fit(
        predictor.Trials.from_arrays(space, space.at(range(64)), metric), predictor.mlp((8,)), "value"
    )
    found = [search.maximize(model, search.Enumerate(devices=n), k=3) for n in (1, 8)]
    assert found[0].configs == found[1].configs
    return difference(*(each.values for each in found))


def resumed():
    """A run goes on with other devices than it began with."""
    state, sampler = SUPERVISED.init(jax.random.key(0)), lambda key: draw(key, 64)
    path = Path(tempfile.mkdtemp()) / "run"
    for n, steps in ((8, 10), (2, 20), (None, 30)):
        with run.RunDirectory(path, {}, resume=True) as directory:
            end = train(SUPERVISED, state, sampler, n, steps=steps, directory=directory)
    return difference(end, train(SUPERVISED, state, sampler, None, steps=30))


def iterated():
    """An iterator's batches are put on the devices as they come."""

    def batches():
        key = jax.random.key(1)
        while True:
            key = jax.random.fold_in(key, 0)
            yield jax.tree.map(np.asarray, draw(key, 64))

    state = SUPERVISED.init(jax.random.key(0))
    return difference(*(train(SUPERVISED, state, batches(), n) for n in (None, 4)))


def collectives(learner, state, sampler):
    """The number of collectives in a compiled step, by kind."""
    placement = parallel.Placement(parallel.mesh(8))
    chunk = compiled_chunk(learner, sampler, placement)
    text = chunk.func.lower(chunk.args[0], placement.replicate(state), None, 2).compile().as_text()
    kinds = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
    return {kind: len(re.findall(rf"= \S+ {kind}(?:-start)?\(|\) {kind}(?:-start)?\(", text)) for kind in kinds}


def communication():
    learners = {"supervised": (SUPERVISED, SUPERVISED.init(jax.random.key(0)), lambda key: draw(key, 64))}
    for name, chunk in {"maml": None, "maml in chunks": 1}.items():
        learner = maml_learner(chunk)
        learners[name] = (learner, learner.init(jax.random.key(0), jnp.zeros(6)), draw_episodes)
    return {name: collectives(*each) for name, each in learners.items()}


def refused():
    state, sampler = SUPERVISED.init(jax.random.key(0)), lambda key: draw(key, 60)
    two_axes = jax.sharding.Mesh(np.asarray(jax.devices()).reshape(2, 4), ("a", "b"))
    asked = [(8, 0), (9, 0), (0, 0), ("both", 0), (two_axes, 0), ([jax.devices()[0]] * 2, 0), (4, 3), (4, (0, 0, 0))]
    calls = [lambda d=devices, a=axes: train(SUPERVISED, state, sampler, d, a) for devices, axes in asked]
    messages = []
    for call in [*calls, lambda: score(3)]:
        try:
            call()
        except InputError as error:
            messages.append(str(error))
        else:
            messages.append("")
    return messages


CASES = (
    supervised,
    maml,
    maml_in_chunks,
    evaluated,
    hyperparameters,
    searched,
    exhausted,
    enumerated,
    resumed,
    iterated,
)

if __name__ == "__main__":
    print(json.dumps({case.__name__: case() for case in (*CASES, communication, refused)}))
