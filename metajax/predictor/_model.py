"""A fitted predictor of how good a configuration is."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float64

from metajax._typing import checked
from metajax.predictor._spec import Spec, compiled_apply
from metajax.space import Space
from metajax.types import InputError

Configurations = Sequence[Mapping[str, Any]] | Mapping[str, Any] | np.ndarray | jax.Array | Sequence[Sequence[float]]
"""Encodings f[n, width], a list of dictionaries, or a struct of arrays."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A fitted predictor of how good a configuration is; ``predictor.fit`` makes one.

    Attributes:
        space: The space of the configurations.
        spec: What was fitted.
        params: Its parameters.
        target: ``"value"``, ``"rank"`` or ``"log_ratio"``.
        shift: Mean of the target, which is standardized for the fit.
        scale: Standard deviation of the target; 0 if all trials had the same, and then the model predicts just that.
        context_shift: f32[c], mean of each column of the context.
        context_scale: f32[c], standard deviation of each column; infinite for a constant column, which has no influence.
        maximize: Whether a larger metric is better.

    Example:
        >>> from metajax import predictor
        >>> from metajax.space import Float, Space
        >>> trials = predictor.Trials.from_arrays(
        ...     Space({"x": Float(0.0, 1.0)}), [{"x": i / 9} for i in range(10)], [i / 9 for i in range(10)], maximize=False
        ... )
        >>> model = predictor.fit(trials, predictor.ridge(penalty=1e-3), "value")
        >>> mean, std = model.predict([{"x": 0.25}])
        >>> round(float(mean[0]), 2), model.direction
        (0.25, -1.0)
    """

    space: Space
    spec: Spec
    params: Any
    target: str
    shift: float
    scale: float
    context_shift: np.ndarray
    context_scale: np.ndarray
    maximize: bool

    @property
    def direction(self) -> float:
        """1.0 if a larger prediction is better, -1.0 if a smaller one is.

        Smaller is better for the value and the log-ratio of a metric that is minimized. A larger rank is always better.
        """
        return -1.0 if self.target != "rank" and not self.maximize else 1.0

    def inputs(self, configs: Configurations, context: ArrayLike | Sequence[Any] | None = None) -> jax.Array:
        """Encodings and context side by side, as the model reads them.

        Args:
            configs: Encodings f[n, width], a list of dictionaries, or a struct of arrays.
            context: f[c] for all rows, or f[n, c]; with the columns that the model was fitted with. What is not finite
                counts as the mean.

        Returns:
            f32[n, width + c].

        Raises:
            InputError: If configurations are outside the space, or shapes do not fit.
        """
        encodings = _encodings(self.space, configs)
        if encodings.ndim != 2 or encodings.shape[1] != self.space.width:
            raise InputError(f"predict: encodings must have the shape (n, {self.space.width}), got {encodings.shape}")
        c = len(self.context_shift)
        if (context is None) != (c == 0):
            required = f"have {c} columns" if c else "be None"
            raise InputError(f"predict: context must {required}, as in the trials that the model was fitted to")
        if context is None:
            return encodings
        shape = np.shape(context)
        if shape not in ((c,), (1, c), (len(encodings), c)):
            raise InputError(f"predict: context must have the shape ({c},) or ({len(encodings)}, {c}), got {shape}")
        scaled = (jnp.asarray(context, jnp.float32) - self.context_shift) / self.context_scale
        scaled = jnp.where(jnp.isfinite(scaled), scaled, 0.0)
        return jnp.concatenate([encodings, jnp.broadcast_to(scaled, (len(encodings), c))], axis=1)

    def score(
        self, encodings: Configurations, context: ArrayLike | Sequence[Any] | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Predicts the standardized target, larger better; differentiable and jittable.

        Args:
            encodings: f[n, width], which may be relaxed.
            context: See ``inputs``.

        Returns:
            Mean f32[n] and standard deviation f32[n].
        """
        return self.spec.apply(self.params, self.inputs(encodings, context))

    @checked
    def predict(
        self, configs: Configurations, context: ArrayLike | Sequence[Any] | None = None
    ) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Predicts configurations in the units of the target.

        These are the units and the direction of the metric for ``"value"``, the rank in (0, 1), larger better, for
        ``"rank"``, and log(p/p̄) for ``"log_ratio"``. The mean of a model with a formula (``ridge``, ``mlp``, ``ensemble``)
        is computed in float64, so that it agrees with what ``search.Certify`` proves.

        Args:
            configs: Encodings f[n, width], a list of dictionaries such as ``Found.configs``, or a struct of arrays.
            context: f[c] for all rows, or f[n, c]; only if the model was fitted with any.

        Returns:
            Mean f64[n] and standard deviation f64[n]. If all trials had the same metric, that metric and 0.

        Raises:
            InputError: If configurations are outside the space, or shapes do not fit.
        """
        mean, std = self.scores(configs, context)
        return self.in_units(mean), std * self.scale

    @checked
    def scores(
        self, configs: Configurations, context: ArrayLike | Sequence[Any] | None = None
    ) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Predicts the standardized target like ``score``, but on the host in float64.

        Args:
            configs: See ``predict``.
            context: See ``predict``.

        Returns:
            Mean f64[n] and standard deviation f64[n] of the standardized target, larger better.
        """
        x = self.inputs(configs, context)
        mean, std = compiled_apply(self.spec, False)(self.params, x)
        if self.spec.form is not None:
            mean = self.spec.form(self.params).value(np.asarray(x, np.float64))
        return np.asarray(mean, np.float64), np.asarray(std, np.float64)

    def in_units(self, score: ArrayLike) -> np.ndarray:
        """Converts standardized scores, larger better, to the units and the direction of ``predict``.

        Args:
            score: Scores of any shape; may be infinite.

        Returns:
            f64 of the same shape.
        """
        score = np.asarray(score, np.float64)
        scaled = score * self.scale if self.scale else np.where(np.isfinite(score), 0.0, score)
        return self.direction * (scaled + self.shift)

    @checked
    def compare(
        self, first: Configurations, second: Configurations, context: ArrayLike | Sequence[Any] | None = None
    ) -> Float64[np.ndarray, " n"]:
        """Predicts log(p₂/p₁) = h(x₂) - h(x₁): antisymmetric, and adds up along chains.

        Args:
            first: Configurations, as ``predict`` takes them.
            second: As many.
            context: See ``predict``.

        Returns:
            f64[n], the log-ratio of the metrics of the second and the first.

        Raises:
            InputError: If the target of the model is not ``"log_ratio"``.
        """
        if self.target != "log_ratio":
            raise InputError(f"compare: the model must be fitted with target='log_ratio', got target={self.target!r}")
        return self.predict(second, context)[0] - self.predict(first, context)[0]


def _encodings(space: Space, configs: Any) -> jax.Array:
    """f32[n, width] of configurations in any form."""
    if isinstance(configs, Mapping):
        return space.encode(dict(configs))
    if isinstance(configs, list | tuple) and configs and isinstance(configs[0], Mapping):
        try:
            return space.encode(space.configs(configs))
        except ValueError as error:
            raise InputError(f"predict: {error}") from error
    return jnp.asarray(configs)
