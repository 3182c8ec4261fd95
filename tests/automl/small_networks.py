"""Searches of whole tables train small networks, because compiling one for each size takes most of the time of a search."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """Leaves single networks of up to 128 units to search, in the files that import this; all share few programs."""
    pytest.importorskip("pandas")
    from metajax.automl import _space as space

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(space, "MEMBERS", space.MEMBERS[:1])
        patch.setattr(space, "WIDTHS", space.WIDTHS[:3])
        patch.setattr(space, "MAX_EPOCHS", 64)
        yield
