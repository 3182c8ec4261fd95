"""Search through a predictor."""

from metajax.search.acquire import ACQUISITIONS, acquire
from metajax.search.maximize import Found, maximize

__all__ = ["ACQUISITIONS", "Found", "acquire", "maximize"]
