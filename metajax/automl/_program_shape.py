"""The shape in which a network is computed: a little larger than its own, so that several share one compiled program."""

from metajax.automl import _encoding as encoding
from metajax.automl import _network as network
from metajax.automl._space import MAX_DEPTH, WIDTHS

_SECONDS_PER_MULTIPLICATION = 6 / 15e9  # of a training step, measured on one core that other work shared
_MAX_WASTE_SECONDS, _MAX_WASTE_SHARE = 1.0, 0.25
"""A model may be computed in a larger shape if that takes no more additional seconds, or no larger share: compiling takes
about two seconds for each shape, and some models share it."""


def program_shape(own_shape: network.Shape, layout: encoding.Layout, rows: int, outputs: int) -> network.Shape:
    """Returns the shape in which a model is computed, by its own shape and the rows that it trains on in all.

    Models of small tables are rounded up to few shapes, because compiling would take longer than training. Large ones are
    hardly rounded. The shape depends on nothing else, so all waves of a search share their programs.
    """
    all_inputs = network.Shape(
        True, True, bool(len(layout.numeric)), own_shape.members, own_shape.levels, own_shape.width
    )
    levels = 2 if own_shape.levels <= 2 else MAX_DEPTH
    coarse_width = min(w for w in (128, WIDTHS[-1]) if own_shape.width <= w)
    fine_width = min(w for w in (64, 256, WIDTHS[-1]) if own_shape.width <= w)
    coarse_to_fine = (
        all_inputs._replace(levels=MAX_DEPTH, width=coarse_width),
        all_inputs._replace(levels=levels, width=fine_width),
        own_shape._replace(levels=levels, width=fine_width),
        own_shape._replace(levels=levels),
    )
    cost = lambda shape: _SECONDS_PER_MULTIPLICATION * rows * shape.multiplications(layout, outputs)
    limit = cost(own_shape) + max(_MAX_WASTE_SECONDS, _MAX_WASTE_SHARE * cost(own_shape))
    return next((shape for shape in coarse_to_fine if cost(shape) <= limit), own_shape)
