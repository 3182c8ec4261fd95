"""Single paths that are drawn without a derivative: one operation of every choice is computed."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import AnyArray, checked
from metajax.space import Space
from metajax.supernet._logits import choice_runs, choice_slices, map_choices
from metajax.supernet._protocols import Encode, Logits, Moment, Relaxation
from metajax.supernet.relaxations._rules import encode_by_rule, probabilities
from metajax.types import Key, stream


@checked
def _one_hot_draw(logits: Float[AnyArray, "*batch choices"], key: Key | None = None) -> Float[Array, "*batch choices"]:
    """Draws one value from the softmax of the logits."""
    assert key is not None
    return jax.nn.one_hot(jax.random.categorical(key, logits), logits.shape[-1], dtype=logits.dtype)


def policy_paths(number: int) -> Encode:
    """Draws paths from the softmax of the logits.

    Args:
        number: The number of paths of one step, at least 1.

    Returns:
        The encoding function.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space = spaces.cell_space(2)
        >>> sure = {"edge_0_1": 100.0 * jnp.arange(5.0)}
        >>> policy_paths(2)(space, sure, Moment(0.0, jnp.ones(5)), jax.random.key(0)).tolist()
        [[0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 1.0]]
    """
    draw = encode_by_rule(lambda progress: _one_hot_draw)

    @checked
    def encode(space: Space, logits: Logits, moment: Moment, key: Key) -> Float[Array, "paths {space.width}"]:
        return jax.vmap(lambda k: draw(space, logits, moment, k)[0])(jax.random.split(key, number))

    return encode


def uniform_paths(number: int = 1) -> Encode:
    """Draws paths uniformly from the values that are not pruned.

    Args:
        number: The number of paths of one step, at least 1.

    Returns:
        The encoding function; it does not read the logits.

    References:
        Guo et al. 2020, "Single path one-shot neural architecture search with uniform sampling" (SPOS), arXiv:1904.00420.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(0.0, jnp.asarray([0.0, 0.0, 0.0, 0.0, 1.0]))
        >>> uniform_paths()(space, space.zeros(), moment, jax.random.key(0)).tolist()  # one value is open
        [[0.0, 0.0, 0.0, 0.0, 1.0]]
    """
    draw = policy_paths(number)

    @checked
    def encode(space: Space, logits: Logits, moment: Moment, key: Key) -> Float[Array, "paths {space.width}"]:
        return draw(space, jax.tree.map(jnp.zeros_like, logits), moment, key)

    return encode


def fair_paths() -> Encode:
    """Draws as many paths as a choice has values, so that each value of each choice lies in exactly one of them.

    Choices with fewer values repeat them. Pruned values are replaced by drawn ones.

    Returns:
        The encoding function; it does not read the logits.

    References:
        Chu et al. 2021, "FairNAS: rethinking evaluation fairness of weight sharing neural architecture search" (strict
        fairness), arXiv:1907.01845.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(3), Moment(0.0, jnp.ones(15))
        >>> paths = fair_paths()(space, space.zeros(), moment, jax.random.key(0))
        >>> paths.shape, bool((paths.sum(axis=0) == 1).all())
        ((5, 15), True)
    """
    draw = uniform_paths()

    @checked
    def encode(space: Space, logits: Logits, moment: Moment, key: Key) -> Float[Array, "paths {space.width}"]:
        number = max(part.stop - part.start for _, part in choice_slices(space))
        paths_key, order_key = stream(key, "paths"), stream(key, "order")
        draw_path = lambda i: draw(space, logits, moment, jax.random.fold_in(paths_key, i))[0]
        paths = jax.vmap(draw_path)(jnp.arange(number))
        parts, index = [], 0
        for columns, shape in choice_runs(space):
            part = paths[:, columns]
            if shape is not None:
                keys = jax.vmap(lambda i: jax.random.fold_in(order_key, i))(index + jnp.arange(shape[0]))
                blocks = part.reshape(number, *shape)
                fair = jax.vmap(_every_value, (0, 0, 1), 1)(keys, moment.mask[columns].reshape(shape), blocks)
                part, index = fair.reshape(part.shape), index + shape[0]
            parts.append(part)
        return jnp.concatenate(parts, axis=1)

    return encode


def _every_value(key: Key, mask: jax.Array, sampled_paths: jax.Array) -> jax.Array:
    """Returns f32[paths, values]: each value of a choice in a path of its own; pruned values are replaced by drawn ones."""
    number, width = sampled_paths.shape
    order = jax.random.permutation(key, jnp.arange(number) % width)
    rows = jax.nn.one_hot(order, width, dtype=sampled_paths.dtype)
    is_open = jnp.sum(rows * mask, axis=1, keepdims=True)
    return is_open * rows + (1 - is_open) * sampled_paths


@checked
def sandwich_paths(random: int = 2, sizes: Float[AnyArray, " width"] | None = None) -> Encode:
    """Returns the largest path, the smallest, and some that are drawn uniformly.

    Args:
        random: The number of drawn paths, at least 1.
        sizes: The size of every value of every choice, f32[width], such as ``regularizers.cost_table`` makes. By default values
            are taken to be in order of size, as those of the elastic spaces are. A value whose size is NaN is in neither
            extreme path: with ``none`` everywhere the smallest path would compute a constant and learn nothing.

    Returns:
        The encoding function; it does not read the logits.

    References:
        Yu and Huang 2019, "Universally slimmable networks and improved training techniques" (the sandwich rule),
        arXiv:1903.05134.

    Example:
        >>> from metajax.supernet import Moment, spaces
        >>> space, moment = spaces.cell_space(2), Moment(0.0, jnp.ones(5))
        >>> sizes = jnp.asarray([jnp.nan, 0.0, 1.0, 9.0, 0.5])  # none, skip, conv1x1, conv3x3, avg_pool
        >>> paths = sandwich_paths(1, sizes)(space, space.zeros(), moment, jax.random.key(0))
        >>> [config["edge_0_1"] for config in space.decode(paths[:2])]
        ['conv3x3', 'skip']
    """
    draw = uniform_paths(random)

    @checked
    def encode(space: Space, logits: Logits, moment: Moment, key: Key) -> Float[Array, "paths {space.width}"]:
        order = jnp.arange(space.width, dtype=jnp.float32) if sizes is None else jnp.asarray(sizes, jnp.float32)
        mask = map_choices(space, _sized, moment.mask, order)
        order = jnp.nan_to_num(order)
        by_size = {**logits, **{name: order[part] for name, part in choice_slices(space)}}
        hardest = lambda x, key=None: jax.nn.one_hot(jnp.argmax(x), x.shape[-1], dtype=x.dtype)
        extreme = lambda sign: encode_by_rule(lambda progress: hardest)(
            space, jax.tree.map(lambda x: sign * x, by_size), moment._replace(mask=mask), key
        )
        return jnp.concatenate([extreme(1.0), extreme(-1.0), draw(space, logits, moment, stream(key, "paths"))])

    return encode


def _sized(mask: jax.Array, sizes: jax.Array) -> jax.Array:
    """Returns the mask of a choice without the values that have no size, unless that are all."""
    sized = jnp.where(jnp.isfinite(sizes), mask, 0.0)
    return jnp.where(jnp.any(sized > 0), sized, mask)


def sampled_paths(train: Encode) -> Relaxation:
    """Lets the weights learn on paths that do not depend on the logits. The logits stay; a later search decides.

    Args:
        train: The function that draws the paths, such as ``uniform_paths()``, ``fair_paths()`` or ``sandwich_paths()``.

    Returns:
        The relaxation, judged by one uniform path. Use it with ``bilevel.weights_only()``.

    References:
        Guo et al. 2020, arXiv:1904.00420.

    Example:
        >>> from metajax.supernet import spaces
        >>> space = spaces.cell_space(2)
        >>> strengths = sampled_paths(uniform_paths()).strengths(space, space.zeros(), jnp.ones(5))
        >>> round(float(strengths.min()), 4), round(float(strengths.max()), 4)
        (0.2, 0.2)
    """
    return Relaxation(train, uniform_paths(1), probabilities, 0.0)
