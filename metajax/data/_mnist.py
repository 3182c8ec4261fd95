"""MNIST: 70,000 handwritten digits of 28 x 28 pixels (LeCun et al. 1998)."""

import gzip
from pathlib import Path

import numpy as np

from metajax.data._bundled import Images
from metajax.data._home import download, home, load_npz, save_npz
from metajax.types import InputError

_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FILES = {
    "x_train": ("train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "y_train": ("train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"),
    "x_test": ("t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"),
    "y_test": ("t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"),
}


def mnist(seed: int = 0, train: int = 50_000, validation: int = 10_000) -> Images:
    """Loads MNIST with pixels in [0, 1]. The official test images stay the test.

    The data is read from ``mnist/mnist.npz`` below ``$METAJAX_DATA``. If it does not exist, it is made from the four official
    IDX files, which are downloaded if necessary.

    Args:
        seed: The seed of the choice of training and validation images among the official 60,000.
        train: The number of training images.
        validation: The number of validation images.

    Returns:
        The images in three parts.

    Raises:
        InputError: If the data cannot be found or downloaded, or there are fewer images than asked for.

    References:
        LeCun et al., Gradient-based learning applied to document recognition, Proceedings of the IEEE, 1998.

    Example:
        >>> parts = mnist(train=1_000, validation=500)  # doctest: +SKIP
        >>> parts.validation[0].shape  # doctest: +SKIP
        (500, 28, 28, 1)
    """
    if min(train, validation) < 1 or train + validation > 60_000:
        raise InputError(
            f"mnist: train={train} and validation={validation} must be positive and at most 60000 together"
        )
    path = home() / "mnist" / "mnist.npz"
    if not path.is_file():
        files = {name: download(_URL + file, path.parent / file, check) for name, (file, check) in _FILES.items()}
        save_npz(path, True, **{name: read_idx(file) for name, file in files.items()})
    arrays = load_npz(path, tuple(_FILES))
    scaled = lambda x: (x[..., None] / np.float32(255.0)).astype(np.float32)
    x, y = arrays["x_train"], arrays["y_train"].astype(np.int32)
    order = np.random.default_rng(seed).permutation(len(x))
    select = lambda rows: (scaled(x[rows]), y[rows])
    return Images(
        select(order[:train]),
        select(order[train : train + validation]),
        (scaled(arrays["x_test"]), arrays["y_test"].astype(np.int32)),
    )


def read_idx(path: Path) -> np.ndarray:
    """Reads a gzipped IDX file of bytes: two zeros, the type (8), the number of axes, their sizes, the values."""
    try:
        raw = gzip.decompress(path.read_bytes())
        axes = raw[3]
        shape = tuple(np.frombuffer(raw, ">u4", axes, 4).astype(int))
        if raw[:3] != b"\0\0\x08":
            raise ValueError(f"its magic number must be 000008 (bytes), got {raw[:3].hex()}")
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise InputError(f"{path} is not a readable IDX file ({error})") from error
