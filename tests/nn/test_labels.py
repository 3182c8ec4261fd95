"""Labels that are not classes are named, or make NaN; never a plausible number."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metajax import hpo, nn
from metajax.types import InputError


def test_right_labels_give_what_optax_gives():
    logits = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    labels = jnp.array([0, 1, 2, 3, 3, 0])
    expected = jax.jit(optax.softmax_cross_entropy_with_integer_labels)(logits, labels)
    np.testing.assert_allclose(nn.label_cross_entropy(logits, labels), expected, rtol=1e-5)
    np.testing.assert_array_equal(nn.one_hot(labels, 4), np.eye(4)[np.asarray(labels)])
    slope = jax.jit(jax.grad(lambda z: jnp.sum(nn.label_cross_entropy(z, labels))))(logits)
    np.testing.assert_allclose(slope, jax.nn.softmax(logits) - np.eye(4)[np.asarray(labels)], atol=1e-6)


@pytest.mark.parametrize(("labels", "wrong"), [([1, 2, 3], 3), ([-1, 0, 1], -1)])
def test_wrong_labels_are_named_or_make_nan(labels, wrong):
    labels, logits = jnp.array(labels), jnp.zeros((3, 3))
    for call in (lambda y: nn.one_hot(y, 3), lambda y: nn.label_cross_entropy(logits, y)):
        with pytest.raises(InputError, match=f"labels must be integers from 0 to 2, got {wrong}"):
            call(labels)
        lost = jnp.isnan(jax.jit(call)(labels)).reshape(3, -1).any(axis=1)
        assert lost.tolist() == [label == wrong for label in labels.tolist()]
    with pytest.raises(InputError, match="labels must be integers from 0 to 2, got dtype float32"):
        nn.one_hot(labels.astype(jnp.float32), 3)


def test_hyperparameter_problems_notice_wrong_labels():
    training = hpo.training_problem(nn.functional(lambda rngs: nn.MLP(2, (4,), 3, rngs=rngs)), optax.sgd(0.1), 3)
    params = training.problem.inner.init({}, jax.random.key(0))
    batch = hpo.IndexedBatch(jnp.ones((2, 2)), jnp.array([1, 3]), jnp.arange(2))
    for loss in (training.problem.inner.loss, training.problem.outer_loss):
        with pytest.raises(InputError, match="labels must be integers from 0 to 2, got 3"):
            loss({}, params, batch, jax.random.key(1))
        assert np.isnan(jax.jit(loss)({}, params, batch, jax.random.key(1))[0])
