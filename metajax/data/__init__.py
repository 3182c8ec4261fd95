"""Datasets: reading, checksums, caching, splitting. Nothing is ever unpickled."""

from metajax.data.bundled import Images, digits
from metajax.data.home import digest as home_digest
from metajax.data.home import download, home, load_npz
from metajax.data.omniglot import ClassSplit, omniglot

__all__ = ["ClassSplit", "Images", "digits", "download", "home", "home_digest", "load_npz", "omniglot"]
