"""The one style of all figures, and figures that keep it until they are saved.

Matplotlib is imported when a figure is drawn. Figures are made without pyplot, so they need no display and leave no state
behind.
"""

import base64
import functools
import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metajax._optional import optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED = "#22252a", "#9aa0a6"
ACCENT = "#c2410c"
"""The color of what a figure is about."""
SECOND, THIRD = "#1d4ed8", "#15803d"
COLORS = (ACCENT, SECOND, THIRD, INK, MUTED)
STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "savefig.bbox": "tight",  # no label is clipped, wherever it stands
    "savefig.pad_inches": 0.08,
}
_SAVED_DPI, _PAGE_DPI = 130, 110
_PIXELS_PER_INCH, _SHARPNESS = 96, 2  # of a web page, and of a picture over what is shown of it


class _Classes(NamedTuple):
    """Matplotlib's figure and axes in the style of the project."""

    figure: Any
    axes: Any


@functools.cache
def _classes() -> _Classes:
    """Makes the styled classes. Matplotlib reads some of the style when a title or legend is set, and some when it saves."""
    matplotlib = optional("matplotlib", "a figure")
    figure, axes = optional("matplotlib.figure", "a figure").Figure, optional("matplotlib.axes", "a figure").Axes

    class StyledAxes(axes):
        def set_title(self, *args: Any, **kwargs: Any) -> Any:
            with matplotlib.rc_context(STYLE):
                return super().set_title(*args, **kwargs)

        def legend(self, *args: Any, **kwargs: Any) -> Any:
            with matplotlib.rc_context(STYLE):
                return super().legend(*args, **kwargs)

    class StyledFigure(figure):
        def savefig(self, *args: Any, **kwargs: Any) -> None:
            with matplotlib.rc_context(STYLE):
                super().savefig(*args, **kwargs)

        def _repr_png_(self) -> bytes:
            return png(self)

    return _Classes(StyledFigure, StyledAxes)


def subplots(columns: int = 1, width: float = 5.2, height: float = 3.6) -> "tuple[Figure, list[Axes]]":
    """Makes an empty figure with axes in one row, in the style of the project. Lines take its colors in turn.

    The figure keeps the style until it is saved, and shows itself in Jupyter as the last value of a cell.

    Args:
        columns: The number of axes.
        width: The width of each in inches.
        height: The height in inches.

    Returns:
        The figure and its axes.

    Raises:
        InputError: If Matplotlib is not installed.

    Example:
        >>> figure, (left, right) = subplots(2)
        >>> line = left.plot([1, 2, 3], color=ACCENT)
        >>> title = right.set_title("empty")
    """
    classes = _classes()
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with rc_context(STYLE):
        figure = classes.figure(figsize=(width * columns, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, columns, squeeze=False, subplot_kw={"axes_class": classes.axes})[0]
        for ax in axes:
            ax.tick_params(colors=INK)  # ticks are made later, when they are drawn
            ax.set_prop_cycle(color=COLORS)
    return figure, list(axes)


def png(figure: "Figure", dpi: int = _PAGE_DPI) -> bytes:
    """Returns a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save(figure: "Figure", path: Path | str) -> None:
    """Saves a figure to a file.

    Args:
        figure: The figure.
        path: The file, whose ending decides the format: ``.png``, ``.svg``, ``.pdf``.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "figure.png"
        >>> save(subplots()[0], path)
        >>> path.stat().st_size > 1000
        True
    """
    figure.savefig(path, dpi=_SAVED_DPI)


def as_html(figure: "Figure", alt: str) -> str:
    """Returns a figure as an ``<img>`` element that needs no other file, sharp on dense screens, too.

    Args:
        figure: The figure.
        alt: What the figure shows, for readers who do not see it.

    Returns:
        The element.

    Example:
        >>> as_html(subplots()[0], "an empty figure")[:26]
        '<img alt="an empty figure"'
    """
    picture = png(figure, _PIXELS_PER_INCH * _SHARPNESS)
    width = int.from_bytes(picture[16:20], "big") // _SHARPNESS  # A PNG begins with its signature and its size.
    encoded = base64.b64encode(picture).decode()
    return f'<img alt="{escape(alt)}" width="{width}" src="data:image/png;base64,{encoded}">'
