"""Zero-cost proxies that need no labels: what a network at its initial weights says about how good it will be.

Larger is better for every one of them; see ``_proxies`` for what all of them share.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from metajax._typing import checked
from metajax.supernet.diagnosis._layers import Apply, Images, layers_of, wide
from metajax.supernet.diagnosis._relu_codes import Agreement
from metajax.types import InputError, Params


@checked
def synflow(apply: Apply, params: Params, x: Images) -> Float[Array, ""]:
    """Returns the flow through all paths: ``log Σ |w · ∂R/∂w|``.

    R is the sum of the outputs for an input of ones, with every weight replaced by its absolute value. The logarithm keeps
    the order and the range. The score needs no data: only the shape of ``x`` counts.

    Args:
        apply: A network WITHOUT batch norm, which would divide the flow out again. (The authors' own network of NAS-Bench-201
            keeps it in the two reductions between stages; the paper has none.)
        params: The weights, one leaf for every layer. A deep network needs 64-bit types: the flow through 15 cells exceeds
            float32, and the score is then infinite.
        x: One input or more, f32[n, ...].

    Returns:
        The score, f[].

    Raises:
        InputError: If ``params`` has no layer.

    References:
        Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow",
        arXiv:2006.05467.

    Example:
        >>> score = synflow(lambda w, x: x @ w, jnp.array([[3.0], [-4.0]]), jnp.ones((1, 2)))
        >>> round(float(jnp.exp(score)), 4)  # 3 + 4
        7.0
    """
    sizes = jax.tree.map(lambda w: wide(jnp.abs(w)), params)
    layers, join = layers_of(sizes)
    ones = jnp.ones((1, *x.shape[1:]), layers[0].dtype)
    slopes = jax.grad(lambda layers: jnp.sum(apply(join(layers), ones)))(layers)
    flow = jnp.stack([jnp.sum(jnp.abs(w * g)) for w, g in zip(layers, slopes)]).sum()
    return jnp.log(jnp.maximum(flow, jnp.finfo(flow.dtype).tiny))


@checked
def jacobian_covariance(apply: Apply, params: Params, x: Images) -> Float[Array, ""]:
    """Returns how differently the network reacts to different inputs: ``-Σ (log(λ + k) + 1/(λ + k))`` with k = 1e-5.

    The λ are the eigenvalues of the correlation matrix of the gradients of its summed outputs in the inputs.

    Args:
        apply: A function ``(params, x) -> outputs f32[n, classes]``.
        params: The weights.
        x: The batch, f32[n, ...].

    Returns:
        The score, f[].

    References:
        Mellor et al. 2020, "Neural architecture search without training", arXiv:2006.04647v1.

    Example:
        >>> score = jacobian_covariance(lambda w, x: w * x**2, jnp.ones(3), jnp.eye(3)[:2])
        >>> round(float(score), 2)  # eigenvalues 1/2 and 3/2
        -2.38
    """
    slopes = wide(jax.grad(lambda inputs: jnp.sum(apply(params, inputs)))(x).reshape(len(x), -1))
    centered = slopes - jnp.mean(slopes, axis=1, keepdims=True)
    lengths = jnp.linalg.norm(centered, axis=1, keepdims=True)
    unit = centered / jnp.maximum(lengths, jnp.finfo(slopes.dtype).tiny)
    values = jnp.maximum(jnp.linalg.eigvalsh(unit @ unit.T), 0.0) + 1e-5
    return -jnp.sum(jnp.log(values) + 1.0 / values)


@checked
def ntk_condition(apply: Apply, params: Params, x: Images) -> Float[Array, ""]:
    """Returns minus the logarithm of the condition number of the neural tangent kernel.

    The kernel is the Gram matrix of the gradients of each input's summed outputs in the weights.

    Args:
        apply: A function ``(params, x) -> outputs f32[n, classes]``.
        params: The weights, one leaf for every layer.
        x: The batch, f32[n, ...]. Its n gradients are computed together and held at once.

    Returns:
        The score, f[], at most 0.

    Raises:
        InputError: If ``params`` has no layer.

    References:
        Chen et al. 2021, "Neural architecture search on ImageNet in four GPU hours: a theoretically inspired perspective"
        (TE-NAS), arXiv:2102.11535.

    Example:
        >>> score = ntk_condition(lambda w, x: x @ w, jnp.ones((2, 1)), jnp.diag(jnp.array([1.0, 2.0])))
        >>> round(float(jnp.exp(-score)), 4)  # eigenvalues 1 and 4
        4.0
    """
    layers, join = layers_of(params)
    outputs, pull = jax.vjp(lambda layers: jnp.sum(apply(join(layers), x), axis=-1), layers)
    slopes = jax.vmap(pull)(jnp.eye(len(x), dtype=outputs.dtype))[0]
    rows = wide(jnp.concatenate([slope.reshape(len(x), -1) for slope in slopes], axis=1))
    values = jnp.linalg.eigvalsh(rows @ rows.T)
    share = values[0] / jnp.where(values[-1] > 0, values[-1], 1.0)
    return jnp.log(jnp.maximum(share, jnp.finfo(share.dtype).eps))  # a network without gradients is the worst


@checked
def naswot(apply: Apply, params: Params, x: Images) -> Float[Array, ""]:
    """Returns how differently inputs switch the ReLUs on: ``log det K``.

    An entry of K is the number of units in which the codes of two inputs agree.

    Every ReLU that is computed counts, as in the authors' code: in a loop each time, in a choice of branches those of the
    branch that is taken; only those in a ``while_loop`` are not seen. A network that mixes all operations computes those of
    all.

    Args:
        apply: A network whose ReLUs, ``jax.nn.relu`` or ``jnp.maximum(v, 0)``, act on arrays with the inputs' leading axis.
        params: The weights.
        x: The batch, f32[n, ...].

    Returns:
        The score, f[].

    Raises:
        InputError: If there is no ReLU.

    References:
        Mellor et al. 2021, "Neural architecture search without training" (NASWOT), arXiv:2006.04647.

    Example:
        >>> x = jnp.eye(2)
        >>> apart = naswot(lambda w, x: jax.nn.relu(x @ w), jnp.array([[1.0, -1.0], [-1.0, 1.0]]), x)  # codes 10 and 01
        >>> round(float(apart), 2)  # log det [[2, 0], [0, 2]]
        1.39
    """
    closed, agreement = jax.make_jaxpr(apply)(params, x), Agreement(len(x), wide(x).dtype)
    agreeing = agreement.run(closed.jaxpr, closed.consts, jax.tree.leaves((params, x)))[1]
    if not agreement.relus:
        raise InputError("naswot: apply must compute at least one ReLU, but has none")
    # inputs with equal codes would make it singular
    return jnp.linalg.slogdet(agreeing + 1e-3 * jnp.eye(len(x), dtype=agreeing.dtype))[1]
