"""The encoder: inputs that nothing ruins, and statistics that do not leak."""

import json

import numpy as np
import pytest

from metajax.data import tabular
from metajax.types import InputError

pd = pytest.importorskip("pandas")


def encoded(frame, target):
    """The dataset of a frame and the encoder of all of its rows."""
    dataset = tabular.to_dataset(frame, pd.Series(target), "y", [], None)
    return dataset, tabular.Encoder.fit(dataset.schema, dataset.columns, dataset.target)


def mixed(n=60):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"n": rng.normal(size=n), "c": rng.choice(["a", "b"], n), "m": rng.normal(size=n)})
    frame.loc[::7, "n"] = np.nan
    frame.loc[::9, "c"] = None
    return frame, np.where(np.arange(n) % 2, "u", "v")


def test_missing_values_and_unseen_levels():
    frame, target = mixed()
    _, encoder = encoded(frame, target)
    x = encoder.inputs(frame)
    assert x.shape == (60, 2 + 3 + 1) and x.dtype == np.float32
    assert encoder.groups.tolist() == [0, 0, 1, 1, 1, 2] and encoder.features == 3
    np.testing.assert_array_equal(x[:, 1], frame["n"].isna())
    np.testing.assert_array_equal(x[:, 4], frame["c"].isna())
    assert x[0, 0] == 0, "a missing number is at the median"
    other = encoder.inputs(pd.DataFrame({"n": [1e9], "c": ["never seen"], "m": [2]}))
    assert np.abs(other).max() <= 3
    np.testing.assert_array_equal(other[0, 2:5], [0, 0, 1])
    with pytest.raises(InputError, match="but lacks m"):
        encoder.inputs(frame.drop(columns="m"))
    with pytest.raises(InputError, match="column m: holds text"):
        encoder.inputs(frame.assign(m="many"))


def test_levels_say_which_inputs_belong_to_which_category():
    frame, target = mixed()
    _, encoder = encoded(frame.assign(d=frame["c"]), target)
    assert encoder.levels.tolist() == [-1, -1, 0, 0, 0, -1, 1, 1, 1]
    assert encoded(*wide())[1].levels.tolist() == [0] * 51 + [-1, -1], "a target statistic is a number"


@pytest.mark.parametrize("ruined", ["sentinels", "one of 1e200", "both ends", "mostly zero", "tiny"])
def test_no_outlier_ruins_a_column(ruined):
    """What the others are stays distinguishable: they do not collapse into one point."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000)
    if ruined == "sentinels":
        x[:10] = -999_999
    elif ruined == "one of 1e200":
        x[0] = 1e200
    elif ruined == "both ends":
        x[:2] = 1.7e308, -1.7e308
    elif ruined == "mostly zero":
        x[100:900] = 0.0
        x[0] = 1e200
    else:
        x *= 1e-300
    _, encoder = encoded(pd.DataFrame({"x": x}), np.arange(1000) % 2)
    inputs = encoder.inputs(pd.DataFrame({"x": x}))[:, 0]
    assert np.isfinite(inputs).all() and np.abs(inputs).max() <= 3
    rest = inputs[10:] if ruined != "mostly zero" else inputs[10:100]
    assert 0.5 < rest.std() < 2
    assert (np.argsort(inputs[10:100]) == np.argsort(x[10:100])).all()


@pytest.mark.parametrize("size", [1.0, 1e200, 1e-200, 1.7e308])
def test_targets_of_any_size(size):
    y = np.random.default_rng(0).uniform(-1, 1, size=50) * size
    dataset, encoder = encoded(pd.DataFrame({"x": np.arange(50) / 7}), y)
    targets = encoder.targets(dataset.target)
    assert abs(targets.mean()) < 1e-5 and targets.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(targets.astype(np.float64) * encoder.scale + encoder.shift, y, atol=1e-5 * size)


def wide(n=2000, seed=0):
    """A category of 200 levels that say nothing, and a target at random."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"k": [f"level{i:x}q" for i in rng.integers(200, size=n)], "x": rng.normal(size=n)}
    ), rng.integers(2, size=n)


def test_statistics_of_levels_do_not_leak():
    """Of levels that say nothing, the statistic of the training rows knows nothing either; that of in-sample means would."""
    frame, target = wide()
    dataset, encoder = encoded(frame, target)
    statistic = lambda own: encoder.inputs(dataset.columns, own)[:, 51].astype(np.float64)
    correlation = lambda values: np.corrcoef(values, target)[0, 1]
    assert encoder.groups[50:53].tolist() == [0, 0, 1]
    assert correlation(statistic(None)) > 0.15, "in-sample"
    assert abs(correlation(statistic(dataset.target))) < 0.06
    flipped = dataset.target.copy()
    flipped[0] = "1" if flipped[0] == "0" else "0"
    assert statistic(flipped)[0] == statistic(dataset.target)[0], "a row's own target does not move its statistic"


def test_statistics_of_levels_that_matter():
    """New rows get the mean of all training rows of their level, shrunk to the mean; unseen levels get the mean."""
    frame, _ = wide()
    value = frame["k"].map({level: i for i, level in enumerate(sorted(set(frame["k"])))}) / 10.0
    _, encoder = encoded(frame, value)
    new = encoder.inputs(pd.DataFrame({"k": ["level0q", "levelc7q", "never"], "x": 0.0}))[:, 51]
    assert new[0] < -0.5 and new[1] > 0.5 and abs(new[2]) < 0.05
    classes = np.array(["a", "b", "c"])[np.digitize(value, [6, 12])]
    assert encoded(frame, classes)[1].inputs(frame).shape[1] == 51 + 3 + 1


def test_an_encoder_is_plain_data():
    frame, target = wide()
    dataset, encoder = encoded(frame.assign(t="one two three four " + frame["k"]), target)
    again = tabular.Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    np.testing.assert_array_equal(again.inputs(dataset.frame), encoder.inputs(dataset.columns))
    assert again.schema == encoder.schema and again.to_dict() == encoder.to_dict()
