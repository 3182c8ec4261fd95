"""Fixtures that make searches of whole tables small: most of a search's time goes to its networks and to the meta-learner."""

import pytest

SIZES = {"MEMBERS": (1,), "WIDTHS": (32,), "MAX_DEPTH": 2, "MAX_EPOCHS": 16}
DEFAULT = {"width": 32, "epochs": 16}


@pytest.fixture(scope="module", autouse=True)
def small_models():
    """Leaves networks of 32 units and at most two levels to search, and small meta-learners, in the files that import this."""
    pytest.importorskip("pandas")
    from metajax import predictor
    from metajax.automl import _network, _program_shape, _proposing, _space, _tables, prior

    with pytest.MonkeyPatch.context() as patch:
        for module in (_space, _network, _program_shape):
            for name in SIZES.keys() & vars(module).keys():
                patch.setattr(module, name, SIZES[name])
        original = _tables.default_config
        patch.setattr(_tables, "default_config", lambda classification: original(classification) | DEFAULT)
        patch.setattr(_proposing, "SPECS", (predictor.ensemble(2, steps=100), predictor.kernel(tuning_rows=32)))
        prior.load.cache_clear()  # the prior is of the whole space, and the smaller one has none
        yield
    prior.load.cache_clear()


@pytest.fixture
def quick_meta_learner():
    """A ridge regression that ranks random configurations, where what the meta-learner proposes is not tested.

    It spares the search by gradient, and all but three model types. The fixture is undone on its own, because tests undo
    their ``monkeypatch`` early.
    """
    from metajax import predictor
    from metajax.automl import _load, _proposing, _tables, models

    few = tuple(kind for kind in models.installed() if kind.name in ("boosted_trees", "regularized_linear"))
    with pytest.MonkeyPatch.context() as patch:
        for module in (_load, _tables):
            patch.setattr(module, "installed", lambda: few)
        patch.setattr(_proposing, "SPECS", (predictor.ridge(), predictor.ridge()))
        patch.setattr(_proposing, "is_quick", lambda minutes: True)
        yield
