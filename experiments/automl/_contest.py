"""One contestant on one table. It runs as a program of its own, in the environment of the contestant's library:

    python _contest.py METHOD FOLDER

The folder holds ``train.parquet``, ``test.parquet`` (without the target) and ``task.json``. The program writes
``predictions.npz`` (probabilities f64[rows, classes], or values f64[rows]) and ``record.json`` with what it cost. It imports
nothing of this project, except where the contestant is metajax.
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd


class Data:
    """What a contestant gets.

    Attributes:
        train: Data frame of the features to learn from.
        y: Their targets: class numbers, or values.
        test: Data frame of the features to predict.
        task: The task as it was written: target, task, seed, seconds, cores and classes.
    """

    def __init__(self, folder: Path):
        self.task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
        train = pd.read_parquet(folder / "train.parquet")
        target = train[self.task["target"]]
        self.train, self.test = train.drop(columns=self.task["target"]), pd.read_parquet(folder / "test.parquet")
        self.is_classification = self.task["task"] == "classification"
        self.classes = self.task.get("classes", [])
        codes = {label: i for i, label in enumerate(self.classes)}
        self.y = np.array([codes[label] for label in target]) if self.is_classification else target.to_numpy(np.float64)

    @property
    def is_binary(self) -> bool:
        return len(self.classes) == 2

    def categorical(self) -> list[str]:
        """The columns that are not numbers."""
        return [c for c in self.train.columns if not pd.api.types.is_numeric_dtype(self.train[c].dtype)]

    def as_categories(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Training and test features with text as pandas' categories; levels of the test part alone are missing."""
        train, test = self.train.copy(), self.test.copy()
        for c in self.categorical():
            text = [frame[c].astype("string").astype(object).where(frame[c].notna(), None) for frame in (train, test)]
            levels = sorted(set(text[0].dropna()))
            train[c], test[c] = (pd.Categorical(values, categories=levels) for values in text)
        return train, test

    def as_text(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Training and test features with categories as text, and missing ones as the text ``missing``."""
        frames = self.train.copy(), self.test.copy()
        for frame in frames:
            for c in self.categorical():
                frame[c] = frame[c].astype("string").fillna("missing").astype(object)
        return frames


def metajax(data, **options):
    import metajax as library

    kind = library.AutoMLClassifier if data.is_classification else library.AutoMLRegressor
    model = kind(minutes=data.task["seconds"] / 60, seed=data.task["seed"], **options)
    return model, lambda: model.fit(data.train, data.y), lambda: model_count(model)


def model_count(model):
    """The configurations that a search tried, and the best metric of them on the validation rows that all share."""
    return {"models": len(model.trials_), "validation": float(np.nanmax(model.trials_.metric))}


def tpe(data):
    """The search of metajax, in which Optuna's multivariate TPE proposes."""
    return metajax(data, method="optuna")


def random_proposals(data):
    """The search of metajax, in which chance proposes."""
    return metajax(data, method="random")


def no_prior(data):
    """Without what trainings on other tables have shown."""
    from metajax.automl import prior

    prior.is_available = lambda: False
    return metajax(data)


def defaults_alone(data):
    """No configuration but the defaults of all model types, each trained on every fold, and their ensemble."""
    return metajax(data, method="defaults")


def no_trees(data):
    """Networks, neighbors and linear models alone."""
    from metajax.automl import models

    return metajax(data, model_types=[kind for kind in models.installed() if kind.name in _NO_TREES])


def scikit_learn_trees(data):
    """Without LightGBM, XGBoost and CatBoost, as where the extra ``trees`` is not installed."""
    from metajax.automl import models

    types = [kind for kind in models.installed() if kind.name in (*_NO_TREES, "boosted_trees", "extra_trees")]
    return metajax(data, model_types=types)


def no_ensemble(data):
    """The configuration that has the largest weight, trained on every fold."""
    model, fit, describe = metajax(data)

    def fit_and_reduce():
        fit()
        model.model_ = largest(model.model_)

    return model, fit_and_reduce, describe


def largest(ensemble):
    """The part of an ensemble that has the configuration with the largest weight."""
    import dataclasses

    weights = {}
    for config, weight in zip(ensemble.configs, ensemble.weights):
        weights[_name(config)] = weights.get(_name(config), 0.0) + weight
    best = max(weights, key=lambda name: weights[name])
    indices = [i for i, config in enumerate(ensemble.configs) if _name(config) == best]
    pick = lambda values: [values[i] for i in indices]
    return dataclasses.replace(
        ensemble,
        configs=pick(ensemble.configs),
        members=pick(ensemble.members),
        temperatures=ensemble.temperatures[indices],
        weights=ensemble.weights[indices] / ensemble.weights[indices].sum(),
    )


def _name(config):
    """What the trainings of one configuration share: folds decide only how long each lasts."""
    return json.dumps({k: v for k, v in config.items() if not k.endswith("iterations")}, sort_keys=True, default=str)


_NO_TREES = ("neighbors", "regularized_linear")
VARIANTS = {
    f.__name__: f for f in (defaults_alone, no_prior, random_proposals, tpe, no_trees, scikit_learn_trees, no_ensemble)
}
"""The search of metajax with one part changed."""


def boosting(data):
    from sklearn import ensemble

    kind = ensemble.HistGradientBoostingClassifier if data.is_classification else ensemble.HistGradientBoostingRegressor
    data.train, data.test = data.as_categories()
    for c in data.categorical():  # it accepts 255 levels: the most frequent ones
        levels = list(data.train[c].value_counts().index[:254])
        for frame in (data.train, data.test):
            frame[c] = frame[c].cat.set_categories(levels)
    model = kind(categorical_features="from_dtype", random_state=data.task["seed"])
    return model, lambda: model.fit(data.train, data.y), dict


def lightgbm(data):
    import lightgbm as library

    data.train, data.test = data.as_categories()
    for frame in (data.train, data.test):  # it refuses names with the characters of JSON
        frame.columns = [f"c{i}" for i in range(frame.shape[1])]
    kind = library.LGBMClassifier if data.is_classification else library.LGBMRegressor
    model = kind(random_state=data.task["seed"], n_jobs=data.task["cores"], verbose=-1)
    return model, lambda: model.fit(data.train, data.y), dict


def catboost(data):
    import catboost as library

    data.train, data.test = data.as_text()
    kind = library.CatBoostClassifier if data.is_classification else library.CatBoostRegressor
    cores, seed = data.task["cores"], data.task["seed"]
    model = kind(random_seed=seed, thread_count=cores, verbose=False, allow_writing_files=False)
    return model, lambda: model.fit(data.train, data.y, cat_features=data.categorical()), dict


def realmlp(data):
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    return _pytabkit(data, RealMLP_TD_Classifier if data.is_classification else RealMLP_TD_Regressor)


def tabm(data):
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    return _pytabkit(data, TabM_D_Classifier if data.is_classification else TabM_D_Regressor)


def _pytabkit(data, kind):
    data.train, data.test = data.as_categories()
    _fill(data)
    model = kind(device="cpu", random_state=data.task["seed"], n_threads=data.task["cores"], verbosity=0)
    return model, lambda: model.fit(data.train, data.y), dict


def _fill(data):
    """Replaces missing numbers by the median, with an indicator: these libraries accept none."""
    for c in data.train.columns:
        if not isinstance(data.train[c].dtype, pd.CategoricalDtype) and data.train[c].isna().any():
            median = data.train[c].median()
            for frame in (data.train, data.test):
                frame[f"{c} is missing"] = frame[c].isna().astype(float)
                frame[c] = frame[c].fillna(median)
    data.test = data.test.fillna({c: data.train[c].median() for c in data.train.select_dtypes("number")})


def flaml(data):
    from flaml import AutoML

    data.train, data.test = data.as_categories()
    model = AutoML()
    metric = "roc_auc" if data.is_binary else "accuracy" if data.is_classification else "r2"
    settings = {
        "task": data.task["task"],
        "time_budget": data.task["seconds"],
        "metric": metric,
        "n_jobs": data.task["cores"],
        "seed": data.task["seed"],
        "verbose": 0,
    }
    return model, lambda: model.fit(data.train, data.y, **settings), dict


def autogluon(data):
    import tempfile

    from autogluon.tabular import TabularPredictor

    metric = "roc_auc" if data.is_binary else "accuracy" if data.is_classification else "r2"
    problem = "binary" if data.is_binary else "multiclass" if data.is_classification else "regression"
    folder = tempfile.mkdtemp(prefix="autogluon_")
    predictor = TabularPredictor("the target", problem, metric, path=folder, verbosity=0)

    class Model:
        classes_ = np.arange(len(data.classes))

        def fit(self):
            frame = data.train.assign(**{"the target": data.y})
            limits = {"time_limit": data.task["seconds"], "num_cpus": data.task["cores"], "num_gpus": 0}
            predictor.fit(frame, presets="medium_quality", **limits)

        def predict_proba(self, frame):
            return predictor.predict_proba(frame).reindex(columns=self.classes_, fill_value=0.0).to_numpy()

        def predict(self, frame):
            return predictor.predict(frame).to_numpy()

    model = Model()
    size = lambda: sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return model, model.fit, lambda: {"models": len(predictor.model_names()), "bytes": size()}


METHODS = {f.__name__: f for f in (metajax, boosting, lightgbm, catboost, realmlp, tabm, flaml, autogluon)} | VARIANTS


def predictions(model, data):
    """Probabilities f64[rows, classes] in the order of all classes, or values f64[rows]."""
    if not data.is_classification:
        return np.asarray(model.predict(data.test), np.float64).ravel()
    known_classes = np.asarray(model.predict_proba(data.test), np.float64)
    all_classes = np.zeros((len(known_classes), len(data.classes)))
    all_classes[:, np.asarray(model.classes_, int)] = known_classes  # a class that no training row has is impossible
    return all_classes


def main(method, folder):
    """Fits, predicts, and writes the predictions and the costs."""
    warnings.filterwarnings("ignore")
    data = Data(folder)
    began = time.perf_counter()
    model, fit, describe = METHODS[method](data)
    imported = time.perf_counter()
    fit()
    fitted = time.perf_counter()
    output = predictions(model, data)
    first = time.perf_counter()
    predictions(model, data)
    record = {
        "import_seconds": imported - began,
        "fit_seconds": fitted - imported,
        "first_predict_seconds": first - fitted,
        "predict_seconds": time.perf_counter() - first,
        "test_rows": len(data.test),
        "megabytes": max(
            resource.getrusage(process).ru_maxrss for process in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        / 1024,
        **describe(),
    }
    np.savez(folder / "predictions.npz", predictions=output)
    (folder / "record.json").write_text(json.dumps(record, default=float), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
