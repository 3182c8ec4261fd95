"""Public functions compare arrays with their annotated shapes in the tests, and cost nothing in use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from metajax import _typing, fewshot, hpo, search, supernet
from metajax.search import _groups, _heuristics, _query
from metajax.space import Categorical, Float, Integer, Space, Subset, rules

SPACE = supernet.spaces.cell_space(2)
KEY = jax.random.key(0)
MOMENT = supernet.Moment(0.5, jnp.ones(5))
EXAMPLES = hpo.IndexedBatch(jnp.ones((2, 3)), jnp.array([0, 1]), jnp.array([5, 7]))
PAIR, TRIPLE = jnp.ones((2, 3)), jnp.ones((3, 3))

WRONG = {
    "a rule that takes whole numbers": lambda: rules.softmax()(jnp.arange(3)),
    "columns of a choice": lambda: Categorical("ab").encode(jnp.ones(3)),
    "a block of a choice": lambda: Categorical("ab").decode(jnp.ones((4, 3))),
    "uniform numbers of a subset": lambda: Subset(3).draw(jnp.ones((4, 2))),
    "columns of a subset": lambda: Subset(3).encode(jnp.ones((4, 2), bool)),
    "a block of a number": lambda: Float(0.0, 1.0).decode(jnp.ones((4, 2))),
    "columns of a whole number": lambda: Integer(0, 9).encode(jnp.ones(4)),
    "a relaxed encoding": lambda: Space({"x": Float(0.0, 1.0)}).values(jnp.ones(2)),
    "a mask": lambda: supernet.relaxations.softmax_mixture().strengths(SPACE, SPACE.zeros(), jnp.ones(4)),
    "an encoding with a price": lambda: supernet.diagnosis.Cost(0.0, np.ones(5, np.float32), 1.0, 1.0, "flops").of(1.0),
    "an encoding with a penalty": lambda: supernet.regularizers.zero_one()(SPACE, {}, jnp.ones(4), MOMENT),
    "an encoding with noise": lambda: supernet.regularizers.random_disturbance()(SPACE, None, PAIR, MOMENT, KEY),
    "weights of examples": lambda: hpo.example_weights(9).apply(jnp.ones(8), jnp.ones(2), EXAMPLES),
    "weights of classes": lambda: hpo.class_weights(3).apply(jnp.ones(2), jnp.ones(2), EXAMPLES),
    "targets": lambda: hpo.label_smoothing().apply(jnp.zeros(()), PAIR, jnp.arange(3)),
    "outputs and targets": lambda: hpo.polynomial_loss().apply(jnp.zeros(4), PAIR, TRIPLE),
    "images": lambda: hpo.augmentation().apply(hpo.augmentation().init(KEY), PAIR, KEY),
    "logits of a loss": lambda: fewshot.classification_loss(PAIR, jnp.arange(3)),
    "candidates of a search": lambda: _heuristics.score(SPACE, None, None, PAIR),
    "values of groups": lambda: _groups.row_sums(_groups.groups(SPACE), np.zeros((2, 2), int)),
    "values of configurations": lambda: _query.outcome(_Model, np.ones((2, 5)), np.ones(3), 0.0, 2),
}


class _Model:
    """What ``outcome`` reads of a model."""

    space, direction = SPACE, 1.0


@pytest.mark.skipif(not _typing.CHECKED, reason="METAJAX_CHECK_SHAPES is not 1")
@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
def test_a_wrong_shape_is_noticed(call):
    with pytest.raises(TypeCheckError):
        call()


def test_the_check_is_free_in_use(monkeypatch):
    monkeypatch.setattr(_typing, "CHECKED", False)
    assert _typing.checked(search.maximize) is search.maximize
