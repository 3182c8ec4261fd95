"""Figures of runs and results."""

from metajax.plot.figures import adaptation, as_html, bars, curves, save, scatter, subplots

__all__ = ["adaptation", "as_html", "bars", "curves", "save", "scatter", "subplots"]
