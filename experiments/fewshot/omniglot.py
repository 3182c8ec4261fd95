"""Omniglot few-shot classification: the four columns of the MAML paper's table 1, with any method.

    python -m experiments.fewshot.omniglot --preset quick --out runs/omniglot
    python -m experiments.fewshot.omniglot --preset cpu --method r2d2 --out runs/omniglot_cpu_r2d2_5w1s
    python -m experiments.fewshot.omniglot --preset cpu-inductive --out runs/omniglot_inductive_protonet_5w1s
    python -m experiments.fewshot.omniglot --preset paper --method maml --ways 20 --shots 5 --out runs/omniglot_paper

There are 1100/100/423 characters for training, validation and test, and rotations are classes of their own in all parts.

* ``quick`` and ``cpu`` have Conv-4 of 64 filters with stride 2 and transductive batch norm. ``quick`` takes up to 12
  minutes on 2 cores and ``cpu`` up to 40. MAML++ takes much longer: it sees as many tasks as MAML and takes five inner
  steps on each.
* ``cpu-inductive`` trains a method on features (prototypical networks by default) on 60 ways, with batch norm by running
  statistics.
* ``equal-tasks`` is a small comparison with half the filters, in which every method sees the same number of tasks (see
  ``experiments.fewshot.maml_versions``).
* ``paper`` has the published settings of each method that was published on Omniglot, or says what they are of (see
  ``experiments/fewshot/_published_settings.py``). It wants a GPU.
"""

import functools
import statistics
from collections.abc import Sequence
from typing import Any

from experiments import harness
from experiments.fewshot import _published_settings, classify
from experiments.harness import Result, Results
from experiments.harness.markdown import table
from experiments.harness.words import against, listed
from metajax import fewshot
from metajax.types import InputError

STEPS = {
    "maml": (8000, 3400),
    "fomaml": (10_000, 5000),
    "reptile": (6000, 15_000),
    "anil": (11_000, 8000),
    "boil": (8000, 3400),
    "meta-sgd": (7500, 7000),
    "maml++": (16_000, 3400),
    "imaml": (1800, 1800),
    "cavia": (8000, 8000),
    "linear-probe": (15_000, 15_000),
    "nearest-centroid": (15_000, 15_000),
}
"""Outer steps of preset ``cpu`` on few ways and on many, chosen by the time that they take; ``quick`` has 3/10 of them. MAML++,
with 8 tasks a step (4 on many ways), sees as many tasks as MAML."""
SOLVED = (5000, 5000)
"""The same for methods that solve a task on features."""
EQUAL_TASKS = 24_000


def preset(name: str, flags: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a preset for the method, the ways and the shots that the command line gives."""
    method, ways = flags.get("method", "protonet" if name == "cpu-inductive" else "maml"), flags.get("ways", 5)
    values: dict[str, Any] = {"method": method, "data": "omniglot", "rotations": True}
    if flags.get("data", "omniglot") != "omniglot":
        raise InputError(
            f"--data must be omniglot in this experiment, got {flags['data']}; use experiments.fewshot.classify for "
            "other data"
        )
    if name == "paper":
        return values | _published_settings.of(method, ways, flags.get("shots", "1"))
    if name == "cpu-inductive":
        return values | {"batch_norm": "running", "train_ways": 60, "tasks": 1, "outer_rate": 2e-3, "steps": 8000}
    if name == "equal-tasks":
        return values | {"width": 32, "tasks": 8, "steps": EQUAL_TASKS // 8, "outer_rate": 2e-3}
    few_ways_steps, many_ways_steps = STEPS.get(method, SOLVED)
    steps = few_ways_steps if ways < 10 else many_ways_steps
    if method != "reptile":
        values["outer_rate"] = 2e-3
    if ways >= 10 and method in fewshot.METHODS and fewshot.METHODS[method].family == "gradient":
        values["tasks"] = 4
    return {**values, "steps": steps if name == "cpu" else 3 * steps // 10}


PRESETS = {name: functools.partial(preset, name) for name in ("quick", "cpu", "cpu-inductive", "equal-tasks", "paper")}


PUBLISHED = {
    ("maml", "transductive"): ("Finn et al. 2017", ("98.7 ± 0.4", "99.9 ± 0.1", "95.8 ± 0.3", "98.9 ± 0.2")),
    ("fomaml", "transductive"): ("Finn et al. 2017", ("98.3 ± 0.5", "99.2 ± 0.2", "89.4 ± 0.5", "97.9 ± 0.1")),
    ("reptile", "transductive"): (
        "Nichol et al. 2018",
        ("97.68 ± 0.04", "99.48 ± 0.06", "89.43 ± 0.14", "97.12 ± 0.32"),
    ),
    ("imaml", "transductive"): (
        "Rajeswaran et al. 2019",
        ("99.50 ± 0.26", "99.74 ± 0.11", "96.18 ± 0.36", "99.14 ± 0.1"),
    ),
    ("anil", "transductive"): ("Raghu et al. 2020", (None, None, "96.2 ± 0.5", "98.0 ± 0.3")),
    ("meta-sgd", "transductive"): ("Li et al. 2017", ("99.53 ± 0.26", "99.93 ± 0.09", None, None)),
    ("maml++", "transductive"): ("Antoniou et al. 2019", ("99.47", "99.93", "97.65", "99.33")),
    ("protonet", "running"): ("Snell et al. 2017", ("98.8", "99.7", "96.0", "98.9")),
}
"""Published accuracies in % with 95% intervals as printed, by method and batch norm, for the ``COLUMNS``. Numbers that could
not be confirmed are left out."""
COLUMNS = ((5, 1), (5, 5), (20, 1), (20, 5))
"""Ways and shots of the four columns."""


def summary(results: Sequence[Result]) -> str:
    """Methods and batch-norm modes by columns: the best measured preset of each cell, and the published number."""
    groups: dict[tuple[str, str, int, int], dict[str, list[dict[str, float]]]] = {}
    for result in results:
        c, preset = result.config, next((p for p in PRESETS if f"--preset {p} " in f"{result.command} "), "quick")
        setting = (c["method"], c.get("batch_norm", "transductive"), c["ways"], int(c["shots"]))
        groups.setdefault(setting, {}).setdefault(preset, []).append(result.metrics)
    order = list(PRESETS)
    cells = {setting: _cell(*max(runs.items(), key=lambda r: order.index(r[0]))) for setting, runs in groups.items()}
    kinds = [*PUBLISHED, *sorted({(method, mode) for method, mode, *_ in cells} - set(PUBLISHED))]
    head, rows = ["method", "batch norm"], []
    for ways, shots in COLUMNS:
        head += [f"{ways}-way {shots}-shot", "published"]
    for kind in kinds:
        _, numbers = PUBLISHED.get(kind, ("", (None,) * 4))
        row = list(kind)
        for column, published_score in zip(COLUMNS, numbers):
            row += [cells.get((*kind, *column), "not measured"), published_score or "–"]
        rows.append(row)
    sources = "; ".join(f"{method}: {source}" for (method, _), (source, _) in PUBLISHED.items())
    note = (
        "The numbers are accuracies in % with 95% intervals over 600 test tasks of 423 characters, with 15 queries a class. "
        "The checkpoint is chosen on validation tasks. Batch norm is transductive (by the statistics of the queries at hand) "
        "or by running statistics (inductive); the published number stands in the row of its mode. Presets other than `paper` "
        "train for a fraction of the papers' iterations. Minutes are those of the hardware that the run's own section names."
    )
    return f"## Omniglot, all methods\n\n{note}\n\n{table(head, rows)}\n\nPublished: {sources}.\n"


def _cell(preset: str, runs: list[dict[str, float]]) -> str:
    """One run with its interval over tasks, or several seeds with their deviation."""
    minutes = statistics.mean(m["seconds"] for m in runs) / 60
    if len(runs) == 1:
        return f"{runs[0]['accuracy']:.2f} ± {runs[0]['interval']:.2f} ({preset}, {minutes:.0f} min)"
    scores = [m["accuracy"] for m in runs]
    return f"{statistics.mean(scores):.2f}, std {statistics.stdev(scores):.2f} of {len(runs)} seeds ({preset})"


def statement(results: Results) -> list[str]:
    """The methods on 5-way 1-shot tasks with the presets for a CPU, against their published accuracies."""
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results.values():
        c, command = result.config, f"{result.command} "
        is_column = (c.get("data"), c.get("ways"), str(c.get("shots"))) == ("omniglot", 5, "1")
        if is_column and any(f"--preset {preset} " in command for preset in ("cpu", "cpu-inductive")):
            runs.setdefault((c["method"], c.get("batch_norm", "transductive")), []).append(result.metrics)
    score = {kind: statistics.mean(m["accuracy"] for m in metrics) for kind, metrics in runs.items()}
    names = {kind: kind[0] if kind[1] == "transductive" else f"{kind[0]} by {kind[1]} statistics" for kind in runs}
    best = max(score, key=lambda kind: score[kind])
    minutes = [m["seconds"] / 60 for metrics in runs.values() for m in metrics]
    compared: dict[str, list[str]] = {"above": [], "below": [], "level with": []}
    for kind in sorted(score):
        published_score = PUBLISHED[kind][1][0] if kind in PUBLISHED else None
        if published_score:
            value, _, spread = published_score.partition(" ± ")
            margin = float(spread or 0.0) + max(m["interval"] for m in runs[kind])
            comparison = against(score[kind], float(value), margin)
            compared[comparison].append(f"{names[kind]}, {score[kind]:.2f} against {value}")
    verdict = " and ".join(f"{comparison} ({listed(methods)})" for comparison, methods in compared.items() if methods)
    return [
        f"On Omniglot with 5 ways and 1 shot, {len(score)} methods trained for {min(minutes):.0f} to {max(minutes):.0f} "
        f"minutes each. The best is {names[best]} with {score[best]:.2f}%. Counting the intervals of both, the methods are "
        f"{verdict} the published accuracy, which took a full training."
    ]


EXPERIMENT = harness.Experiment(
    "omniglot",
    __doc__,
    classify.Config,
    classify.train,
    classify.load,
    PRESETS,
    summary=summary,
    statement=statement,
)

if __name__ == "__main__":
    EXPERIMENT.exit()
