"""Figures: one style until they are saved, no clipped labels, bands where there are seeds, and a picture in Jupyter."""

import io

import numpy as np
import pytest

from metajax import plot

matplotlib = pytest.importorskip("matplotlib")
imread = pytest.importorskip("matplotlib.image").imread

STEPS = np.arange(20)


def draw():
    figure, (ax,) = plot.subplots()
    ax.plot(STEPS, STEPS, color=plot.ACCENT, label="line")
    ax.set_title("a title")
    ax.legend()
    return figure


def test_a_figure_keeps_its_style_until_it_is_saved(tmp_path):
    """Whatever the user's own settings are when it is drawn and saved."""
    plot.save(draw(), tmp_path / "plain.png")
    odd = {"axes.titlelocation": "right", "legend.frameon": True, "savefig.bbox": None, "xtick.color": "red"}
    with matplotlib.rc_context(odd):
        plot.save(draw(), tmp_path / "odd.png")
    plain, other = imread(tmp_path / "plain.png"), imread(tmp_path / "odd.png")
    np.testing.assert_array_equal(plain, other)
    figure = draw()
    assert figure.axes[0].get_title("left") == "a title" and not figure.axes[0].get_legend().get_frame_on()
    assert matplotlib.rcParams["axes.spines.top"], "the settings of the user are left alone"


def test_jupyter_shows_a_figure():
    picture = plot.bars({"a": 1.0}, "x")._repr_png_()
    assert picture.startswith(b"\x89PNG")


def test_no_label_is_clipped():
    """The border of every figure is white."""
    long = "a label that is rather long for its axis, "
    figures = [
        plot.bars({long: 1.0, "b": 2.0}, long),
        plot.curves({f"{i} {long}": (STEPS, STEPS * i) for i in range(9)}, long, long, long),
        plot.scatter([0, 1], [0, 1], long, long, long),
    ]
    for figure in figures:
        pixels = imread(io.BytesIO(figure._repr_png_()))[..., :3]
        border = np.concatenate(
            [pixels[:2].ravel(), pixels[-2:].ravel(), pixels[:, :2].ravel(), pixels[:, -2:].ravel()]
        )
        assert border.min() == 1.0


def test_seeds_have_a_band():
    runs = np.random.default_rng(0).normal(size=(5, 20))
    figure = plot.curves({"seeds": (STEPS, runs), "one": (STEPS, runs[0]), "interval": (STEPS, runs[0], 0.1)}, "x", "y")
    ax = figure.axes[0]
    assert len(ax.lines) == 3 and len(ax.collections) == 2
    np.testing.assert_allclose(ax.lines[0].get_ydata(), runs.mean(axis=0))
    top = ax.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx((runs.mean(axis=0) + runs.std(axis=0)).max())
