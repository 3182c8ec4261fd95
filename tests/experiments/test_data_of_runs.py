"""Experiments are resumed with their own data only."""

from pathlib import Path

import numpy as np
import pytest

from experiments.hpo import joint_search
from experiments.nas import nas_digits
from metajax import run
from metajax.types import InputError

FOLDER = Path(nas_digits.__file__).parents[1]
EXEMPT = {
    *("certify", "navigation", "sinusoid"),  # draw their own data from the seed
    *("inner_rates", "nas_trivial"),  # keep nothing for a resumed run
    *("compare", "_grid"),  # open directories for others
}


def test_every_experiment_records_its_data():
    opens = [
        f
        for f in FOLDER.rglob("*.py")
        if "RunDirectory(options.out" in f.read_text() or "grid.command(" in f.read_text()
    ]
    assert len(opens) > 12
    lacking = {f.stem for f in opens if "directory.bind_data(" not in f.read_text()}
    assert lacking <= EXEMPT, f"{lacking - EXEMPT}: call directory.bind_data(run.fingerprint(...)) first"


@pytest.mark.parametrize("made", [nas_digits, joint_search], ids=lambda m: m.__name__)
def test_other_data_is_refused_before_any_work(made, tmp_path):
    pytest.importorskip("sklearn")
    config = made.Config(**made.PRESETS["tiny"])
    with run.RunDirectory(tmp_path / "r", run.to_dict(config), data=run.fingerprint(x=np.zeros(3))) as directory:
        with pytest.raises(InputError, match="the run there is of other data"):
            made.experiment(config, directory, show=False)
        assert {p.name for p in directory.path.iterdir()} == {".lock", "meta.json", "data.json", "config.json"}
