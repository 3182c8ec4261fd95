"""What every search method keeps: one line in ``supernet.METHODS`` puts a method under all of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import fewshot, nn, supernet
from metajax.run.checkpoint import Checkpoints

SPACE = supernet.cell_space(3)
STEPS = 12


def informative(number: int = 96):
    """A class is where the bright row is."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, number).astype(np.int32)
    x = rng.normal(size=(number, 4, 4, 1)).astype(np.float32) * 0.3
    for i, label in enumerate(y):
        x[i, label] += 2.0
    return jnp.asarray(x), jnp.asarray(y)


def make(name: str) -> supernet.Search:
    """The method on a tiny network."""
    x, y = informative()
    recipe = supernet.recipe(name, SPACE, (x[:32], y[:32]))
    build = lambda rngs: supernet.CellNet(
        SPACE, 3, 4, 1, stride=2, partial=recipe.partial, single_path=recipe.single_path, rngs=rngs
    )
    return supernet.search(
        SPACE,
        nn.functional(build),
        fewshot.cross_entropy,
        optax.chain(optax.add_decayed_weights(recipe.weight_decay), optax.sgd(0.1, momentum=0.9)),
        recipe.outer_optimizer(STEPS - round(recipe.warm_up * STEPS)),
        STEPS,
        recipe.relaxation,
        recipe.estimator(),
        recipe.regularisers,
        recipe.disturb,
        recipe.events,
        recipe.over_paths,
        warm_up=round(recipe.warm_up * STEPS),
    )


def batch(key):
    x, y = informative()
    rows = jax.random.randint(key, (2, 16), 0, len(y))
    return (x[rows[:1]], y[rows[:1]]), (x[rows[1]], y[rows[1]])


def check(name: str, folder) -> None:
    """Loop = scan; saved, loaded and gone on = left alone, to the bit; dtypes kept; one compilation; finite, whatever the
    data; strengths that decide."""
    search = make(name)
    traces = []

    def update(state, given):
        traces.append(1)
        return search.update(state, given)

    step = jax.jit(update)
    begun = state = search.init(jax.random.key(0))
    batches = [batch(key) for key in jax.random.split(jax.random.key(1), STEPS)]
    for number, given in enumerate(batches):
        state, info = step(state, given)
        if number == STEPS // 2:
            saved = Checkpoints(folder / "checkpoints")
            saved.save(number, state, None, None)
    jax.tree.map(lambda a, b: (_same(a.dtype, b.dtype), _same(a.shape, b.shape)), begun, state)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((info, state.params, state.logits)))

    resumed = Checkpoints(folder / "checkpoints").restore(begun)[1]
    for given in batches[STEPS // 2 + 1 :]:
        resumed, _ = step(resumed, given)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(_plain(a), _plain(b)), state, resumed)

    nothing = jax.tree.map(jnp.zeros_like, batches[0])
    dull, info = step(begun, nothing)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((info, dull.params, dull.logits)))
    assert len(traces) == 1, "compiled more than once"

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *batches)
    scanned, _ = jax.jit(lambda s: jax.lax.scan(update, s, stacked))(begun)
    close(scanned, state, 1e-3)

    strengths = search.strengths(state)
    assert strengths.shape == (SPACE.width,)
    assert SPACE.configs([supernet.decide(SPACE, strengths)])


def close(a, b, tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(_plain(x), _plain(y), rtol=tolerance, atol=tolerance), a, b)


def _plain(x):
    return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)


def _same(a, b):
    assert a == b
