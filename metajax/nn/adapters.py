"""Networks of other libraries as pure functions: NNX, Linen, Equinox, Haiku, and your own.

Each adapter makes a ``Functional``, the form in which every part of metajax takes a network. ``nn.functional`` chooses among
them by the type of its argument, where that tells them apart.
"""

from collections.abc import Callable
from typing import Any

import jax

from metajax._optional import optional
from metajax.nn._functional import Apply, Functional
from metajax.types import Key, Params


def from_functions(init: Callable[[Key], Params], apply: Apply) -> Functional:
    """Takes a network that is a pair of pure functions already.

    Args:
        init: ``key -> params``, any pytree of arrays.
        apply: ``(params, *inputs) -> outputs``.

    Returns:
        The network.

    Example:
        >>> network = from_functions(lambda key: jax.random.normal(key, (2, 3)), lambda params, x: x @ params)
        >>> network.apply(network.init(jax.random.key(0)), jax.numpy.ones((5, 2))).shape
        (5, 3)
    """
    return Functional(init, apply)


def from_nnx(module: Any) -> Functional:
    """Takes a Flax NNX module, or a function that makes one.

    State that is not a parameter (running statistics, random counters) is held at its initial value: what learns must be in
    the parameters.

    Args:
        module: A function ``nnx.Rngs -> nnx.Module``; or an ``nnx.Module``, whose present weights ``init`` then returns
            whatever the key (a pre-trained network).

    Returns:
        The network; its parameters are nested dictionaries.

    Example:
        >>> from flax import nnx
        >>> network = from_nnx(lambda rngs: nnx.Linear(2, 3, rngs=rngs))
        >>> network.apply(network.init(jax.random.key(0)), jax.numpy.ones((5, 2))).shape
        (5, 3)
    """
    from flax import nnx

    if isinstance(module, nnx.Module):
        graph, params, other_state = nnx.split(module, nnx.Param, ...)
        fixed = nnx.to_pure_dict(params)
        return Functional(lambda key: fixed, _nnx_apply(graph, params, other_state))

    def init(key: Key) -> Params:
        return nnx.to_pure_dict(nnx.split(module(nnx.Rngs(key)), nnx.Param, ...)[1])

    graph, params, other_state = nnx.split(nnx.eval_shape(lambda: module(nnx.Rngs(0))), nnx.Param, ...)
    if jax.tree.leaves(other_state):  # its values count, not only its structure
        other_state = nnx.split(module(nnx.Rngs(0)), nnx.Param, ...)[2]
    return Functional(jax.jit(init), _nnx_apply(graph, params, other_state))


def _nnx_apply(graph: Any, like: Any, other_state: Any) -> Apply:
    """The apply function of an NNX module that was split into its graph, parameters and other state."""
    from flax import nnx

    def apply(params: Params, *inputs: Any, **kwargs: Any) -> Any:
        state = jax.tree.map(lambda x: x, like)  # a copy of the structure, to be filled
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state, other_state, copy=True)(*inputs, **kwargs)

    return apply


def from_linen(module: Any, *example: Any) -> Functional:
    """Takes a Flax Linen module whose variables are all parameters.

    Args:
        module: A ``flax.linen.Module``.
        *example: Example inputs, from which Linen infers the shapes of the parameters.

    Returns:
        The network; its parameters are nested dictionaries.

    Example:
        >>> from flax import linen
        >>> x = jax.numpy.ones((5, 2))
        >>> network = from_linen(linen.Dense(3), x)
        >>> network.apply(network.init(jax.random.key(0)), x).shape
        (5, 3)
    """
    return Functional(
        lambda key: module.init(key, *example)["params"],
        lambda params, *inputs, **kwargs: module.apply({"params": params}, *inputs, **kwargs),
    )


def from_equinox(make: Callable[[Key], Any], batched: bool = True) -> Functional:
    """Takes a function that makes an Equinox module.

    Args:
        make: ``key -> eqx.Module``. Its arrays of floating-point numbers are the parameters; everything else is held at the
            value that key 0 gives it. For a pre-trained module take ``lambda key: module``.
        batched: The module computes one example, as Equinox's layers do, and is vmapped over the leading axis of its inputs.
            ``False`` calls it as it is.

    Returns:
        The network; its parameters are a dictionary by path, such as ``"layers/0/weight"``.

    Raises:
        InputError: If Equinox is not installed.

    Example:
        >>> import pytest; eqx = pytest.importorskip("equinox")
        >>> network = from_equinox(lambda key: eqx.nn.MLP(2, 3, width_size=8, depth=1, key=key))
        >>> params = network.init(jax.random.key(0))
        >>> sorted(params), network.apply(params, jax.numpy.ones((5, 2))).shape
        (['layers/0/bias', 'layers/0/weight', 'layers/1/bias', 'layers/1/weight'], (5, 3))
    """
    eqx = optional("equinox", "nn.adapters.from_equinox")
    arrays, static = eqx.partition(make(jax.random.key(0)), eqx.is_inexact_array)
    named, structure = jax.tree_util.tree_flatten_with_path(arrays)
    names = ["/".join(str(getattr(e, "name", getattr(e, "idx", getattr(e, "key", e)))) for e in p) for p, _ in named]

    def init(key: Key) -> Params:
        return dict(zip(names, jax.tree.leaves(eqx.filter(make(key), eqx.is_inexact_array)), strict=True))

    def apply(params: Params, *inputs: Any, **kwargs: Any) -> Any:
        leaves = [params[name] for name in names]
        run = eqx.combine(jax.tree.unflatten(structure, leaves), static)
        return jax.vmap(lambda *example: run(*example, **kwargs))(*inputs) if batched else run(*inputs, **kwargs)

    return Functional(init, apply)


def from_haiku(transformed: Any, *example: Any) -> Functional:
    """Takes a function that Haiku transformed.

    Args:
        transformed: What ``hk.transform`` returns. It draws no random numbers outside of ``init``.
        *example: Example inputs, from which Haiku infers the shapes of the parameters.

    Returns:
        The network; its parameters are Haiku's nested dictionaries.

    Example:
        >>> import pytest; hk = pytest.importorskip("haiku")
        >>> x = jax.numpy.ones((5, 2))
        >>> network = from_haiku(hk.transform(lambda x: hk.Linear(3)(x)), x)
        >>> network.apply(network.init(jax.random.key(0)), x).shape
        (5, 3)
    """
    return Functional(
        lambda key: transformed.init(key, *example),
        lambda params, *inputs, **kwargs: transformed.apply(params, None, *inputs, **kwargs),
    )
