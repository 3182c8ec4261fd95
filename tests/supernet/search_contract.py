"""What every search method keeps: one line in ``supernet.METHODS`` puts a method under all of it.

Compiling is nearly all the time that a method takes here. So a method has one compiled program, which all of its tests share,
and the network is as small as a search can be: one cell of three edges with three operations on 4 x 4 pixels.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metajax import fewshot, nn, supernet

SPACE = supernet.spaces.cell_space(3, ("none", "skip", "conv1x1"))
STEPS = 12
STEPS_PER_EPOCH = 4


@functools.cache
def informative(number: int = 96):
    """A class is where the bright row is."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, number).astype(np.int32)
    x = rng.normal(size=(number, 4, 4, 1)).astype(np.float32) * 0.3
    for i, label in enumerate(y):
        x[i, label] += 2.0
    return x, y


def batch(seed: int, inner_steps: int = 1):
    """Batches of training, a batch of validation, and the validation part."""
    x, y = informative()
    rows = np.random.default_rng(seed).integers(0, len(y), (inner_steps + 1, 16))
    return (x[rows[:-1]], y[rows[:-1]]), (x[rows[-1]], y[rows[-1]]), (x[:32], y[:32])


class Case:
    """A method on the tiny network, and the one program that runs it.

    Attributes:
        search: the method.
        batches: of ``STEPS`` steps, stacked.
        advance: ``(state, batches, first, last) -> (state, last info)``, steps ``first`` to before ``last``.
        begun, ended: states before the first and after the last step, these in one call.
        info: of the last step.
    """

    def __init__(self, name: str):
        recipe = supernet.METHODS[name].recipe(SPACE)
        build = lambda rngs: supernet.spaces.CellNet(
            SPACE, 3, 4, 1, stride=2, partial=recipe.partial, single_path=recipe.single_path, rngs=rngs
        )
        descent = optax.sgd(recipe.weights_schedule(0.1, STEPS), momentum=0.9)
        optimizer = optax.chain(optax.add_decayed_weights(recipe.weight_decay), descent)
        network = nn.functional(build)
        self.search = recipe.build(
            SPACE, network, fewshot.cross_entropy, optimizer, steps=STEPS, steps_per_epoch=STEPS_PER_EPOCH
        )
        update = jax.jit(self.search.update)  # traced once, wherever it is called

        def advance(state, batches, first, last):
            pick = lambda i: jax.tree.map(lambda x: x[i], batches)
            begun = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(update, state, pick(0))[1])
            return jax.lax.fori_loop(first, last, lambda i, carry: update(carry[0], pick(i)), (state, begun))

        self.recipe, self.advance = recipe, jax.jit(advance)
        given = [batch(seed, recipe.inner_steps) for seed in range(STEPS)]
        # bound to a device, as what is restored will be: else it would be compiled again
        put = functools.partial(jax.device_put, device=jax.devices()[0])
        self.batches = put(jax.tree.map(lambda *x: np.stack(x), *given))
        self.begun = put(jax.jit(self.search.init)(jax.random.key(0)))
        self.ended, self.info = self.advance(self.begun, self.batches, 0, STEPS)


def finite(*trees) -> bool:
    return all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(trees))


def close(a, b, tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(plain(x), plain(y), rtol=tolerance, atol=tolerance), a, b)


def same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(plain(x), plain(y)), a, b)


def plain(x):
    return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
