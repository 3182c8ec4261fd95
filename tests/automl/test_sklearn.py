"""The main job as scikit-learn estimators, by scikit-learn's own checks and by what users do."""

import numpy as np
import pytest

pytest.importorskip("pandas")
sklearn = pytest.importorskip("sklearn")

from small_searches import quick_meta_learner, small_models  # noqa: E402, F401

import metajax  # noqa: E402
from metajax.types import InputError  # noqa: E402

pytestmark = pytest.mark.optimized


NOT_SO = ("check_sample_weight_equivalence_on_dense_data",)
"""Rows are split by their number, so that a row of weight 2 is not the same as two rows, of which each may be held out."""


def checks():
    from sklearn.utils.estimator_checks import estimator_checks_generator

    seen = set()
    for kind in (metajax.AutoMLClassifier, metajax.AutoMLRegressor):
        for number, (estimator, check) in enumerate(estimator_checks_generator(kind(trials=16))):
            name = getattr(check, "func", check).__name__
            if name in NOT_SO or (name, kind is metajax.AutoMLRegressor) in seen:
                continue  # what both share is checked on the classifier: every check fits, and each shape compiles
            seen.add((name, True))
            yield pytest.param(estimator, check, id=f"{kind.__name__}-{name}-{number}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), checks())
def test_scikit_learns_checks(estimator, check):
    from metajax._compiled import keep_compiled

    keep_compiled()
    check(estimator)


def test_bad_targets_are_value_errors_that_say_what_is_required():
    x = np.random.default_rng(0).normal(size=(30, 2))
    with pytest.raises(InputError, match="must have at least two classes, got one"):
        metajax.AutoMLClassifier(trials=16).fit(x, np.zeros(30))
    with pytest.raises(ValueError, match="must have at least 3 rows of each class"):
        metajax.AutoMLClassifier(trials=16).fit(x, [0] * 28 + [1, 1])
    with pytest.raises(InputError, match=r"^method='guess': must be one of metalearner"):
        metajax.AutoMLClassifier(method="guess", trials=16).fit(x, np.arange(30) % 2)


@pytest.mark.parametrize("kind", [metajax.AutoMLClassifier, metajax.AutoMLRegressor])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
def test_an_unfitted_estimator_says_so(kind, method):
    from sklearn.exceptions import NotFittedError

    if hasattr(kind, method):
        arguments = (np.zeros((3, 2)),) if method != "score" else (np.zeros((3, 2)), np.arange(3))
        with pytest.raises(NotFittedError, match=f"This {kind.__name__} instance is not fitted yet"):
            getattr(kind(), method)(*arguments)


def table(n=48):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=n), "color": rng.choice(["red", "blue"], n), "id": np.arange(n)})
    return frame, np.where((frame["a"] > 0) ^ (frame["color"] == "red"), "yes", "no")


def test_x_and_y_of_different_length_and_gaps_in_y_are_refused_before_anything_is_trained():
    frame, y = table()
    for x in (frame, frame[["a"]].to_numpy()):
        with pytest.raises(ValueError, match=r"got 47 values for 48 rows|inconsistent numbers of samples"):
            metajax.AutoMLClassifier(trials=16).fit(x, y[:47])
    with pytest.raises(InputError, match="y: contains NaN in 1 rows"):
        metajax.AutoMLClassifier(trials=16).fit(frame, [None, *y[1:]])


@pytest.mark.usefixtures("quick_meta_learner")
def test_an_array_is_predicted_after_a_frame_of_the_same_width():
    """As in scikit-learn: it warns that the names are missing. An identifier is left out, text stays text."""
    from metajax.data import tabular

    frame, y = table()
    schema = tabular.Schema.infer(frame)
    assert [column.kind for column in schema.columns] == ["number", "category", "identifier"]
    model = metajax.AutoMLClassifier(trials=16, schema=schema).fit(frame, y)
    assert model.model_.encoder.schema.columns == schema.columns
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        from_array = model.predict_proba(frame.to_numpy())
    np.testing.assert_array_equal(from_array, model.predict_proba(frame))
    shuffled = frame.assign(a=frame["a"].astype(str))
    np.testing.assert_array_equal(model.predict_proba(shuffled), model.predict_proba(frame))
