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
from metajax.automl.models._forest_jax import tree_sums
from metajax.automl.models._tree_ensemble import TreeEnsemble
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
        raw = {i: _network_output(m, x, classification) for i, m in distinct.items() if not isinstance(m, FittedMember)}
        fitted = {i: member for i, member in distinct.items() if isinstance(member, FittedMember)}
        raw |= _tree_outputs(fitted, x)
        raw |= {i: _fitted_output(member, x) for i, member in fitted.items() if i not in raw}
        outputs = [weight * _at_temperature(distinct[i], raw[i], t, classification) for (i, t), weight in total.items()]
        mean = sum(outputs[1:], outputs[0]).astype(jnp.float32)
        return mean if classification else mean[:, 0]

    return serialize(predict, (width,))


def _network_output(model: network.Model, x: jax.Array, classification: bool) -> jax.Array:
    """The log-probabilities or standardized values f64[n, outputs] of a network, which computes in float32."""
    config, params, table = jax.tree.map(np.asarray, (model.config, model.params, model.table))
    with jax.enable_x64(False):
        output = network.mean_output(config, network.apply(config, params, table, x), classification)
    return output.astype(jnp.float64)


def _tree_outputs(members: dict[int, FittedMember], x: jax.Array) -> dict[int, jax.Array]:
    """The probabilities or standardized values f64[n, outputs] of the members that consist of trees, in one loop."""
    ensembles = {i: member.trees() for i, member in members.items()}
    kinds: dict[tuple[int, int], list[tuple[int, TreeEnsemble]]] = collections.defaultdict(list)
    for i, ensemble in ensembles.items():
        if ensemble is not None:
            kinds[ensemble.settings["groups"], ensemble.forest.value.shape[1]].append((i, ensemble))
    outputs = {}
    for (groups, _), numbered in kinds.items():
        sums = tree_sums([ensemble.forest for _, ensemble in numbered], x, groups)
        outputs |= {i: members[i].spread_jax(ensemble.link_jax(sums[k])) for k, (i, ensemble) in enumerate(numbered)}
    return outputs


def _fitted_output(member: FittedMember, x: jax.Array) -> jax.Array:
    """The probabilities or standardized values f64[n, outputs] of any other member."""
    try:
        return member.predict_jax(x)
    except InputError as error:
        raise InputError(f"export: the model has a member of the type {member.model!r}: {error}") from None


def _at_temperature(member: Any, output: jax.Array, temperature: float, classification: bool) -> jax.Array:
    """The probabilities of a member at its temperature, or its values, f64[n, outputs]."""
    if not classification or (isinstance(member, FittedMember) and temperature == 1.0):
        return output
    is_log = not isinstance(member, FittedMember)
    logits = output if is_log else jnp.log(jnp.maximum(output, float(np.finfo(np.float32).tiny)))
    return jax.nn.softmax(logits / temperature, axis=1)
