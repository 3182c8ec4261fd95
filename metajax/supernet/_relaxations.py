"""How logits become the encodings under which a SuperNet learns and is judged: one part of every search method."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metajax.space import Categorical, Space, rules
from metajax.types import Info, InputError, Key, Scalar, stream

Logits = dict[str, jax.Array]


class Moment(NamedTuple):
    """Where a search stands.

    Attributes:
        progress: f32[], from 0 at the first step to 1 at the last.
        mask: f32[width] of the space, 1 where a choice is still open and 0 where it was pruned.
        epoch: f32[], passes over the training part so far, whatever the length of the search.
    """

    progress: jax.Array
    mask: jax.Array
    epoch: Any = 0.0


Encode = Callable[[Space, Logits, Moment, Key], jax.Array]


class Score(NamedTuple):
    """What a search by REINFORCE (Williams 1992) needs beside its paths.

    Attributes:
        distribution: ``(logits) -> logits`` of the distribution from which the paths are drawn.
        cost: ``(loss, info) -> scalar`` of one path, which the search makes small.
    """

    distribution: Callable[[Logits], Logits]
    cost: Callable[[Scalar, Info], Scalar]


class Relaxation(NamedTuple):
    """Logits and what they mean.

    Attributes:
        train: ``(space, logits, moment, key) -> f32[paths, width]``: the encodings under which weights learn.
        judge: the same, for the outer loss.
        strengths: ``(space, logits, mask) -> f32[width]``: what a choice is worth, to decide by.
        scale: of the random initial logits.
        score: if given, the outer gradient is that of REINFORCE over the paths of ``judge`` instead of the derivative
            through the encoding; the baseline of a path is the mean cost of the others.
        extra: ``(space) -> logits`` that are learned beside those of the space.
    """

    train: Encode
    judge: Encode
    strengths: Callable[[Space, Logits, jax.Array], jax.Array]
    scale: float = 1e-3
    score: Score | None = None
    extra: Callable[[Space], Logits] | None = None


def blocks(space: Space) -> list[tuple[str, slice]]:
    """The categorical choices and where they lie in an encoding."""
    return [(name, space.slices[name]) for name, domain in space.domains.items() if isinstance(domain, Categorical)]


def masked(space: Space, logits: Logits, mask: jax.Array) -> Logits:
    """Logits with those of pruned choices at -1e9."""
    part = dict(blocks(space))
    return {
        name: jnp.where(mask[part[name]] > 0, value, -1e9) if name in part else value for name, value in logits.items()
    }


def relaxed(rule_at: Callable[[jax.Array], rules.Rule]) -> Encode:
    """One encoding by a rule of ``metajax.space.rules`` that may depend on the progress; pruned choices weigh nothing."""

    def encode(space: Space, logits: Logits, moment: Moment, key: Key) -> jax.Array:
        encoding = space.relax(masked(space, logits, moment.mask), rule_at(moment.progress), key)
        scale = jnp.ones(space.width, encoding.dtype)
        for _, part in blocks(space):  # what a sample gave to pruned choices goes to the others
            whole, kept = jnp.sum(encoding[part]), jnp.sum(encoding[part] * moment.mask[part])
            scale = scale.at[part].set(jnp.where(kept > 0, whole / jnp.where(kept > 0, kept, 1.0), 1.0))
        return (encoding * moment.mask * scale)[None]

    return encode


def _probabilities(space: Space, logits: Logits, mask: jax.Array) -> jax.Array:
    return space.relax(masked(space, logits, mask), "softmax") * mask


def softmax(temperature: float = 1.0) -> Relaxation:
    """The mixture of DARTS (Liu et al. 2019, arXiv:1806.09055)."""
    encode = relaxed(lambda progress: rules.softmax(temperature))
    return Relaxation(encode, encode, _probabilities)


def falling(start: float, end: float) -> Callable[[jax.Array], jax.Array]:
    """A temperature that falls linearly with the progress."""
    return lambda progress: start + (end - start) * progress


def straight_through(start: float = 10.0, end: float = 0.1) -> Relaxation:
    """One sampled path forward, a Gumbel-softmax gradient backward, at a falling temperature (GDAS, Dong and Yang 2019,
    arXiv:1910.04465)."""
    temperature = falling(start, end)
    encode = relaxed(lambda progress: rules.straight_through(temperature(progress)))
    return Relaxation(encode, encode, _probabilities)


def concrete(start: float = 1.0, end: float = 0.03) -> Relaxation:
    """Samples of the concrete distribution at a falling temperature (SNAS, Xie et al. 2019, arXiv:1812.09926)."""
    temperature = falling(start, end)
    encode = relaxed(lambda progress: rules.gumbel_softmax(temperature(progress)))
    return Relaxation(encode, encode, _probabilities)


def dirichlet() -> Relaxation:
    """Samples of a Dirichlet whose concentration is elu(logits) + 1 (DrNAS, Chen et al. 2021, arXiv:2006.10355)."""

    def strengths(space: Space, logits: Logits, mask: jax.Array) -> jax.Array:
        mean = lambda x, key=None: (jax.nn.elu(x) + 1.0) / jnp.sum(jax.nn.elu(x) + 1.0)
        return space.relax(masked(space, logits, mask), mean) * mask

    encode = relaxed(lambda progress: rules.dirichlet())
    return Relaxation(encode, encode, strengths)


def sigmoid() -> Relaxation:
    """Choices that do not compete: each value has its own sigmoid, and all begin at ½ (FairDARTS, Chu et al. 2020,
    arXiv:1911.12126)."""
    encode = relaxed(lambda progress: rules.sigmoid())
    strengths = lambda space, logits, mask: space.relax(masked(space, logits, mask), rules.sigmoid()) * mask
    return Relaxation(encode, encode, strengths, 0.0)


def exponentiated() -> Relaxation:
    """A mixture whose gradient is taken in the weights, not in the logits: gradient descent on the logits is then
    exponentiated gradient on the simplex (GAEA, Li et al. 2021, arXiv:2004.07802). Use it with ``optax.sgd``."""

    def rule(logits, key=None):
        # the value of the softmax, and the identity as derivative
        return jax.lax.stop_gradient(jax.nn.softmax(logits)) + logits - jax.lax.stop_gradient(logits)

    encode = relaxed(lambda progress: rule)
    return Relaxation(encode, encode, _probabilities, 0.0)


def _one_hot(logits, key):
    return jax.nn.one_hot(jax.random.categorical(key, logits), logits.shape[-1], dtype=logits.dtype)


def policy_paths(number: int) -> Encode:
    """Paths drawn from the softmax of the logits."""
    draw = relaxed(lambda progress: _one_hot)

    def encode(space, logits, moment, key):
        return jnp.concatenate([draw(space, logits, moment, k) for k in jax.random.split(key, number)])

    return encode


def uniform_paths(number: int = 1) -> Encode:
    """Paths drawn evenly from what is not pruned (SPOS, Guo et al. 2020, arXiv:1904.00420)."""
    draw = policy_paths(number)
    return lambda space, logits, moment, key: draw(space, jax.tree.map(jnp.zeros_like, logits), moment, key)


def fair_paths() -> Encode:
    """As many paths as a choice has values, each value of each choice in exactly one of them (strict fairness, FairNAS,
    Chu et al. 2021, arXiv:1907.01845). Choices with fewer values repeat them; pruned ones are replaced by drawn ones."""
    draw = uniform_paths()

    def encode(space, logits, moment, key):
        parts = blocks(space)
        number = max(part.stop - part.start for _, part in parts)
        paths_key, order_key = stream(key, "paths"), stream(key, "order")
        paths = jnp.concatenate([draw(space, logits, moment, jax.random.fold_in(paths_key, i)) for i in range(number)])
        for i, (_, part) in enumerate(parts):
            width = part.stop - part.start
            order = jax.random.permutation(jax.random.fold_in(order_key, i), jnp.arange(number) % width)
            rows = jax.nn.one_hot(order, width, dtype=paths.dtype)
            alive = jnp.sum(rows * moment.mask[part], axis=1, keepdims=True)
            paths = paths.at[:, part].set(alive * rows + (1 - alive) * paths[:, part])
        return paths

    return encode


def sandwich_paths(random: int = 2, sizes: Any = None) -> Encode:
    """The largest path, the smallest, and some drawn evenly (Yu and Huang 2019, arXiv:1903.05134).

    Args:
        random: paths that are drawn.
        sizes: f32[width], of every value of every choice, such as ``costs`` makes; by default values are taken to be in order
            of size, as those of the elastic spaces are. A value whose size is NaN is in neither extreme path: with ``none``
            everywhere the smallest path would compute a constant and learn nothing.
    """
    draw = uniform_paths(random)

    def encode(space, logits, moment, key):
        order = jnp.arange(space.width, dtype=jnp.float32) if sizes is None else jnp.asarray(sizes, jnp.float32)
        mask = moment.mask
        for _, part in blocks(space):
            sized = jnp.where(jnp.isfinite(order[part]), mask[part], 0.0)
            mask = mask.at[part].set(jnp.where(jnp.any(sized > 0), sized, mask[part]))
        order = jnp.nan_to_num(order)
        by_size = {**logits, **{name: order[part] for name, part in blocks(space)}}
        hardest = lambda x, key=None: jax.nn.one_hot(jnp.argmax(x), x.shape[-1], dtype=x.dtype)
        extreme = lambda sign: relaxed(lambda progress: hardest)(
            space, jax.tree.map(lambda x: sign * x, by_size), moment._replace(mask=mask), key
        )
        return jnp.concatenate([extreme(1.0), extreme(-1.0), draw(space, logits, moment, stream(key, "paths"))])

    return encode


def policy(
    number: int = 4,
    tanh_constant: float = 2.5,
    temperature: float = 5.0,
    cost: Callable[[Scalar, Info], Scalar] = lambda loss, info: -info["accuracy"],
) -> Relaxation:
    """A controller whose reward is accuracy: weights learn on a path drawn from it, it learns by REINFORCE over ``number``
    paths (ENAS, Pham et al. 2018, arXiv:1802.03268).

    As in the authors' controller, paths are drawn from ``softmax(c · tanh(logits / T))``, which keeps every value possible.
    That controller is an LSTM; here choices are independent, and the baseline is the mean of the other paths instead of a
    moving average.

    Args:
        number: paths for each update of the controller.
        tanh_constant: the bound c of the logits.
        temperature: T.
        cost: ``(loss, info) -> scalar`` of a path, which the controller makes small; by default the negative accuracy.

    Raises:
        InputError: unless ``number`` is at least 2, so that a path has others to be compared with, and the constants are
            positive.
    """
    if number < 2 or tanh_constant <= 0 or temperature <= 0:
        given = f"number={number}, tanh_constant={tanh_constant}, temperature={temperature}"
        raise InputError(f"policy: {given}; accepted are number >= 2 and positive constants")
    bounded = lambda logits: jax.tree.map(lambda x: tanh_constant * jnp.tanh(x / temperature), logits)
    drawn = lambda paths: lambda space, logits, moment, key: paths(space, bounded(logits), moment, key)
    strengths = lambda space, logits, mask: _probabilities(space, bounded(logits), mask)
    return Relaxation(drawn(policy_paths(1)), drawn(policy_paths(number)), strengths, 0.0, Score(bounded, cost))


def sampled(train: Encode) -> Relaxation:
    """Weights learn on paths drawn without regard to logits, which do not learn; a later search decides."""
    return Relaxation(train, uniform_paths(1), _probabilities, 0.0)


def log_probability(space: Space, logits: Logits, mask: jax.Array, encodings: jax.Array) -> jax.Array:
    """f32[paths]: of one-hot encodings under the softmax of the logits."""
    total = jnp.zeros(encodings.shape[0], encodings.dtype)
    kept = masked(space, logits, mask)
    for name, part in blocks(space):
        total = total + encodings[:, part] @ jax.nn.log_softmax(kept[name])
    return total


def begin(space: Space, key: Key, relaxation: Relaxation) -> Logits:
    """Random initial logits, with those that the relaxation has beside the space's."""
    zeros: dict[str, Any] = {**space.zeros(), **(relaxation.extra(space) if relaxation.extra else {})}
    keys, scale = jax.random.split(key, len(zeros)), relaxation.scale
    return {n: v + scale * jax.random.normal(k, v.shape, v.dtype) for (n, v), k in zip(zeros.items(), keys)}
