"""Images as a task of the main job: one small run from a folder, and what is refused."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax import automl, cli
from metajax.automl._image_model import ImageModel, network, record
from metajax.automl._image_space import DEFAULT, image_space
from metajax.data._pictures import holds_images, pictures
from metajax.types import InputError

pytest.importorskip("pandas")


def bars(n=90, side=8):
    """Upright, lying and slanted bars with noise."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    x = rng.integers(0, 60, (n, side, side)).astype(np.uint8)
    for image, label in zip(x, y):
        at = rng.integers(1, side - 1)
        if label == 0:
            image[:, at] = 250
        elif label == 1:
            image[at] = 250
        else:
            np.fill_diagonal(image, 250)
    return x, np.array(["upright", "lying", "slanted"])[y]


@pytest.fixture
def archive(tmp_path):
    x, y = bars()
    np.savez(tmp_path / "bars.npz", x=x, y=y)
    return tmp_path / "bars.npz"


def test_pictures_are_read_from_arrays_and_folders(archive, tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    found = pictures(archive)
    assert found.x.shape == (90, 8, 8, 1) and found.x.max() <= 1 and found.classes == ["lying", "slanted", "upright"]
    x, y = bars()
    for i, (image, label) in enumerate(zip(x, y)):
        (tmp_path / "f" / label).mkdir(parents=True, exist_ok=True)
        image_module.fromarray(image).save(tmp_path / "f" / label / f"{i:03d}.png")
    folder = pictures(tmp_path / "f")
    assert folder.classes == found.classes and folder.x.shape == found.x.shape
    assert holds_images(tmp_path / "f") and holds_images(archive)
    image_module.fromarray(x[0][:4]).save(tmp_path / "f" / "lying" / "small.png")
    with pytest.raises(InputError, match="pass a size to resize all images to"):
        pictures(tmp_path / "f")
    assert pictures(tmp_path / "f", 8).x.shape == (91, 8, 8, 1)


def test_large_pictures_are_made_smaller_and_tables_stay_tables(tmp_path):
    np.savez(tmp_path / "large.npz", x=np.zeros((12, 70, 60, 3), np.uint8), y=np.arange(12) % 2)
    found = pictures(tmp_path / "large.npz")
    assert found.x.shape == (12, 23, 20, 3) and "averaging over blocks" in found.notes[0]
    np.savez(tmp_path / "table.npz", x=np.zeros((12, 70)), y=np.arange(12) % 2)
    assert not holds_images(tmp_path / "table.npz")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((9, 8, 8)), np.zeros(9), "must have at least two classes"),
        (np.zeros((9, 8, 8)), [0] * 8 + [1], "must have at least 3 images"),
        (np.full((9, 8, 8), np.nan), np.arange(9) % 2, "must have finite values only"),
        (np.zeros((9, 8, 8, 9)), np.arange(9) % 2, "at most 4 channels"),
        (np.zeros((9, 8, 8)), np.arange(8), "one label for each image"),
    ],
)
def test_bad_pictures_are_one_line_and_status_2(x, y, message, tmp_path, capsys):
    np.savez(tmp_path / "bad.npz", x=x, y=y)
    assert cli.main(["search", "--data", str(tmp_path / "bad.npz"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_model_says_what_the_batch_said_over_its_temperature_and_is_read_back(tmp_path):
    """On the very images whose statistics were recorded, the network says what batch norm by the batch says; of one image alone
    too. Its logits are divided by the member's temperature."""
    made = network(3, 1, 1)
    cell = {name: DEFAULT[name] for name in made.space.domains}
    params = made.build(cell).init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
    kept = record(made, cell, params, x)
    whole = jax.nn.softmax(jax.jit(made.build(cell).apply)(params, x) / 2.0)
    plain = np.zeros(1, np.float32), np.ones(1, np.float32)
    model = ImageModel([DEFAULT], [(params, kept)], ["a", "b", "c"], *plain, 1, np.array([2.0]))
    np.testing.assert_allclose(model.predict_inputs(x), whole, atol=1e-4)
    np.testing.assert_allclose(model.predict_inputs(x[3:4]), whole[3:4], atol=1e-4)
    model.save(tmp_path)
    again = automl.load_model(tmp_path)
    np.testing.assert_array_equal(again.predict_inputs(x), model.predict_inputs(x))
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), params)
    dataclasses.replace(model, members=[(broken, kept)]).save(tmp_path)
    with pytest.raises(InputError, match=r"damaged \(member 0 holds values that are not finite"):
        automl.load_model(tmp_path)


def test_the_default_is_a_configuration_of_the_space():
    space = image_space()
    assert space.dicts(space.configs([DEFAULT]))[0].keys() == space.domains.keys()
    assert space.log10_size > 9 and jnp.isfinite(space.encode(space.configs([DEFAULT]))).all()


@pytest.mark.optimized
@pytest.mark.slow
@pytest.mark.parametrize("method", ["metalearner", "supernet"])
def test_a_search_of_images_from_end_to_end(method, archive, tmp_path, capsys):
    out = tmp_path / "run"
    argv = ["search", "--data", str(archive), "--trials", "24", "--no-baseline", "--method", method, "--out", str(out)]
    assert cli.main(argv) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["metrics"]["test_accuracy"] > 0.8 and result["data"]["inputs"] == [8, 8, 1]
    model = automl.load_model(out)
    x, y = bars()
    labels, probabilities = model.predict(x[..., None].astype(np.float32) / 255)
    assert np.mean(labels == y) > 0.8
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    one, _ = model.predict(x[5:6, ..., None].astype(np.float32) / 255)
    assert one[0] == labels[5], "what is said of an image does not depend on the others"
    np.savez(tmp_path / "new.npz", x=x[:4])
    assert cli.main(["predict", str(out), "--data", str(tmp_path / "new.npz"), "--out", str(tmp_path / "p.csv")]) == 0
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 5
    if method == "supernet":
        decided = json.loads((out / "supernet.json").read_text())
        assert all(part["config"][name] == value for part in result["ensemble"] for name, value in decided.items())
    capsys.readouterr()
