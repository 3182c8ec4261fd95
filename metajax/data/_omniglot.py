"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each (Lake et al. 2015)."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np

from metajax._optional import optional
from metajax.data._classes import ClassSplit, from_array, split_classes
from metajax.data._home import download, home, load_npz, save_npz
from metajax.types import InputError

_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
_ARCHIVES = {
    "images_background.zip": "md5:68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "md5:6b91aef0f799c5bb55b94e3f2daec811",
}


def omniglot(seed: int = 0) -> ClassSplit:
    """Loads all of Omniglot at 28 x 28 pixels with bright ink, split at random into 1100, 100 and 423 characters.

    These are the sizes of the split of MAML. Rotations by 90° as new classes are left to the sampler of episodes
    (``fewshot.classes``). The data is read from ``omniglot/omniglot28.npz`` below ``$METAJAX_DATA``. If it does not exist, it
    is made from the two official archives, which are downloaded if necessary.

    Args:
        seed: The seed of the split.

    Returns:
        The three parts, with images uint8[n, 28, 28, 1] and 20 drawings of each character.

    Raises:
        InputError: If the data cannot be found or downloaded. The message says which file to put where.

    References:
        Lake et al., Human-level concept learning through probabilistic program induction, Science, 2015.

    Example:
        >>> parts = omniglot()  # doctest: +SKIP
        >>> [len(part.counts) for part in parts]  # doctest: +SKIP
        [1100, 100, 423]
    """
    path = home() / "omniglot" / "omniglot28.npz"
    if not path.is_file():
        archives = [download(_URL + name, path.parent / name, checksum) for name, checksum in _ARCHIVES.items()]
        save_npz(path, images=read_archives(archives))
    images = load_npz(path, ("images",))["images"]
    return split_classes(from_array(images), seed, (1100, 100), "omniglot")


def read_archives(archives: list[Path]) -> np.ndarray:
    """Reads the official archives as uint8[characters, 20, 28, 28] with bright ink, shrunk from 105 x 105 by Lanczos.

    Inside, a drawing is ``<archive>/<alphabet>/<character>/<number>.png``, ink 0 on 1.
    """
    Image = optional("PIL.Image", "reading the drawings of Omniglot")

    characters: dict[str, list[np.ndarray]] = {}
    for archive in archives:
        try:
            with zipfile.ZipFile(archive) as file:
                for name in sorted(n for n in file.namelist() if n.endswith(".png")):
                    with Image.open(BytesIO(file.read(name))) as drawing:
                        ink = 255 - np.asarray(drawing.convert("L"))
                    small = Image.fromarray(ink).resize((28, 28), Image.Resampling.LANCZOS)
                    characters.setdefault(str(Path(name).parent), []).append(np.asarray(small))
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{archive} is a damaged archive ({error}); download it again from {_URL}") from error
    wrong_counts = {name: len(drawings) for name, drawings in characters.items() if len(drawings) != 20}
    if wrong_counts or not characters:
        raise InputError(
            f"omniglot: every character must have 20 drawings, but {wrong_counts or 'the archives contain none'}"
        )
    return np.stack([np.stack(characters[name]) for name in sorted(characters)]).astype(np.uint8)
