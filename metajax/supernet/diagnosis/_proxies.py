"""Zero-cost proxies: what a network at its initial weights says about how good it will be (Abdelfattah et al. 2021,
arXiv:2101.08134). Larger is better for every one of them. All are pure and can be jitted.

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
import numpy as np

from metajax.supernet.diagnosis._relu_codes import Agreement
from metajax.types import InputError, Params, Scalar

Apply = Callable[[Params, jax.Array], jax.Array]
"""``(params, x) -> logits f32[n, classes]``, such as ``SuperNet.build(config).apply``."""
Loss = Callable[[jax.Array, jax.Array], Scalar]
"""``(logits, labels) -> scalar``."""
Layers = list[jax.Array]
"""The weights of the layers, one array each."""


def _layers(params: Params) -> tuple[Layers, Callable[[Layers], Params]]:
    """The layers of a network, and the function that puts others in their place."""
    leaves, tree = jax.tree.flatten(params)
    places = [place for place, leaf in enumerate(leaves) if jnp.ndim(leaf) > 1]
    if not places:
        raise InputError(
            "proxies: params has no layer; accepted are pytrees with at least one array of two or more dimensions"
        )

    def join(layers: Layers) -> Params:
        filled = dict(zip(places, layers))
        return tree.unflatten([filled.get(place, leaf) for place, leaf in enumerate(leaves)])

    return [leaves[place] for place in places], join


def _wide(x: jax.Array) -> jax.Array:
    """In float64 where that is enabled, else in float32."""
    return x.astype(jax.dtypes.canonicalize_dtype(np.float64))


def _gradient(apply: Apply, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> tuple[Layers, Callable]:
    """The layers, and the gradient of the loss as a function of them."""
    layers, join = _layers(params)
    return layers, jax.grad(lambda layers: loss(apply(join(layers), x), y))


def gradient_norm(apply: Apply, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> Scalar:
    """The norms of the loss's gradient, layer by layer, summed: Σ_layers ‖∂loss/∂w_layer‖₂.

    This is not the norm of the whole gradient: a network of many layers scores higher.

    Example:
        >>> square = lambda out, y: 0.5 * jnp.sum((out - y) ** 2)
        >>> two = {"a": jnp.array([[3.0]]), "b": jnp.array([[4.0]])}
        >>> both = lambda p, x: jnp.concatenate([x @ p["a"], x @ p["b"]])  # gradients 3 and 4
        >>> float(gradient_norm(both, square, two, jnp.ones((1, 1)), jnp.zeros((2, 1))))
        7.0
    """
    layers, gradient = _gradient(apply, loss, params, x, y)
    return jnp.stack([jnp.linalg.norm(g) for g in gradient(layers)]).sum()


def snip(apply: Apply, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> Scalar:
    """How much the loss depends on single weights: Σ |w · ∂loss/∂w| (Lee et al. 2019, arXiv:1810.02340).

    Example:
        >>> linear = lambda w, x: x @ w
        >>> square = lambda out, y: 0.5 * jnp.sum((out - y) ** 2)
        >>> float(snip(linear, square, jnp.array([[2.0], [-1.0]]), jnp.eye(2), jnp.zeros((2, 1))))
        5.0
    """
    layers, gradient = _gradient(apply, loss, params, x, y)
    return jnp.stack([jnp.sum(jnp.abs(w * g)) for w, g in zip(layers, gradient(layers))]).sum()


def grasp(apply: Apply, loss: Loss, params: Params, x: jax.Array, y: jax.Array) -> Scalar:
    """How removing weights would change the gradient's norm: -Σ w · (H g), the Hessian-vector product exact (Wang et al.
    2020, arXiv:2002.07376).

    The sign is that of the authors of the proxy, who found the sum of w · (H g) to fall with accuracy.
    """
    layers, gradient = _gradient(apply, loss, params, x, y)
    products = jax.jvp(gradient, (layers,), (gradient(layers),))[1]
    return -jnp.stack([jnp.sum(w * h) for w, h in zip(layers, products)]).sum()


def synflow(apply: Apply, params: Params, x: jax.Array) -> Scalar:
    """The flow through all paths: log Σ |w · ∂R/∂w|, where R is the sum of the outputs for an input of ones and every weight
    is replaced by its absolute value (Tanaka et al. 2020, arXiv:2006.05467).

    The logarithm keeps the order and the range. Needs no data: only the shape of ``x`` counts.

    Args:
        apply: a network WITHOUT batch norm, which would divide the flow out again. (The authors' own network of
            NAS-Bench-201 keeps it in the two reductions between stages; the paper has none.)
        params: see above. A deep network needs 64-bit types: the flow through 15 cells exceeds float32, and the score is then
            infinite.
        x: one input or more.
    """
    sizes = jax.tree.map(lambda w: _wide(jnp.abs(w)), params)
    layers, join = _layers(sizes)
    ones = jnp.ones((1, *x.shape[1:]), layers[0].dtype)
    slopes = jax.grad(lambda layers: jnp.sum(apply(join(layers), ones)))(layers)
    flow = jnp.stack([jnp.sum(jnp.abs(w * g)) for w, g in zip(layers, slopes)]).sum()
    return jnp.log(jnp.maximum(flow, jnp.finfo(flow.dtype).tiny))


def jacobian_covariance(apply: Apply, params: Params, x: jax.Array) -> Scalar:
    """How differently the network reacts to different inputs: -Σ (log(λ + k) + 1/(λ + k)), k = 1e-5, over the eigenvalues of
    the correlation matrix of its summed outputs' gradients in the inputs (Mellor et al. 2020, arXiv:2006.04647v1)."""
    slopes = _wide(jax.grad(lambda inputs: jnp.sum(apply(params, inputs)))(x).reshape(len(x), -1))
    centered = slopes - jnp.mean(slopes, axis=1, keepdims=True)
    lengths = jnp.linalg.norm(centered, axis=1, keepdims=True)
    unit = centered / jnp.maximum(lengths, jnp.finfo(slopes.dtype).tiny)
    values = jnp.maximum(jnp.linalg.eigvalsh(unit @ unit.T), 0.0) + 1e-5
    return -jnp.sum(jnp.log(values) + 1.0 / values)


def ntk_condition(apply: Apply, params: Params, x: jax.Array) -> Scalar:
    """Minus the logarithm of the condition number of the neural tangent kernel, the Gram matrix of the gradients of each
    input's summed outputs in the weights (TE-NAS, Chen et al. 2021, arXiv:2102.11535).

    Args:
        apply, params: see above.
        x: the batch. Its n gradients are computed together and held at once.
    """
    layers, join = _layers(params)
    outputs, pull = jax.vjp(lambda layers: jnp.sum(apply(join(layers), x), axis=-1), layers)
    slopes = jax.vmap(pull)(jnp.eye(len(x), dtype=outputs.dtype))[0]
    rows = _wide(jnp.concatenate([slope.reshape(len(x), -1) for slope in slopes], axis=1))
    values = jnp.linalg.eigvalsh(rows @ rows.T)
    share = values[0] / jnp.where(values[-1] > 0, values[-1], 1.0)
    return jnp.log(jnp.maximum(share, jnp.finfo(share.dtype).eps))  # a network without gradients is the worst


def naswot(apply: Apply, params: Params, x: jax.Array) -> Scalar:
    """How differently inputs switch the ReLUs on: log det of the matrix of units in which the codes of two inputs agree
    (NASWOT, Mellor et al. 2021, arXiv:2006.04647).

    Every ReLU that is computed counts, as in the authors' code: in a loop each time, in a choice of branches those of the
    branch that is taken; only those in a ``while_loop`` are not seen. A network that mixes all operations computes those of
    all.

    Args:
        apply: a network whose ReLUs, ``jax.nn.relu`` or ``jnp.maximum(v, 0)``, act on arrays with the inputs' leading axis.
        params: see above.
        x: the batch.

    Raises:
        InputError: if there is no ReLU.

    Example:
        >>> x = jnp.eye(2)
        >>> apart = naswot(lambda w, x: jax.nn.relu(x @ w), jnp.array([[1.0, -1.0], [-1.0, 1.0]]), x)  # codes 10 and 01
        >>> round(float(apart), 2)  # log det [[2, 0], [0, 2]]
        1.39
    """
    closed, found = jax.make_jaxpr(apply)(params, x), Agreement(len(x), _wide(x).dtype)
    agreeing = found.run(closed.jaxpr, closed.consts, jax.tree.leaves((params, x)))[1]
    if not found.relus:
        raise InputError("naswot: apply has no ReLU; accepted are networks with at least one")
    # inputs with equal codes would make it singular
    return jnp.linalg.slogdet(agreeing + 1e-3 * jnp.eye(len(x), dtype=agreeing.dtype))[1]
