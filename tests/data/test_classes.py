"""Examples by class: folders, official few-shot formats, ``.npz`` files, scikit-learn; and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax import data
from metajax.data import _fewshot
from metajax.types import InputError

image_module = pytest.importorskip("PIL.Image")


def paint(path, value, size=(8, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image_module.new(mode, size, value if mode == "L" else (value,) * 3).save(path)


def folder(root, classes=3, images=2, **kind):
    for c in range(classes):
        for i in range(images + c):
            paint(root / f"class{c}" / f"{i}.png", 10 * c + i, **kind)
    return root


def test_a_folder_of_folders(tmp_path):
    classes = data.image_folder(folder(tmp_path / "f"))
    assert classes.x.shape == (9, 8, 8, 3)
    assert classes.x.dtype == np.uint8
    assert classes.counts.tolist() == [2, 3, 4]
    assert classes.names == ("class0", "class1", "class2")
    assert classes.x[:, 0, 0, 0].tolist() == [0, 1, 10, 11, 12, 20, 21, 22, 23]
    taken = classes.take([2, 0])
    assert taken.x[:, 0, 0, 0].tolist() == [20, 21, 22, 23, 0, 1]
    assert data.image_folder(tmp_path / "f", limit=1).counts.tolist() == [1, 1, 1]
    assert data.image_folder(tmp_path / "f", size=4).x.shape == (9, 4, 4, 3)


def test_grey_images_have_one_channel_and_join_colored_ones(tmp_path):
    assert data.image_folder(folder(tmp_path / "g", mode="L")).x.shape[-1] == 1
    paint(tmp_path / "g" / "class0" / "x.png", 5)
    assert data.image_folder(tmp_path / "g").x.shape[-1] == 3


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        data.image_folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="one folder of images for each class"):
        data.image_folder(tmp_path / "empty")
    (tmp_path / "empty" / "a").mkdir()
    with pytest.raises(InputError, match="a must contain an image"):
        data.image_folder(tmp_path / "empty")
    root = folder(tmp_path / "f")
    paint(root / "class1" / "z.png", 0, (9, 8))
    with pytest.raises(InputError, match=r"z\.png is 8 x 9, but .*0\.png is 8 x 8; pass a size"):
        data.image_folder(root)
    assert data.image_folder(root, size=8).x.shape == (10, 8, 8, 3)
    whole = (root / "class0" / "0.png").read_bytes()
    (root / "class0" / "0.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"0\.png is not a readable image"):
        data.image_folder(root, size=8)


def test_mini_imagenet_in_its_official_format(tmp_path, monkeypatch):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    with pytest.raises(InputError, match="mini-imagenet does not exist; put mini-imagenet there as images/"):
        data.mini_imagenet()
    root = tmp_path / "mini-imagenet"
    for n, part in enumerate(("train", "val", "test")):
        rows = ["filename,label"]
        for c in range(2):
            for i in range(3):
                paint(root / "images" / f"{part}{c}{i}.jpg", 50 * n, (100, 84))
                rows.append(f"{part}{c}{i}.jpg,n{n}{c}")
        (root / f"{part}.csv").write_text("\n".join(rows) + "\n")
    parts = data.mini_imagenet()
    assert [p.x.shape for p in parts] == [(6, 84, 84, 3)] * 3
    assert parts.test.names == ("n20", "n21")
    assert abs(int(parts.test.x.mean()) - 100) < 3
    (root / "images" / "val01.jpg").unlink()
    with pytest.raises(InputError, match=r"val01\.jpg is not a readable image"):
        data.mini_imagenet()
    (root / "val.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"val\.csv must have the columns filename and label"):
        data.mini_imagenet()


def test_tiered_imagenet_and_cifar_fs_in_their_official_formats(tmp_path, monkeypatch):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    for part in ("train", "val", "test"):
        folder(tmp_path / "tiered-imagenet" / part)
    parts = data.tiered_imagenet(size=16, limit=2)
    assert [p.x.shape for p in parts] == [(6, 16, 16, 3)] * 3
    folder(tmp_path / "cifar-fs" / "data", 4, size=(32, 32))
    splits = tmp_path / "cifar-fs" / "splits" / "bertinetto"
    splits.mkdir(parents=True)
    for part, names in (("train", "class0\nclass3\n"), ("val", "class1\n"), ("test", "class2\n")):
        (splits / f"{part}.txt").write_text(names)
    parts = data.cifar_fs()
    assert [p.names for p in parts] == [("class0", "class3"), ("class1",), ("class2",)]
    (splits / "val.txt").write_text("class9\n")
    with pytest.raises(InputError, match="lacks the folder 'class9' of the split"):
        data.cifar_fs()


def test_npz_by_class_and_by_label(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (10, 4, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images)
    parts = data.class_split(str(tmp_path / "a.npz"))
    assert [len(p.counts) for p in parts] == [6, 2, 2]
    assert parts.train.x.shape == (24, 6, 6, 1)
    labels = np.repeat(np.arange(10), 4)
    np.savez(tmp_path / "b.npz", x=images.reshape(40, 6, 6)[::-1], y=labels[::-1])
    again = data.class_split(str(tmp_path / "b.npz"))
    assert sorted(again.train.x.reshape(24, -1).sum(1)) == sorted(parts.train.x.reshape(24, -1).sum(1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"images": np.zeros((3, 4))},
            r"images must have the shape \(classes, examples, height, width.*, got \(3, 4\)",
        ),
        ({"images": np.zeros((3, 4, 5, 5), np.int64)}, "dtype uint8 or a float, got int64"),
        ({"images": np.full((3, 4, 5, 5), np.nan)}, "must have finite values only"),
        ({"images": np.zeros((2, 4, 5, 5))}, "2 classes, so 0 for training and 1 for validation leave none"),
        (
            {"x": np.zeros((3, 4)), "y": np.zeros(2)},
            r"y must have one label .*, got labels of shape \(2,\) for 3 examples",
        ),
        ({"z": np.zeros(3)}, "must have the array images .* or x and y"),
    ],
)
def test_bad_npz_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        data.class_split(str(tmp_path / "a.npz"))


def test_scikit_learns_datasets():
    pytest.importorskip("sklearn")
    parts = data.class_split("sklearn:digits")
    assert [len(p.counts) for p in parts] == [6, 2, 2]
    assert parts.train.x.shape[1:] == (8, 8, 1)
    assert parts.train.x.max() == 1
    wine = data.class_split("sklearn:wine")
    assert wine.train.x.shape[1:] == (13,)
    assert abs(float(wine.train.x.mean())) < 1e-5
    with pytest.raises(InputError, match="must name a dataset of scikit-learn, one of"):
        data.class_split("sklearn:nothing")
    with pytest.raises(InputError, match="must be a classification dataset"):
        data.class_split("sklearn:diabetes")
    with pytest.raises(InputError, match="must be one of omniglot, mini-imagenet"):
        data.class_split("nothing")


def test_a_dataset_of_ones_own_has_a_name(monkeypatch):
    monkeypatch.setattr(_fewshot, "_LOADERS", dict(_fewshot._LOADERS))
    asked = []

    @data.register("my-faces")
    def faces(*, seed, size):
        asked.append((seed, size))
        return data.from_array(np.arange(10 * 4 * 6, dtype=np.float32).reshape(10, 4, 6))

    parts = data.class_split("my-faces", seed=3, size=9)
    assert asked == [(3, 9)] and [len(part.counts) for part in parts] == [6, 2, 2]
    assert abs(float(parts.train.x.mean())) < 1e-5, "features are standardized"
    raw = data.split_classes(faces(seed=3, size=None), 3)

    @data.register("official")
    def official(*, seed, size):
        return raw

    assert data.class_split("official", seed=9) is raw, "an official split is left as it is"
    with pytest.raises(InputError, match=r"must be one of omniglot, .*, my-faces, official, sklearn:NAME"):
        data.class_split("my-face")


@pytest.mark.parametrize(
    ("name", "message"),
    [("omniglot", "is already registered"), ("", "must have letters"), ("a/b", "must have letters")],
)
def test_names_that_cannot_be_registered(name, message):
    with pytest.raises(InputError, match=message):
        data.register(name)


@settings(deadline=None, max_examples=30)
@given(counts=st.lists(st.integers(1, 5), min_size=3, max_size=12), seed=st.integers(0, 99))
def test_class_splits_are_disjoint_and_complete(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    classes = data.by_label(labels[:, None].astype(np.float32), labels)
    parts = data.split_classes(classes, seed)
    assert sorted(name for part in parts for name in part.names) == sorted(classes.names)
    for part in parts:
        assert len(part.counts) >= 1
        assert part.x[:, 0].astype(int).tolist() == [int(n) for n, k in zip(part.names, part.counts) for _ in range(k)]
