"""Datasets: reading, checksums, caching, splitting. Nothing is ever unpickled."""

from metajax.data.home import download, home, load_npz
from metajax.data.omniglot import ClassSplit, omniglot

__all__ = ["ClassSplit", "download", "home", "load_npz", "omniglot"]
