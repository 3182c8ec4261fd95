"""Predicts with the exported image model in this folder. It needs Python 3.11, NumPy, JAX and flatbuffers, and nothing else.

    python load.py IMAGES.npy > predictions.csv

    import load
    labels, probabilities = load.Model().predict(images)

Images are numbers in [0, 1] of the shape [n, height, width, channels]; those of an array of whole numbers are divided by 255.
"""

import csv
import json
import sys
from pathlib import Path

import jax
import jax.export
import numpy as np

BLOCKS = (16, 256)
"""Images are predicted in blocks of these sizes, so that two programs are compiled at most."""


class Model:
    """An exported model.

    Args:
        folder: The folder of the export; by default that of this file.
    """

    def __init__(self, folder: str | Path = Path(__file__).parent):
        content = json.loads((Path(folder) / "encoder.json").read_text(encoding="utf-8"))
        self.classes, self.threshold = content["classes"], content["threshold"]
        exported = jax.export.deserialize(bytearray((Path(folder) / "model.stablehlo").read_bytes()))
        self.shape, self._call = exported.in_avals[0].shape[1:], jax.jit(exported.call)

    def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns labels [n] and probabilities f32[n, classes].

        Args:
            images: [n, height, width, channels].

        Raises:
            ValueError: If the images have another shape.
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1:] != self.shape:
            raise ValueError(f"images must have the shape [n, {', '.join(map(str, self.shape))}], got {images.shape}")
        x = (images / 255 if images.dtype.kind in "iu" else images).astype(np.float32)
        size = BLOCKS[len(x) > BLOCKS[0]]
        padded = np.pad(x, [(0, -len(x) % size or size * (not len(x))), *[(0, 0)] * 3])
        blocks = [np.asarray(self._call(padded[i : i + size])) for i in range(0, len(padded), size)]
        output = np.concatenate(blocks)[: len(x)]
        is_binary = len(self.classes) == 2 and self.threshold != 0.5
        chosen = (output[:, 1] >= self.threshold).astype(int) if is_binary else output.argmax(axis=1)
        return np.asarray(self.classes, dtype=object)[chosen], output


def main(path: str) -> None:
    """Writes the predictions for the images of a .npy file to the standard output, as CSV."""
    model = Model()
    labels, probabilities = model.predict(np.load(path, allow_pickle=False))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["prediction", *(f"p({label})" for label in model.classes)])
    writer.writerows([label, *row.round(6)] for label, row in zip(labels, probabilities))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
