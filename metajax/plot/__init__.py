"""Figures of runs and results."""

from metajax.plot._figures import ACCENT, adaptation, as_html, bars, curves, save, scatter, subplots
from metajax.plot._svg import graph

__all__ = ["ACCENT", "adaptation", "as_html", "bars", "curves", "graph", "save", "scatter", "subplots"]
