"""A model as one program: what an ensemble predicts from its inputs, traced by JAX and written as StableHLO."""

import collections
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax._optional import check_installed
from metajax.automl import _network as network
from metajax.automl.models._fit import FittedMember
from metajax.types import InputError

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
"""The platforms of JAX that a program is lowered for."""


def serialize(predict: Callable[[jax.Array], jax.Array], row_shape: tuple[int, ...]) -> bytes:
    """Returns a program in the format of ``jax.export``.

    Programs may compute in float64, whatever the settings of the process that calls them. Their inputs and outputs are float32.

    Args:
        predict: From rows f32[n, ...] to predictions f32[n, ...].
        row_shape: The shape of one row; the number of rows is symbolic.
    """
    check_installed("export", "flatbuffers")
    import jax.export  # importing jax does not import it

    (n,) = jax.export.symbolic_shape("n")
    rows = jax.ShapeDtypeStruct((n, *row_shape), jnp.float32)
    with jax.enable_x64(True):
        return bytes(jax.export.export(jax.jit(predict), platforms=PLATFORMS)(rows).serialize())


class Ensemble(NamedTuple):
    """The members of a model, their temperatures f[members] and weights f[members], and whether it predicts classes."""

    members: list[Any]
    temperatures: np.ndarray
    weights: np.ndarray
    classification: bool


def of_table(model: Ensemble, width: int) -> bytes:
    """Returns the program of a model of a table.

    It maps inputs f32[n, inputs], as the encoder makes them, to probabilities f32[n, classes] or to standardized values f32[n].

    Args:
        model: The model.
        width: The number of inputs.

    Raises:
        InputError: If a member is of a model type that has no form in JAX.
    """
    classification = model.classification
    distinct = {id(member): member for member in model.members}
    total: dict[tuple[int, float], float] = collections.defaultdict(float)
    for member, temperature, weight in zip(model.members, model.temperatures.tolist(), model.weights.tolist()):
        total[id(member), temperature] += weight

    def predict(x: jax.Array) -> jax.Array:
        outputs = [weight * _member(distinct[i], t, x, classification) for (i, t), weight in total.items()]
        mean = sum(outputs[1:], outputs[0]).astype(jnp.float32)
        return mean if classification else mean[:, 0]

    return serialize(predict, (width,))


def _member(member: Any, temperature: float, x: jax.Array, classification: bool) -> jax.Array:
    """The probabilities of a member at its temperature, or its standardized values, f64[n, outputs]."""
    if isinstance(member, FittedMember):
        try:
            output = member.predict_jax(x)
        except InputError as error:
            raise InputError(f"export: the model has a member of the type {member.model!r}: {error}") from None
        if not classification or temperature == 1.0:
            return output
        logits = jnp.log(jnp.maximum(output, float(np.finfo(np.float32).tiny)))
    else:
        config, params, table = jax.tree.map(np.asarray, (member.config, member.params, member.table))
        with jax.enable_x64(False):  # networks compute in float32
            output = network.mean_output(config, network.apply(config, params, table, x), classification)
        logits = output.astype(jnp.float64)
        if not classification:
            return logits
    return jax.nn.softmax(logits / temperature, axis=1)
