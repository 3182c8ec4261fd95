"""Search through a predictor."""

from metajax.search.maximize import Found, maximize

__all__ = ["Found", "maximize"]
