"""Free text as numbers: hashed counts of words and of three letters in a row, and lengths."""

import functools
import re
import zlib
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"\w+")
_MAX_CHARACTERS = 2000  # Of a text, which are read.


@functools.lru_cache(100_000)
def _hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


def features(texts: Sequence[str], width: int) -> np.ndarray:
    """Returns counts and lengths of texts, f64[n, 2 * width + 2].

    The counts are of words and of three characters in a row, by the CRC-32 of each modulo the width, on a logarithmic scale.
    The lengths are those in characters and in words. Case is ignored.

    Args:
        texts: The texts.
        width: Number of counts of words, and of counts of characters.

    Example:
        >>> features(["a red car", "a blue car"], 4).shape
        (2, 10)
    """
    counts = np.zeros((len(texts), 2 * width + 2))
    for row, text in zip(counts, texts):
        lowered = text[:_MAX_CHARACTERS].lower()
        words = _WORD.findall(lowered)
        if words:
            row[:width] = np.bincount([_hash(word) % width for word in words], minlength=width)
        row[width : 2 * width] = np.bincount(_trigrams(f" {lowered} ") % width, minlength=width)
        row[2 * width :] = len(text), len(words)
    return np.log1p(counts)


def _trigrams(text: str) -> np.ndarray:
    """A hash of every three bytes in a row."""
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.uint32)
    mixed = (data[:-2] * 65_599 + data[1:-1]) * 65_599 + data[2:]
    return (mixed * np.uint32(2_654_435_761) >> np.uint32(8)).astype(np.int64)


def names(width: int) -> list[str]:
    """Returns the names of the numbers that ``features`` makes of a text."""
    return [*(f"word {i}" for i in range(width)), *(f"letters {i}" for i in range(width)), "length", "words"]
