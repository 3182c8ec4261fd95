"""Omniglot: 1,623 handwritten characters of 50 alphabets, 20 drawings each (Lake et al. 2015)."""

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np

from metajax.data._classes import ClassSplit, from_array, split_classes
from metajax.data._home import download, home, load_npz, save_npz
from metajax.types import InputError

_URL = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python/"
_ARCHIVES = {
    "images_background.zip": "md5:68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "md5:6b91aef0f799c5bb55b94e3f2daec811",
}


def omniglot(seed: int = 0) -> ClassSplit:
    """All of Omniglot at 28 x 28, ink bright, split 1100/100/423 characters at random (MAML's split sizes).

    Rotations by 90° as new classes are the sampler's business (``fewshot.episodes``). Read from
    ``omniglot/omniglot28.npz`` below ``$METAJAX_DATA``; if it is not there, made from the two official archives, which
    are fetched if they are not there either.

    Args:
        seed: of the split.

    Raises:
        InputError: if the data is not to be had; says which file to put where.
    """
    path = home() / "omniglot" / "omniglot28.npz"
    if not path.is_file():
        archives = [download(_URL + name, path.parent / name, checksum) for name, checksum in _ARCHIVES.items()]
        save_npz(path, images=read_archives(archives))
    images = load_npz(path, ("images",))["images"]
    return split_classes(from_array(images), seed, (1100, 100), "omniglot")


def read_archives(archives: list[Path]) -> np.ndarray:
    """The official archives as uint8[characters, 20, 28, 28], ink bright, shrunk from 105 x 105 by Lanczos.

    Inside, a drawing is ``<archive>/<alphabet>/<character>/<number>.png``, ink 0 on 1.

    Raises:
        InputError: if an archive is damaged or a character does not have 20 drawings.
    """
    from PIL import Image

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
            raise InputError(f"{archive}: damaged archive ({error}); fetch it again from {_URL}") from error
    wrong = {name: len(drawings) for name, drawings in characters.items() if len(drawings) != 20}
    if wrong or not characters:
        raise InputError(f"omniglot: every character has 20 drawings, but {wrong or 'the archives hold none'}")
    return np.stack([np.stack(characters[name]) for name in sorted(characters)]).astype(np.uint8)
