"""Figures of runs and results, in one style.

Drawing needs Matplotlib (``pip install 'metajax[plot]'``); ``graph_svg`` does not.
"""

from metajax.plot._figures import Panel, adaptation, bars, curves, scatter
from metajax.plot._style import ACCENT, as_html, save, subplots
from metajax.plot._svg import graph_svg

__all__ = ["ACCENT", "Panel", "adaptation", "as_html", "bars", "curves", "graph_svg", "save", "scatter", "subplots"]
