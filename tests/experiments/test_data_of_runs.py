"""Experiments are resumed with their own data only."""

import numpy as np
import pytest

from experiments import harness
from experiments.hpo import joint_search
from experiments.nas import nas_digits
from metajax import run
from metajax.types import InputError

EXEMPT = {
    *("certify", "navigation", "sinusoid"),  # draw their own data from the seed
    *("inner_rates", "nas_trivial"),  # keep nothing for a resumed run
}


def test_every_experiment_records_its_data():
    every = harness.experiments()
    assert len(every) > 20
    without = {each.name for each in every if each.data is harness.Experiment.data}
    assert without == EXEMPT, "give Experiment(data=...): the arrays that a resumed run must find again"


@pytest.mark.parametrize("module", [nas_digits, joint_search], ids=lambda m: m.__name__)
def test_other_data_is_refused_before_any_work(module, tmp_path):
    pytest.importorskip("sklearn")
    config = module.Config(**module.PRESETS["tiny"])
    with run.RunDirectory(tmp_path / "r", run.to_dict(config), data=run.fingerprint(x=np.zeros(3))) as directory:
        with pytest.raises(InputError, match="the run there is of other data"):
            module.EXPERIMENT.execute(config, directory)
        assert {p.name for p in directory.path.iterdir()} == {".lock", "meta.json", "data.json", "config.json"}
