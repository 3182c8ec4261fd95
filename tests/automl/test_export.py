"""Exports: the program, the loader and the model card, compared with the model that they were made of."""

import datetime
import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import automl, cli
from metajax.automl import _export_program as export_program
from metajax.automl import _exported_loader as exported_loader
from metajax.automl import _network as network
from metajax.automl import _network_params as network_params
from metajax.automl._encoding import fit_table, make_layout
from metajax.automl._export_card import ModelFacts, card
from metajax.automl._image_model import ImageModel, record
from metajax.automl._image_model import network as image_network
from metajax.automl._image_space import DEFAULT
from metajax.automl._space import default_config, tabular_space
from metajax.automl._training import Data
from metajax.automl.models import Member, installed
from metajax.automl.models import _forest_jax as forest_jax
from metajax.automl.models._fit import FittedMember, fit_member
from metajax.automl.models._installed import BUILT_IN
from metajax.data import tabular
from metajax.run import write_json
from metajax.types import InputError

pd = pytest.importorskip("pandas")
pytest.importorskip("flatbuffers")
import jax.export  # noqa: E402  (importing jax does not import it)

INSTALLED = {kind.name for kind in installed()}
TYPES = [
    pytest.param(kind, id=name, marks=pytest.mark.skipif(name not in INSTALLED, reason=f"{package} is not installed"))
    for name, (kind, package) in BUILT_IN.items()
]
FEW = {"iterations": 8, "depth": 3, "leaves": 8, "min_leaf": 5}
"""What makes the defaults small enough for a test."""
OF_LEVELS = ("depth", "width", "k", "activation", "norm", "dropout")
"""Choices that a linear model does not have."""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """More threads would not pay on so few rows."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@functools.cache
def table(outputs, n=120):
    """A table with gaps, numbers in words, categories of few and of many levels, dates, truth values and text."""
    rng = np.random.default_rng(0)
    number, city = rng.normal(size=n), rng.integers(60, size=n)
    price, level = rng.lognormal(3, 2, n), rng.integers(4, size=n)
    rule = number + (level == 1) + np.sin(city)
    if outputs == 1:
        target = 1e4 + 300 * rule
    else:
        target = np.array(["no", "yes", "maybe"])[np.digitize(rule, np.quantile(rule, np.arange(1, outputs) / outputs))]
    days = np.datetime64("2020-01-01T00:00") + rng.integers(0, 60 * 24 * 900, n).astype("timedelta64[m]")
    words = np.array(["the", "a", "red", "blue", "car", "house", "is", "on", "with", "über", "12"])
    frame = pd.DataFrame(
        {
            "number": np.where(rng.random(n) < 0.15, np.nan, number),
            "whole": rng.integers(-5, 5, n).astype(float),
            "price": [f"{p:,.2f} €".translate(str.maketrans(",.", ".,")) if p > 3 else "n.a." for p in price],
            "city": [f"city {c}" for c in city],
            "level": [None if c == 3 else f"level {c}" for c in level],
            "day": pd.Series(days).dt.strftime("%d.%m.%Y %H:%M"),
            "stamp": np.where(rng.random(n) < 0.1, "?", days.astype(str)),
            "member": rng.choice(["yes", "no", ""], n),
            "remark": [" ".join(rng.choice(words, 3 + i % 5)) for i in range(n)],
        }
    )
    dataset = tabular.load(frame.assign(y=target), "y")
    encoder = tabular.Encoder.fit(dataset.schema, dataset.columns, dataset.target)
    kinds = [column.kind for column in dataset.schema.used]
    assert kinds == ["number"] * 3 + ["category"] * 2 + ["date"] * 2 + ["boolean", "text"], kinds
    return frame, dataset, encoder


def strange_rows(frame):
    """Rows that were not trained on: gaps, levels and words that were not seen, and numbers written in other ways."""
    rows = frame.iloc[:12].astype(object).reset_index(drop=True)
    rows["number"] = [1e300, -1e300, np.nan, 0.0, -0.0, 1e-300, 7, 8, 9, 10, 11, 12]
    rows["price"] = ["(3,5 €)", "−2", "1.234.567,5 €", "inf", "1e400", "", None, "€ 7", "+8", "7 kg", "1,5e3", "1.23"]
    rows["city"] = ["city 999", None, "", "city 1", " city 2 ", *["city 3"] * 7]
    rows["level"] = ["level 1", "level 9", None, np.nan, "", *["level 2"] * 7]
    rows["day"] = ["1.2.2020 3:04", "31.02.2020 00:00", "", None, "nonsense", *["24.12.2035 23:59"] * 7]
    stamps = ["2020-02-30", "2021-03", "2021-03-04 05:06:07.891234567", "2021-03-04T05:06+02:00", "2021-03-04 05:06 Z"]
    rows["stamp"] = [*stamps, "?", "", None, "2021", *["1969-12-31"] * 3]
    rows["member"] = ["YES", "no ", True, False, 1, 0, 1.0, "x", "", None, "True", "0"]
    rows["remark"] = ["", None, "ÜBER", "a" * 3000, "\U0001f600 x_1", *["the red car"] * 7]
    return rows


def members_of(kind, outputs, columns=None):
    """A member of a type that is trained on the table; its last class has no row to train on if there are three."""
    frame, dataset, encoder = table(outputs)
    x, y = encoder.inputs(frame, dataset.target), encoder.targets(dataset.target)
    config = kind.default_config(outputs > 1)
    config |= {name: value for name, value in FEW.items() if name in config}
    config = {f"{kind.name}.{name}": value for name, value in config.items()}
    kept = y < 2 if outputs == 3 and kind.name == "extra_trees" else np.ones(len(y), bool)
    data = Data(x[kept], y[kept], x[:0], y[:0], levels=encoder.levels)
    columns = np.arange(x.shape[1]) if columns is None else columns
    return {"model": kind.name, **config}, fit_member(kind, config, columns, data, 0, outputs, False)


def network_of(outputs, **changes):
    """A network of random weights."""
    frame, _, encoder = table(outputs)
    x, space = encoder.inputs(frame), tabular_space(encoder.features, outputs > 1)
    config = {**default_config(outputs > 1), "width": 32, **changes}
    if config["model"] == "linear":
        config = {name: value for name, value in config.items() if name not in OF_LEVELS}
    configs = {name: np.asarray(values) for name, values in space.configs([config]).items()}
    layout = make_layout(x)
    (shape,) = network.own_shapes(configs, layout)
    coded = jax.tree.map(lambda a: a[0], network.to_network_configs(configs, encoder.groups, layout, shape))
    params = network_params.init(coded, np.random.default_rng(0), shape, layout, outputs)
    return config, network.Model(shape, coded, params, fit_table(layout, x, shape.raw, shape.bins, shape.periodic))


def model_of(pairs, outputs, weights=None):
    configs, members = zip(*pairs)
    temperatures = np.linspace(1.0, 0.5, len(members)) if outputs > 1 else np.ones(len(members))
    return automl.FittedModel(list(configs), table(outputs)[2], list(members), temperatures, weights, 0.4)


def program_of(model):
    """The program of a model, loaded."""
    classification = model.encoder.classes is not None
    ensemble = export_program.Ensemble(model.members, model.temperatures, model.member_weights, classification)
    content = export_program.of_table(ensemble, len(model.encoder.groups))
    return jax.jit(jax.export.deserialize(bytearray(content)).call)


def assert_equal_predictions(model):
    """The program predicts what the model predicts, for training rows, strange ones, gaps and numbers on thresholds."""
    frame = table(3)[0]
    x = np.concatenate([model.encoder.inputs(rows) for rows in (frame, strange_rows(frame))])
    x[3, 0], x[4] = np.nan, 0.0
    output, expected = np.asarray(program_of(model)(x)), model.predict_inputs(x)
    assert output.dtype == np.float32
    if model.encoder.classes is None:
        expected = (expected - model.encoder.shift) / model.encoder.scale
    np.testing.assert_allclose(output, expected, atol=3e-6)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_the_program_of_each_type_predicts_what_the_model_predicts(kind, outputs):
    pairs = [members_of(kind, outputs), members_of(kind, outputs, np.arange(6))]
    assert_equal_predictions(model_of(pairs, outputs, np.array([0.7, 0.3])))


NETWORKS = (
    {},
    {"embedding": "periodic", "frequency_scale": 0.1, "k": 8},
    {"model": "resnet", "embedding": "piecewise", "depth": 3, "norm": "layer", "activation": "parametric"},
    {"model": "linear"},
)


def test_the_program_of_networks_predicts_what_they_predict():
    assert_equal_predictions(model_of([network_of(2, **changes) for changes in NETWORKS], 2))


@pytest.mark.slow
@pytest.mark.optimized
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_the_program_of_a_mixed_ensemble_predicts_what_it_predicts(outputs):
    pairs = [members_of(kind.values[0], outputs) for kind in TYPES if kind.id in INSTALLED]
    pairs += [network_of(outputs, **changes) for changes in NETWORKS]
    assert_equal_predictions(model_of([*pairs, pairs[0]], outputs))


def test_a_class_alone_and_weighted_neighbors():
    frame, dataset, encoder = table(2)
    x, y = encoder.inputs(frame), encoder.targets(dataset.target)
    kind = BUILT_IN["neighbors"][0]
    weights = np.linspace(0.5, 1.5, len(y))
    config = {"neighbors.neighbors": 5, "neighbors.weights": "uniform"}
    columns, empty = np.arange(5), (x[:0], y[:0])
    members = [
        fit_member(kind, config, columns, Data(x, y, *empty, weights), 0, 2, False),
        fit_member(kind, config, columns, Data(x, np.zeros_like(y), *empty), 0, 2, False),
    ]
    assert members[0].member.settings["weighted"] and members[1].member is None
    assert_equal_predictions(model_of([({"model": "neighbors"}, member) for member in members], 2))


def test_equally_near_rows_count_in_the_order_in_which_they_are_stored():
    kind = BUILT_IN["neighbors"][0]
    x = np.array([[0.1, 0.7], [0.7, 0.1], [0.3, 0.3], [0.3, 0.3]], np.float32).repeat(3, axis=0)
    stored = kind.from_arrays({"x": x, "y": np.eye(12, dtype=np.float32)}, {"neighbors": 4, "weights": "distance"})
    out = stored.predict(np.array([[0.3, 0.3], [0.4, 0.4], [0.1, 0.1]], np.float32))
    assert (np.flatnonzero(out[0] > 0.01) == [6, 7, 8, 9]).all(), "rows that are equal are equally near"
    assert (np.flatnonzero(out[2]) == [6, 7, 8, 9]).all()
    with jax.enable_x64(True):
        traced = stored.predict_jax(jnp.asarray([[0.3, 0.3], [0.4, 0.4], [0.1, 0.1]], jnp.float32))
    np.testing.assert_allclose(out, traced, atol=1e-6)


def test_a_denormal_threshold_divides_the_same_numbers():
    """XLA may take a denormal number for zero, which would move a row with a zero to the other side."""
    thresholds = np.array([-1e-45, -1e-40, 0.0, 1e-45, 1e-40, 0.5, -3.0], np.float32)
    values = np.array([-1.0, -np.finfo(np.float32).tiny, 0.0, np.finfo(np.float32).tiny, 1.0], np.float32)[:, None]
    np.testing.assert_array_equal(values > forest_jax.normal_round_down(thresholds), values > thresholds)


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """An export of two members, and the model."""
    model = model_of([members_of(BUILT_IN["regularized_linear"][0], 3), network_of(3)], 3)
    folder = tmp_path_factory.mktemp("export") / "new" / "folder"
    model.export(folder)
    return folder, model


def test_the_loader_reads_rows_as_the_encoder_does(export):
    folder, model = export
    loader, frame = exported_loader.Model(folder), table(3)[0]
    rows = strange_rows(frame)
    text = frame.astype(object).where(frame.notna(), None).map(lambda cell: cell if cell is None else str(cell))
    for data in (frame, rows, text, frame[["remark", *frame.columns[:-1]]].assign(other=1), frame[:0]):
        expected = model.encoder.inputs(data)
        np.testing.assert_allclose(loader.inputs(data), expected, atol=1e-6)
        np.testing.assert_allclose(loader.inputs(data.to_dict("list")), expected, atol=1e-6)
    times = frame.assign(stamp=pd.to_datetime(frame["stamp"], errors="coerce"), level=frame["level"].astype("category"))
    times = times.assign(member=frame["member"].map({"yes": True, "no": False}).astype("boolean"))
    times = times.assign(whole=frame["whole"].astype("Int64").where(frame["whole"] > 0))
    np.testing.assert_allclose(loader.inputs(times), model.encoder.inputs(times), atol=1e-6)
    labels, probabilities = loader.predict(rows)
    expected = model.predict(rows)
    assert labels.tolist() == expected[0].tolist()
    np.testing.assert_allclose(probabilities, expected[1], atol=3e-6)
    assert loader.predict(frame[:0])[1].shape == (0, 3)


def test_the_loader_refuses_what_the_encoder_refuses(export):
    loader, frame = exported_loader.Model(export[0]), table(3)[0]
    for rows, message in (
        (frame.drop(columns="city"), "lacks city"),
        (frame.assign(number=np.inf), "number must have finite values"),
        (frame.assign(price="cheap"), "price must hold numbers, got 'cheap'"),
        (frame.assign(day="soon"), "day must hold dates"),
    ):
        with pytest.raises(ValueError, match=message):
            loader.predict(rows)


def test_the_loader_reads_other_numbers_dates_and_delimiters(tmp_path, export):
    read = lambda **column: exported_loader._number_of({"missing": ["x"], "thousands": "", "decimal": ".", **column})
    cases = (
        ("12 %", "%", 12.0),
        ("$5", "$", 5.0),
        ("-$5", "$", -5.0),
        ("x", "", np.nan),
        ("1e3", "", 1e3),
        ("", "", np.nan),
    )
    for text, unit, value in cases:
        np.testing.assert_equal(read(unit=unit)(text)[0], value)
    np.testing.assert_equal(read(unit="", thousands="'")("1’234.5")[0], 1234.5)
    column = {"missing": [], "format": "%d %b %Y", "origin": "2020-01-01", "parts": ["days", "weekday", "month_sin"]}
    monday = exported_loader._date_of(column)(datetime.datetime(2020, 1, 6, 12))
    assert monday[:2] == (5.5, 0.0) and monday == exported_loader._date_of({**column, "format": "ISO8601"})(
        "2020-01-06 12:00"
    )
    (tmp_path / "rows.csv").write_text('\ufeffa\tb,c\n1\t"x\ty"\n\n2\tz\n', encoding="utf-8")
    assert exported_loader.read_csv(tmp_path / "rows.csv") == {"a": ["1", "2"], "b,c": ["x\ty", "z"]}
    (tmp_path / "rows.csv").write_text("a;b\n1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="2 fields in every row"):
        exported_loader.read_csv(tmp_path / "rows.csv")


HIDDEN = """
import runpy, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("metajax", "pandas", "sklearn", "flax"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_loader_predicts_where_metajax_is_not_installed(export, tmp_path):
    folder, model = export
    frame = table(3)[0]
    frame.to_csv(tmp_path / "rows.csv", sep=";", index=False)
    command = [sys.executable, "-c", HIDDEN, str(folder / "load.py"), str(tmp_path / "rows.csv")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.csv").write_text(done.stdout)
    written = pd.read_csv(tmp_path / "out.csv")
    labels, probabilities = model.predict(frame)
    assert written["prediction"].tolist() == labels.tolist()
    assert list(written)[1:] == [f"p({label})" for label in model.encoder.classes]
    np.testing.assert_allclose(written.iloc[:, 1:], probabilities, atol=5e-6)


RESULT = {
    "metrics": {
        **{"test_accuracy": 0.9, "test_accuracy_low": 0.85, "test_accuracy_high": 0.94},
        **{"default_test_accuracy": 0.8, "default_test_accuracy_low": 0.75, "default_test_accuracy_high": 0.84},
        **{"models_trained": 58, "configurations_tried": 8, "models_failed": 1, "log10_space": 16.5, "seconds": 24.0},
    },
    "metric": "accuracy",
    "verdict": "Accuracy 90.0 ± 4.5% on rows that were held back.",
    "protocol": "A fifth of the rows is the test.",
    "data": {
        **{"name": "/home/me/cars.csv", "target": "y", "digest": "ef340782b116", "labels": ["a", "b"]},
        "rows": {"learned": 800, "test": 200},
        "columns": [{"name": "price", "kind": "number", "rule": ""}],
        "notes": ["Rows with gaps: 3."],
    },
}


def run_directory(path):
    """A directory with what a finished search records."""
    path.mkdir()
    write_json(path / "result.json", RESULT)
    write_json(path / "config.json", {"data": "cars.csv", "minutes": 0.4, "trials": None, "seed": 7})
    meta = {"command": "metajax search --seed 7", "seed": 7, "commit": "db9deab", "started": "2026-01-02T03:04:05Z"}
    write_json(path / "meta.json", {**meta, "hardware": "2 cores", "versions": {"metajax": "0.1.0", "jax": "0.10.2"}})
    return path


def test_the_card_says_what_the_model_is_how_good_and_how_it_was_found(tmp_path):
    run = run_directory(tmp_path / "run")
    facts = ModelFacts(
        *(
            "table",
            [{"model": "extra_trees"}, {"model": "mlp"}, {"model": "mlp"}],
            np.array([0.5, 0.3, 0.2]),
            ["a", "b"],
        ),
        *("y", "1 column", 2_000_000),
    )
    text = card(facts, run)
    for part in (
        *(RESULT["verdict"], RESULT["protocol"], "hash: ef340782b116", "rows: 1,000, of which 200", "price (number)"),
        *("| this model | 90.0% | 85.0% to 94.0% |", "| the untuned default | 80.0%", "seed: 7", "commit: db9deab"),
        *(
            "metajax search --seed 7",
            "2026-01-02T03:04:05Z",
            "metajax 0.1.0",
            "10^16 configurations, of which 8 were tried",
        ),
        *(
            "models trained: 58, of which 1 failed",
            "budget: 0.4 minutes",
            "| extra trees | 1 | 50% |",
            "Rows with gaps: 3.",
        ),
        *("2.0 MB", "import load"),
    ):
        assert part in text, part
    assert "/home/me" not in text.split("## How it was found")[0]
    front = pytest.importorskip("yaml").safe_load(text.split("---\n")[1])
    assert front["pipeline_tag"] == "tabular-classification" and front["metrics"] == ["accuracy"]
    assert front["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.9}]
    alone = card(facts._replace(classes=None))
    assert "tabular-regression" in alone and "a number" in alone and "## Data" not in alone and "values, _ =" in alone


class Mean(Member):
    """A member of a type of one's own, without a form in JAX."""

    def predict(self, x):
        return np.full((len(x), 3), 1 / 3, np.float32)

    def arrays(self):
        return {}


def test_what_cannot_be_exported_is_refused_before_anything_is_written(tmp_path, export, monkeypatch):
    folder, model = export
    own = FittedMember("mean", np.arange(2), np.arange(3), 3, Mean())
    with pytest.raises(
        InputError, match=r"member of the type 'mean': .* must have predict_jax to be exported, got Mean"
    ):
        model_of([({"model": "mean"}, own)], 3).export(tmp_path / "a" / "new")
    with pytest.raises(InputError, match=r"path='.*': must be a new or an empty folder"):
        model.export(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="path="):
        model.export(tmp_path / "file")
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    monkeypatch.setattr("metajax._optional.is_installed", lambda module: module != "flatbuffers")
    with pytest.raises(InputError, match=r"export needs flatbuffers: pip install 'metajax\[export\]'"):
        model.export(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_the_command_exports_a_run(tmp_path, export, capsys):
    _, model = export
    run = run_directory(tmp_path / "run")
    assert cli.main(["export", str(run), "--out", str(tmp_path / "out")]) == 2
    assert "holds no model" in capsys.readouterr().err
    model.save(run)
    (tmp_path / "out").mkdir()
    assert cli.main(["export", str(run), "--out", str(tmp_path / "out")]) == 0
    assert "MODEL_CARD.md, encoder.json, load.py, model.stablehlo" in capsys.readouterr().out
    assert RESULT["verdict"] in (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert cli.main(["export", str(run), "--out", str(tmp_path / "out")]) == 2
    assert "error: --out " in capsys.readouterr().err


def test_an_image_model_is_exported(tmp_path):
    from metajax.automl import _exported_image_loader as image_loader

    rng = np.random.default_rng(0)
    x, net = rng.random((20, 8, 8, 1), np.float32), image_network(3, 1, 1)
    config = {name: DEFAULT[name] for name in net.space.domains}
    params = net.build(config).init(jax.random.key(0))
    statistics = record(net, config, params, jnp.asarray(x))
    members, classes = [(params, statistics)] * 2, ["a", "b", "c"]
    model = ImageModel(
        [DEFAULT] * 2, members, classes, np.array([0.4]), np.array([0.2]), 1, np.array([1.0, 0.5]), np.array([0.7, 0.3])
    )
    with pytest.raises(InputError, match="shape must be the height"):
        model.export(tmp_path / "out")
    model.export(tmp_path / "out", shape=(8, 8, 1))
    loader = image_loader.Model(tmp_path / "out")
    labels, probabilities = loader.predict(x)
    expected = model.predict(x)
    assert labels.tolist() == expected[0].tolist()
    np.testing.assert_allclose(probabilities, expected[1], atol=1e-5)
    assert loader.predict(np.zeros((1, 8, 8, 1), np.uint8))[1].shape == (1, 3)
    with pytest.raises(ValueError, match="images must have the shape"):
        loader.predict(x[:, :4])
    assert "image-classification" in (tmp_path / "out" / "MODEL_CARD.md").read_text()
