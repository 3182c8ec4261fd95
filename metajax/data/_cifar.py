"""CIFAR-10: 60,000 color images of 32 x 32 pixels in 10 classes (Krizhevsky 2009)."""

import io
import tarfile
from pathlib import Path

import numpy as np

from metajax._optional import optional
from metajax.data._bundled import Images
from metajax.data._home import download, home, load_npz, save_npz
from metajax.types import InputError

# The binary version has plain files with one byte of label and 3,072 bytes of pixels for each image.
_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_MD5 = "md5:c32a1d4ab5d03f1284b67883e8d87530"


def cifar10(seed: int = 0, size: int = 32, validation: int = 25_000) -> Images:
    """Loads CIFAR-10, standardized by the channel means and deviations of the training images.

    The official test images stay the test. They always have the same shuffled order: a file may hold them class by class, and
    batch normalization over a batch of one class would be meaningless. The 50,000 training images are shuffled by ``seed``
    and split.

    The data is read from ``cifar10/cifar10.npz`` below ``$METAJAX_DATA`` or the cache. That file is made once: from the
    prepared ``cifar10/cifar10_full_jpegbytes.npz`` (slightly lossy) if it exists, otherwise from the official binary archive,
    which is downloaded if necessary.

    Args:
        seed: The seed of the split into training and validation.
        size: The side in pixels: 32, or 16 or 8 for means over 2 x 2 or 4 x 4 pixels.
        validation: The number of training images used for validation, 1 to 49,999. DARTS and NAS-Bench-201 take half.

    Returns:
        The images in three parts.

    Raises:
        InputError: If the data cannot be found or downloaded, or ``size`` or ``validation`` is out of range.

    References:
        Krizhevsky, Learning multiple layers of features from tiny images, 2009.

    Example:
        >>> parts = cifar10(size=8)  # doctest: +SKIP
        >>> parts.train[0].shape  # doctest: +SKIP
        (25000, 8, 8, 3)
    """
    if size not in (8, 16, 32):
        raise InputError(f"cifar10: size={size} must be 32, 16 or 8")
    if not 0 < validation < 50_000:
        raise InputError(f"cifar10: validation={validation} must be between 1 and 49999 of the 50000 training images")
    arrays = load_npz(_decoded(), ("x_train", "y_train", "x_test", "y_test"))

    def shrink(images: np.ndarray) -> np.ndarray:
        step = 32 // size
        total = np.zeros((len(images), size, size, 3), np.float32)
        for i, j in np.ndindex(step, step):
            total += images[:, i::step, j::step]
        return total / np.float32(255.0 * step * step)

    x, x_test = shrink(arrays["x_train"]), shrink(arrays["x_test"])
    y, y_test = arrays["y_train"].astype(np.int32), arrays["y_test"].astype(np.int32)
    mean, deviation = (f(x, axis=(0, 1, 2), dtype=np.float64).astype(np.float32) for f in (np.mean, np.std))
    x, x_test = (x - mean) / deviation, (x_test - mean) / deviation
    order = np.random.default_rng(seed).permutation(len(x))
    held_out, train, shuffled = (
        order[:validation],
        order[validation:],
        np.random.default_rng(0).permutation(len(x_test)),
    )
    return Images((x[train], y[train]), (x[held_out], y[held_out]), (x_test[shuffled], y_test[shuffled]))


def _decoded() -> Path:
    """Returns the file of plain arrays, and makes it if necessary."""
    folder = home() / "cifar10"
    cache = Path.home() / ".cache" / "metajax" / "data" / "cifar10"
    for file in (folder / "cifar10.npz", cache / "cifar10.npz"):
        if file.is_file():
            return file
    prepared = folder / "cifar10_full_jpegbytes.npz"
    arrays = read_jpeg(prepared) if prepared.is_file() else read_binary(download(_URL, cache / Path(_URL).name, _MD5))
    cache.mkdir(parents=True, exist_ok=True)
    # Photographs hardly compress, and reading uncompressed arrays is 20 times faster.
    save_npz(cache / "cifar10.npz", compress=False, **arrays)
    return cache / "cifar10.npz"


def read_jpeg(path: Path) -> dict[str, np.ndarray]:
    """Reads images stored as JPEG: bytes ``jpeg_{part}`` with cumulative ends ``end_{part}`` for ``train`` and ``test``."""
    Image = optional("PIL.Image", "reading JPEG images")
    names = ("jpeg_train", "jpeg_test", "end_train", "end_test", "y_train", "y_test")
    stored = load_npz(path, names)
    arrays = {"y_train": stored["y_train"].astype(np.uint8), "y_test": stored["y_test"].astype(np.uint8)}
    for part in ("train", "test"):
        ends = stored[f"end_{part}"].astype(np.int64)
        data = stored[f"jpeg_{part}"].tobytes()
        starts = np.concatenate([[0], ends[:-1]])
        try:
            images = [np.asarray(Image.open(io.BytesIO(data[a:b])).convert("RGB")) for a, b in zip(starts, ends)]
        except OSError as error:
            raise InputError(f"{path}: an image of jpeg_{part} cannot be decoded ({error})") from error
        arrays[f"x_{part}"] = np.stack(images)
    return arrays


def read_binary(path: Path) -> dict[str, np.ndarray]:
    """Reads the official binary archive, ``cifar-10-batches-bin/data_batch_1.bin`` to ``test_batch.bin``."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith(".bin") else None
                if file is not None:
                    contents[Path(member.name).name] = file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{path} is a damaged archive ({error}); download it again from {_URL}") from error
    files = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    arrays = {}
    for part, names in files.items():
        missing = [name for name in names if len(contents.get(name, b"")) == 0 or len(contents[name]) % 3073]
        if missing:
            raise InputError(f"{path} lacks complete records of 3073 bytes: {missing} missing or cut off")
        rows = np.frombuffer(b"".join(contents[name] for name in names), np.uint8).reshape(-1, 3073)
        arrays[f"y_{part}"] = rows[:, 0].copy()
        arrays[f"x_{part}"] = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()
    return arrays
