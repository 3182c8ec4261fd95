"""The symmetric trees of CatBoost as a JAX function.

A level of a symmetric tree asks all rows the same question, so that a leaf is a number whose bits are the answers. A question
about a number compares it with a border. A question about a category is one about statistics of its levels that CatBoost keeps
by hashes; here CatBoost itself is asked for the answer of every level.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metajax._typing import AnyArray
from metajax.automl.models._forest import round_down
from metajax.automl.models._forest_jax import normal_round_down
from metajax.types import InputError

LeafIndexFn = Callable[[np.ndarray], np.ndarray]
"""From rows f32[n, inputs] to the leaf of each row in each tree, i[n, trees]."""


class _Questions(NamedTuple):
    """The answers that lead to a leaf, as arrays with an entry for each level of each tree.

    Attributes:
        number: i32[trees, depth], the input that is compared; 0 where a category is asked.
        border: f32[trees, depth], the answer is yes above it.
        missing_right: bool[trees, depth], the answer where the input is missing.
        category: i32[trees, depth], the category that is asked; -1 where an input is compared.
        answers: bool[trees, depth, levels], the answer of each level.
    """

    number: AnyArray
    border: AnyArray
    missing_right: AnyArray
    category: AnyArray
    answers: AnyArray


def raw_outputs(content: bytes, levels: np.ndarray, leaf_index: LeafIndexFn, x: jax.Array) -> jax.Array:
    """Returns what a model of CatBoost predicts before its link, f64[n, dimensions].

    The function is traced with 64-bit types enabled.

    Args:
        content: The model in the JSON format of CatBoost.
        levels: i64[inputs], as in ``Data.levels``; empty where there are no categories.
        leaf_index: The model's own function from rows to leaves.
        x: f32[n, inputs], the rows, in which categories are one-hot.

    Raises:
        InputError: If the trees are not symmetric, or a question depends on more than one category.
    """
    model = json.loads(content)
    trees = model.get("oblivious_trees")
    if not trees:
        raise InputError("the CatBoost model must have symmetric trees to be exported, got others")
    scale, bias = model["scale_and_bias"]
    category_inputs = [np.flatnonzero(levels == category) for category in np.unique(levels[levels >= 0])]
    numbers = np.flatnonzero(levels < 0) if len(levels) else np.arange(x.shape[1])
    questions = _questions(model, numbers, _category_answers(category_inputs, leaf_index, x.shape[1]))
    leaves = _leaves(questions, category_inputs, x)
    values = _leaf_values(trees, len(bias))
    total = jnp.zeros((x.shape[0], len(bias)), jnp.float64)

    def add(total, tree):
        leaf, leaf_values = tree
        return total + leaf_values.at[leaf].get(mode="promise_in_bounds"), None

    total, _ = jax.lax.scan(add, total, (leaves.T, jnp.asarray(values)))
    return scale * total + jnp.asarray(np.asarray(bias, np.float64))


def _leaf_values(trees: list[dict[str, Any]], dimensions: int) -> np.ndarray:
    """The values of the leaves of each tree, f64[trees, leaves, dimensions]."""
    own = [np.asarray(tree["leaf_values"], np.float64).reshape(-1, dimensions) for tree in trees]
    most = max(map(len, own))
    return np.stack([np.pad(values, [(0, most - len(values)), (0, 0)]) for values in own])


def _category_answers(category_inputs: list[np.ndarray], leaf_index: LeafIndexFn, width: int) -> list[np.ndarray]:
    """For each category the leaves that its levels lead to where all else stays the same, i64[levels, trees]."""
    base = np.zeros((1, width), np.float32)
    for inputs in category_inputs:
        base[0, inputs[0]] = 1
    answers = []
    for inputs in category_inputs:
        rows = np.repeat(base, len(inputs), axis=0)
        rows[:, inputs] = np.eye(len(inputs), dtype=np.float32)
        answers.append(np.asarray(leaf_index(rows), np.int64))
    return answers


def _questions(model: dict[str, Any], numbers: np.ndarray, answers: list[np.ndarray]) -> _Questions:
    """The questions of all trees; a tree with fewer levels than another one has more that are always answered with no."""
    trees, features = model["oblivious_trees"], model["features_info"].get("float_features", [])
    right = {f["feature_index"]: f.get("nan_value_treatment") == "AsTrue" for f in features}
    depth = max(1, *(len(tree.get("splits") or ()) for tree in trees))
    n_levels = max([1, *(len(leaves) for leaves in answers)])
    shape = len(trees), depth
    questions = _Questions(
        np.zeros(shape, np.int32),
        np.full(shape, np.inf, np.float32),
        np.zeros(shape, bool),
        np.full(shape, -1, np.int32),
        np.zeros((*shape, n_levels), bool),
    )
    for t, tree in enumerate(trees):
        for level, split in enumerate(tree.get("splits") or ()):
            if split["split_type"] == "FloatFeature":
                feature = split["float_feature_index"]
                questions.number[t, level] = numbers[feature]
                questions.border[t, level] = normal_round_down(round_down(np.array(split["border"])))
                questions.missing_right[t, level] = right[feature]
                continue
            bits = [(leaves[:, t] >> level & 1).astype(bool) for leaves in answers]
            asked = [i for i, bit in enumerate(bits) if bit.any() != bit.all()]
            if len(asked) > 1:
                raise InputError(
                    "the CatBoost model must not combine categories to be exported, got a split on several"
                )
            category = asked[0] if asked else 0
            questions.category[t, level] = category
            questions.answers[t, level, : len(bits[category])] = bits[category]
    return questions


def _leaves(questions: _Questions, category_inputs: list[np.ndarray], x: jax.Array) -> jax.Array:
    """The leaf of each row in each tree, i32[n, trees]."""
    level_index = [jnp.argmax(x[:, inputs], axis=1).astype(jnp.int32) for inputs in category_inputs]
    codes = jnp.stack(level_index, axis=1) if level_index else jnp.zeros((x.shape[0], 1), jnp.int32)
    trees = jnp.arange(len(questions.number), dtype=jnp.int32)

    def ask(leaf, level):
        bit, asked = level
        value = x[:, asked.number]
        is_yes = jnp.where(jnp.isnan(value), asked.missing_right, value > asked.border)
        if category_inputs:
            code = codes[:, jnp.maximum(asked.category, 0)]
            is_yes = jnp.where(asked.category < 0, is_yes, asked.answers[trees, code])
        return leaf | (is_yes.astype(jnp.int32) << bit), None

    by_level = _Questions(*(jnp.asarray(array.swapaxes(0, 1)) for array in questions))
    bits = jnp.arange(questions.number.shape[1], dtype=jnp.int32)
    start = jnp.zeros((x.shape[0], len(questions.number)), jnp.int32)
    return jax.lax.scan(ask, start, (bits, by_level))[0]
