"""CIFAR-10 from both of its files, and what is done to its images."""

import importlib
import io
import tarfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metajax import data
from metajax.types import InputError

cifar = importlib.import_module("metajax.data._cifar")


def archive(path, cut=0):
    """Six files of four records, with pixels that name their place."""
    rng = np.random.default_rng(0)
    rows = {}
    with tarfile.open(path, "w:gz") as file:
        for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
            rows[name] = rng.integers(0, 256, (4, 3073), np.uint8)
            rows[name][:, 0] = np.arange(4)
            content = rows[name].tobytes()[: len(rows[name].tobytes()) - cut]
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return rows


def test_the_official_archive_is_read(tmp_path):
    rows = archive(tmp_path / "c.tar.gz")
    arrays = cifar.read_binary(tmp_path / "c.tar.gz")
    assert arrays["x_train"].shape == (20, 32, 32, 3)
    assert arrays["y_test"].tolist() == [0, 1, 2, 3]
    # red comes first, then green, then blue, each row by row
    assert arrays["x_train"][5, 2, 7, 1] == rows["data_batch_2.bin"][1, 1 + 1024 + 2 * 32 + 7]


def test_a_damaged_archive_is_named(tmp_path):
    archive(tmp_path / "c.tar.gz", cut=5)
    with pytest.raises(
        InputError, match=r"lacks complete records of 3073 bytes: .*data_batch_1.bin.*missing or cut off"
    ):
        cifar.read_binary(tmp_path / "c.tar.gz")
    (tmp_path / "d.tar.gz").write_bytes((tmp_path / "c.tar.gz").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"d.tar.gz is a damaged archive"):
        cifar.read_binary(tmp_path / "d.tar.gz")


def test_images_kept_as_jpeg_are_decoded(tmp_path):
    images = pytest.importorskip("PIL.Image")
    ends, parts = {}, {}
    for part in ("train", "test"):
        chunks = []
        for grey in (40, 200):
            buffer = io.BytesIO()
            images.fromarray(np.full((32, 32, 3), grey, np.uint8)).save(buffer, "JPEG")
            chunks.append(buffer.getvalue())
        parts[f"jpeg_{part}"] = np.frombuffer(b"".join(chunks), np.uint8)
        ends[f"end_{part}"] = np.cumsum([len(c) for c in chunks])
    labels = {"y_train": np.array([3, 4]), "y_test": np.array([5, 6])}
    np.savez(tmp_path / "j.npz", **parts, **ends, **labels)
    arrays = cifar.read_jpeg(tmp_path / "j.npz")
    np.testing.assert_allclose(arrays["x_test"][:, 0, 0, 0], [40, 200], atol=2)
    parts["jpeg_test"] = parts["jpeg_test"] * 0
    np.savez(tmp_path / "k.npz", **parts, **ends, **labels)
    with pytest.raises(InputError, match="an image of jpeg_test cannot be decoded"):
        cifar.read_jpeg(tmp_path / "k.npz")


def test_shrunk_standardized_and_cut(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    arrays = {"x_train": rng.integers(0, 256, (50_000, 1, 1, 3), np.uint8), "y_train": rng.integers(0, 10, 50_000)}
    arrays["x_train"] = np.broadcast_to(arrays["x_train"], (50_000, 32, 32, 3))
    labels = np.repeat(np.arange(10), 100)  # a file that is sorted by class
    pixels = np.broadcast_to(labels.astype(np.uint8)[:, None, None, None], (1000, 32, 32, 3))
    arrays |= {"x_test": pixels, "y_test": labels}
    np.savez_compressed(tmp_path / "cifar10" / "cifar10.npz", **arrays)
    parts = data.cifar10(0, 8, validation=10_000)
    assert parts.train[0].shape == (40_000, 8, 8, 3)
    assert parts.validation[1].shape == (10_000,)
    x, y = parts.test
    assert len(x) == len(y) == 1000
    assert np.all(np.diff(x[np.argsort(y, kind="stable"), 0, 0, 0]) >= 0), "images keep their labels"
    assert min(len(set(y[i : i + 100].tolist())) for i in range(0, 1000, 100)) >= 8, "every batch holds most classes"
    both = np.concatenate([parts.train[0], parts.validation[0]]).astype(np.float64)
    np.testing.assert_allclose(both.mean((0, 1, 2)), 0.0, atol=1e-4)
    np.testing.assert_allclose(both.std((0, 1, 2)), 1.0, atol=1e-3)
    with pytest.raises(InputError, match="size=20 must be 32, 16 or 8"):
        data.cifar10(size=20)
    with pytest.raises(InputError, match="validation=50000 must be between 1 and 49999"):
        data.cifar10(validation=50_000)


def test_data_that_cannot_be_had_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("METAJAX_DATA", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(cifar, "_URL", "https://localhost:1/cifar.tar.gz")
    with pytest.raises(InputError, match=r"put the file of https://localhost:1/cifar\.tar\.gz at"):
        data.cifar10()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**20), st.integers(0, 3))
def test_flips_and_crops_move_whole_images(seed, pad):
    x = jnp.arange(1.0, 1 + 2 * 6 * 6).reshape(2, 6, 6, 1)
    moved = np.asarray(data.flip_and_crop(x, jax.random.key(seed), pad))
    padded = np.pad(np.asarray(x), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for image, source in zip(moved, padded):
        crops = [
            turned[i : i + 6, j : j + 6]
            for turned in (source, source[:, ::-1])
            for i in range(2 * pad + 1)
            for j in range(2 * pad + 1)
        ]
        assert any(np.array_equal(image, crop) for crop in crops)


def test_squares_are_cut_out():
    x = jnp.ones((200, 12, 10, 3))
    cut = np.asarray(data.cut_out(x, jax.random.key(0), 4))
    assert np.all((cut == 0) | (cut == 1))
    gone = (cut == 0).all(-1)
    assert np.array_equal(gone, (cut == 0).any(-1)), "all channels together"
    rows, columns = gone.any(2).sum(1), gone.any(1).sum(1)
    assert np.array_equal(gone.sum((1, 2)), rows * columns), "a rectangle"
    assert set(rows) == set(columns) == {2, 3, 4}, "whole inside, cut off at the border"
    assert len({tuple(g.reshape(-1)) for g in gone}) > 50
