"""A model before it is fitted: a pair of pure functions on encodings.

Every ``fit`` takes weights, and a row of weight 0 has no influence. So cross-validation is a vmap over weights, tables are
padded to a power of two, and each model is compiled a handful of times however the table grows.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
from jaxtyping import Array, Float, Int

from metajax.predictor._forms import Form
from metajax.types import Key

DENSE_ROWS = 8192
"""Largest number of rows for models that factorize the matrix of all pairs of rows."""
_MAX_ROWS = 65_536


class FitFn(Protocol):
    """Fits a model to a table; pure, can be jitted and mapped over ``weight``."""

    def __call__(
        self,
        key: Key,
        x: Float[Array, "rows columns"],
        y: Float[Array, " rows"],
        weight: Float[Array, " rows"],
        blocks: Int[Array, " columns"],
        start: Any = None,
    ) -> Any:
        """Fits the model.

        Args:
            key: Random key, for initial parameters.
            x: Inputs: encodings, followed by columns of context.
            y: Standardized targets, larger better.
            weight: Weight of each row, 1 or 0; a row of weight 0 has no influence (padding, or held out).
            blocks: The number of the domain that each column belongs to.
            start: Parameters to go on from (fine-tuning), or ``None``.

        Returns:
            The parameters, a pytree of arrays that is the model's own.
        """
        ...


class ApplyFn(Protocol):
    """Predicts with fitted parameters; pure, differentiable in ``x``."""

    def __call__(
        self, params: Any, x: Float[Array, "rows columns"]
    ) -> tuple[Float[Array, " rows"], Float[Array, " rows"]]:
        """Predicts.

        Args:
            params: What ``fit`` returned.
            x: Inputs, with the columns of the fit.

        Returns:
            Mean and standard deviation of the standardized target.
        """
        ...


class Spec(NamedTuple):
    """A model before it is fitted; ``predictor.ridge()``, ``kernel()``, ``ensemble()`` and others make one.

    Create a spec once and use it again: compiled programs are cached by the spec.

    Attributes:
        name: Name for tables.
        fit: Fits the model; see ``FitFn``: ``(key, x, y, weight, blocks, start) -> params``.
        apply: Predicts; see ``ApplyFn``: ``(params, x) -> (mean, std)``.
        form: ``(params) -> Form``, the mean as a formula that can be bounded (``search.Certify``); ``None`` if there is none.
        max_rows: Maximum number of rows used for fitting. ``predictor.fit`` subsamples larger tables to this size, and warns.

    Example:
        >>> import jax.numpy as jnp
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> fit = lambda key, x, y, weight, blocks, start=None: jnp.vdot(x[:, 0], weight * y) / jnp.vdot(x, x)
        >>> slope = predictor.Spec("slope", fit, lambda params, x: (params * x[:, 0], jnp.ones(len(x))))
        >>> trials = predictor.Trials.from_arrays(Space({"x": Float(0.0, 1.0)}), [{"x": i / 9} for i in range(10)], range(10))
        >>> mean, _ = predictor.fit(trials, slope, "value").predict([{"x": 0.2}, {"x": 0.9}])
        >>> bool(mean[1] > mean[0])
        True
    """

    name: str
    fit: FitFn
    apply: ApplyFn
    form: Callable[[Any], Form] | None = None
    max_rows: int = _MAX_ROWS


@functools.lru_cache(maxsize=64)
def compiled(spec: Spec, folds: bool) -> Callable[..., Any]:
    """``spec.fit`` compiled; mapped over a leading axis of weights if ``folds``."""
    return jax.jit(jax.vmap(spec.fit, in_axes=(None, None, None, 0, None, None)) if folds else spec.fit)


@functools.lru_cache(maxsize=64)
def compiled_apply(spec: Spec, folds: bool) -> Callable[..., Any]:
    """``spec.apply`` compiled; mapped over a leading axis of parameters if ``folds``."""
    return jax.jit(jax.vmap(spec.apply, in_axes=(0, None)) if folds else spec.apply)
