"""Figures of runs and results."""

from metajax.plot.figures import adaptation, as_html, bars, curves, save, scatter, subplots
from metajax.plot.svg import graph

__all__ = ["adaptation", "as_html", "bars", "curves", "graph", "save", "scatter", "subplots"]
