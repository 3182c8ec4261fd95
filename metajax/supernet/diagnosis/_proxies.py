"""Zero-cost proxies: what a network at its initial weights says about how good it will be.

Larger is better for every one of them. All are pure and can be jitted. See Abdelfattah et al. 2021, arXiv:2101.08134.

They are scores of a stand-alone network, such as ``SuperNet.build(config)``, in training mode: batch norm uses the
statistics of the batch. As in the authors' code (github.com/SamsungLabs/zero-cost-nas), the layers of a network are its
weights of two or more dimensions, the kernels of convolutions and dense layers; biases and the scales of normalization are
constants. Every leaf of ``params`` is one layer, so the fused kernels of a SuperNet have to be cut into those of its edges,
as ``SuperNet.extract`` does.

The flow of ``synflow`` and the eigenvalues of the others span more than float32 holds. Where 64-bit types are enabled
(``jax.enable_x64(True)``), those parts are computed in float64 whatever the type of the parameters, as in the authors' code.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import checked
from metajax.supernet.diagnosis._layers import Apply, Images, Layers, Loss, layers_of
from metajax.types import Params


def _gradient(apply: Apply, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> tuple[Layers, Callable]:
    """Returns the layers, and the gradient of the loss as a function of them."""
    layers, join = layers_of(params)
    return layers, jax.grad(lambda layers: loss(apply(join(layers), x), y))


@checked
def gradient_norm(apply: Apply, loss: Loss, params: Params, x: Images, y: jax.Array) -> Float[Array, ""]:
    """Returns the norms of the loss's gradient, layer by layer, summed: ``Σ_layers ‖∂loss/∂w_layer‖₂``.

    This is not the norm of the whole gradient: a network of many layers scores higher.

    Args:
        apply: A function ``(params, x) -> logits f32[n, classes]``, such as ``SuperNet.build(config).apply``.
        loss: A function ``(logits, labels) -> scalar``.
        params: The weights, one leaf for every layer.
        x: The batch, f32[n, ...].
        y: The labels of the batch.

    Returns:
        The score, f32[].

    Raises:
        InputError: If ``params`` has no layer.

    References:
        Abdelfattah et al. 2021, "Zero-cost proxies for lightweight NAS", arXiv:2101.08134.

    Example:
        >>> square = lambda out, y: 0.5 * jnp.sum((out - y) ** 2)
        >>> two = {"a": jnp.array([[3.0]]), "b": jnp.array([[4.0]])}
        >>> both = lambda p, x: jnp.concatenate([x @ p["a"], x @ p["b"]])  # gradients 3 and 4
        >>> float(gradient_norm(both, square, two, jnp.ones((1, 1)), jnp.zeros((2, 1))))
        7.0
    """
    layers, gradient = _gradient(apply, loss, params, x, y)
    return jnp.stack([jnp.linalg.norm(g) for g in gradient(layers)]).sum()


@checked
def snip(apply: Apply, loss: Loss, params: Params, x: Images, y: jax.Array) -> Float[Array, ""]:
    """Returns how much the loss depends on single weights: ``Σ |w · ∂loss/∂w|``.

    Args:
        apply: A function ``(params, x) -> logits f32[n, classes]``.
        loss: A function ``(logits, labels) -> scalar``.
        params: The weights, one leaf for every layer.
        x: The batch, f32[n, ...].
        y: The labels of the batch.

    Returns:
        The score, f32[].

    Raises:
        InputError: If ``params`` has no layer.

    References:
        Lee et al. 2019, "SNIP: single-shot network pruning based on connection sensitivity", arXiv:1810.02340.

    Example:
        >>> linear = lambda w, x: x @ w
        >>> square = lambda out, y: 0.5 * jnp.sum((out - y) ** 2)
        >>> float(snip(linear, square, jnp.array([[2.0], [-1.0]]), jnp.eye(2), jnp.zeros((2, 1))))
        5.0
    """
    layers, gradient = _gradient(apply, loss, params, x, y)
    return jnp.stack([jnp.sum(jnp.abs(w * g)) for w, g in zip(layers, gradient(layers))]).sum()


@checked
def grasp(apply: Apply, loss: Loss, params: Params, x: Images, y: jax.Array) -> Float[Array, ""]:
    """Returns how removing weights would change the gradient's norm: ``-Σ w · (H g)``, with exact Hessian-vector products.

    The sign is that of the authors of the proxy, who found the sum of w · (H g) to fall with accuracy.

    Args:
        apply: A function ``(params, x) -> logits f32[n, classes]``.
        loss: A function ``(logits, labels) -> scalar``.
        params: The weights, one leaf for every layer.
        x: The batch, f32[n, ...].
        y: The labels of the batch.

    Returns:
        The score, f32[].

    Raises:
        InputError: If ``params`` has no layer.

    References:
        Wang et al. 2020, "Picking winning tickets before training by preserving gradient flow", arXiv:2002.07376.

    Example:
        >>> square = lambda out, y: 0.5 * jnp.sum((out - y) ** 2)  # g = w and H = 1
        >>> float(grasp(lambda w, x: x @ w, square, jnp.array([[2.0]]), jnp.ones((1, 1)), jnp.zeros((1, 1))))
        -4.0
    """
    layers, gradient = _gradient(apply, loss, params, x, y)
    products = jax.jvp(gradient, (layers,), (gradient(layers),))[1]
    return -jnp.stack([jnp.sum(w * h) for w, h in zip(layers, products)]).sum()
