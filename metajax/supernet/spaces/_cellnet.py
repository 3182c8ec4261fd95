"""The network around a cell that holds every architecture of the space."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from metajax.nn import Convolution, convolution, materialize, standardize
from metajax.space import Space
from metajax.supernet.spaces._cell import MixedCell, normalization
from metajax.types import InputError


class Residual(nnx.Module):
    """The reduction between stages: two 3 x 3 convolutions, the first of stride 2, beside a mean and a 1 x 1."""

    def __init__(self, channels: int, out: int, normalized: bool = True, *, rngs: nnx.Rngs):
        self.normalize = normalization(normalized)
        self.first = Convolution(channels, out, 3, 2, bias=False, rngs=rngs)
        self.second = Convolution(out, out, 3, bias=False, rngs=rngs)
        self.shortcut = Convolution(channels, out, 1, bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps f32[n, h, w, channels] to f32[n, h / 2, w / 2, out]."""
        return residual(x, self.first.kernel[...], self.second.kernel[...], self.shortcut.kernel[...], self.normalize)


def residual(
    x: jax.Array,
    first: jax.Array,
    second: jax.Array,
    shortcut: jax.Array,
    normalize: Callable[[jax.Array], jax.Array] = standardize,
) -> jax.Array:
    """Applies the reduction between stages, given its kernels."""
    x = materialize(x)
    y = normalize(convolution(jax.nn.relu(x), first, 2))
    y = normalize(convolution(jax.nn.relu(y), second))
    n, h, w, c = x.shape
    even = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")
    halved = even.reshape(n, (h + 1) // 2, 2, (w + 1) // 2, 2, c).mean(axis=(2, 4))
    return y + convolution(halved, shortcut)


class CellNet(nnx.Module):
    """The network of NAS-Bench-201: a stem, stages of cells with a residual reduction between them, mean over pixels, linear.

    Batch norm has no scale and shift and uses the statistics of the batch (transductive). Channels double with every
    stage.

    Args:
        space: The space, as ``cell_space`` makes it.
        classes: The number of classes, which is that of the outputs.
        channels: The number of channels of the first stage (16 in the benchmark).
        stages: The number of stages (3 in the benchmark).
        cells: The number of cells of each stage (5 in the benchmark).
        inputs: The number of channels of the images.
        stride: The stride of the stem.
        partial: The divisor of the channels: 1/partial of them take part in the operations. ``partial=(4, 2)`` begins with a
            quarter of the channels and goes on with half of them: calls then say which by ``wide``.
        single_path: Whether only the strongest operation of every edge is computed; see ``MixedCell``.
        normalized: Whether there is batch norm.
        rngs: The randomness of the initial weights.

    Raises:
        InputError: If ``channels`` is not a multiple of ``partial``, or if of two shares the second does not divide the first.

    References:
        Dong and Yang 2020, "NAS-Bench-201: extending the scope of reproducible neural architecture search",
        arXiv:2001.00326.

    Example:
        >>> from metajax.supernet.spaces import cell_space
        >>> space = cell_space(3)
        >>> net = CellNet(space, classes=10, channels=4, rngs=nnx.Rngs(0))
        >>> net(jnp.ones((2, 8, 8, 1)), space.relax(space.zeros())).shape
        (2, 10)
    """

    def __init__(
        self,
        space: Space,
        classes: int,
        channels: int = 8,
        stages: int = 2,
        cells: int = 1,
        inputs: int = 1,
        stride: int = 1,
        partial: int | tuple[int, int] = 1,
        single_path: bool = False,
        normalized: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        self.normalize: Callable[[jax.Array], jax.Array] = normalization(normalized)
        narrow, wide = partial if isinstance(partial, tuple) else (partial, partial)
        self.narrow: int = narrow
        self.wide: int = wide
        if channels % self.narrow or self.narrow % self.wide:
            raise InputError(
                "CellNet: channels must be a multiple of partial, and of two shares the first must be a multiple of "
                f"the second, got channels={channels}, partial={partial}"
            )
        self.stem: Convolution = Convolution(inputs, channels, stride=stride, bias=False, rngs=rngs)
        widths = [channels * 2**i for i in range(stages)]
        self.stages: nnx.List[nnx.List[MixedCell]] = nnx.List(
            [
                nnx.List([MixedCell(space, w, self.wide, single_path, normalized, rngs=rngs) for _ in range(cells)])
                for w in widths
            ]
        )
        self.reductions: nnx.List[Residual] = nnx.List(
            [Residual(a, b, normalized, rngs=rngs) for a, b in zip(widths[:-1], widths[1:])]
        )
        self.head: nnx.Linear = nnx.Linear(widths[-1], classes, rngs=rngs)

    def __call__(self, x: jax.Array, encoding: jax.Array, wide: jax.Array | None = None) -> jax.Array:
        """Returns logits f32[n, classes].

        Args:
            x: The images, f32[n, h, w, inputs].
            encoding: The encoding, f32[space.width].
            wide: Whether a network that can be widened was widened; by default it was.
        """
        if wide is None or self.narrow == self.wide:
            return self._run(x, encoding, self.wide)
        narrow, full = (lambda x, e, k=k: self._run(x, e, k) for k in (self.narrow, self.wide))
        return jax.lax.cond(wide, full, narrow, x, encoding)

    def _run(self, x: jax.Array, encoding: jax.Array, partial: int) -> jax.Array:
        """Returns the logits of the network with 1/partial of the channels."""
        x = self.normalize(self.stem(x))
        for i, stage in enumerate(self.stages):
            if i:
                x = self.reductions[i - 1](x)
            for cell in stage:
                x = cell(x, encoding, partial)
        return self.head(jnp.mean(jax.nn.relu(self.normalize(x)), axis=(1, 2)))
