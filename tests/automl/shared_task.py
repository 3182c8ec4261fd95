"""A worker of a small task, as a process that tests start and kill: ``python shared_task.py STORAGE STUDY``.

The score of a configuration says what it is, so that a result in the wrong trial is noticed.
"""

import sys
import time

import jax.numpy as jnp
import numpy as np

from metajax.automl._metrics import metric
from metajax.automl._task import Task
from metajax.automl._training import CURVE_POINTS, Data, TrainingResults
from metajax.space import Categorical, Float, Integer, Space

SPACE = Space(
    {"kind": Categorical(("flat", "deep")), "x": Float(0.0, 1.0), "depth": Integer(1, 9)},
    [("depth", "kind", ("deep",))],
)
DEFAULT = {"kind": "flat", "x": 0.5}


def score_of(params):
    """The score of a configuration."""
    return 1.0 - params["x"] + 0.01 * params.get("depth", 0)


def train(
    encodings,
    data,
    key,
    keep_params=False,
    output_rows=0,
    progress=None,
    stop=None,
    allows=None,
    past_curves=None,
):
    """Each training takes a tenth of a second, as long as there is time. Where x is above 0.99, it fails."""
    configs, n = SPACE.decode(np.asarray(encodings, np.float32)), len(encodings)
    has_time = np.array([allows is None or allows(0.1) for _ in range(n)])
    time.sleep(0.1 * float(has_time.sum()))
    score = np.array([np.nan if config["x"] > 0.99 else score_of(config) for config in configs])
    return TrainingResults(
        score,
        np.where(np.isfinite(score), 0.5, np.nan),
        np.outer(score, np.linspace(0.5, 1, CURVE_POINTS)),
        np.where(has_time, 0.1, np.nan),
        [{"x": config["x"]} for config in configs],
        np.zeros((n, min(output_rows, 4), 1), np.float32),
        np.ones(n),
    )


def write_member(params):
    return {"kind": "x"}, {"x": np.asarray(params["x"])}


def read_member(header, arrays):
    return {"x": float(arrays["x"])}


class Model(list):
    """A model: its members."""


ROWS = Data(jnp.zeros((8, 1)), jnp.zeros(8), jnp.zeros((4, 1)), jnp.zeros(4))
TASK = Task(
    SPACE,
    DEFAULT,
    ROWS,
    [ROWS, ROWS._replace()],
    ROWS,
    False,
    metric(None, 1, False),
    train,
    lambda members, threshold=0.5: Model(members),
    write_member,
    read_member,
)


def main(storage, name):
    import optuna

    from metajax.integrations._storages import open_storage
    from metajax.integrations._study_record import Record
    from metajax.integrations._worker import Worker

    study = optuna.load_study(study_name=name, storage=open_storage(storage))
    worker = Worker(study, Record.of_study(study, name), TASK, storage)
    print("ready", flush=True)
    while not worker.is_finished:
        if not worker.train_next(None, lambda: False):
            time.sleep(0.1)
    print(worker.n_trained, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
