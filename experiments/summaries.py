"""One table for many runs of one experiment: methods beside each other, and beside the published numbers."""

import statistics
from pathlib import Path
from typing import Any

import numpy as np

from experiments.harness import published
from experiments.harness._finished import heading, number, read
from experiments.harness.markdown import table
from experiments.nas import method_versions
from experiments.nas.nas_summaries import chance, tau
from metajax import supernet


def quickstart(directories: list[Path]) -> str:
    """The seeds of the quickstart side by side."""
    rows, gaps = [], []
    for directory in directories:
        m = read(directory / "result.json")["metrics"]
        accuracies = [f"{100 * m[f'{kind}test_accuracy']:.2f}" for kind in ("", "random_", "default_")]
        rows.append([directory.name, *accuracies, f"{m['seconds']:.0f}"])
        gaps.append(m["test_accuracy"] - m["random_test_accuracy"])
    mean = 100 * sum(gaps) / len(gaps)
    return (
        "## quickstart over seeds\n\nTest accuracy on digits, %; 192 models each for the search and for random search.\n\n"
        + table(["run", "search", "random", "default", "seconds"], rows)
        + f"\n\nSearch minus random: {mean:+.2f} points on average, {sum(g >= 0 for g in gaps)} of {len(gaps)} not below.\n"
    )


def omniglot(directories: list[Path]) -> str:
    """Methods and batch-norm modes by columns: the best measured preset of each cell, and the published number."""
    found: dict[tuple[str, str, int, int], dict[str, list[dict[str, float]]]] = {}
    for directory in directories:
        config, result, meta = (read(directory / f"{name}.json") for name in ("config", "result", "meta"))
        preset = next((p for p in _PRESETS if f"--preset {p} " in f"{meta['command']} "), _PRESETS[0])
        place = (config["method"], config.get("batch_norm", "transductive"), config["ways"], int(config["shots"]))
        found.setdefault(place, {}).setdefault(preset, []).append(result["metrics"])
    cells = {place: _cell(*max(runs.items(), key=lambda r: _PRESETS.index(r[0]))) for place, runs in found.items()}
    kinds = [*published.OMNIGLOT, *sorted({(method, mode) for method, mode, *_ in cells} - set(published.OMNIGLOT))]
    head, rows = ["method", "batch norm"], []
    for ways, shots in published.COLUMNS:
        head += [f"{ways}-way {shots}-shot", "published"]
    for kind in kinds:
        _, numbers = published.OMNIGLOT.get(kind, ("", (None,) * 4))
        row = list(kind)
        for column, known in zip(published.COLUMNS, numbers):
            row += [cells.get((*kind, *column), "not measured"), known or "–"]
        rows.append(row)
    sources = "; ".join(f"{method}: {source}" for (method, _), (source, _) in published.OMNIGLOT.items())
    note = (
        "Accuracy in % and 95% interval over 600 test tasks of 423 characters, 15 queries a class, checkpoint chosen on "
        "validation tasks. Batch norm is transductive (by the statistics of the queries at hand) or by running statistics "
        "(inductive); the published number stands in the row of its mode. Presets other than `paper` train for a fraction of "
        "the papers' iterations; "
        "minutes are those of the hardware that the run's own section names."
    )
    return f"## Omniglot, all methods\n\n{note}\n\n{table(head, rows)}\n\nPublished: {sources}.\n"


_PRESETS = ("quick", "equal-tasks", "cpu", "cpu-inductive", "paper")


def _cell(preset: str, runs: list[dict[str, float]]) -> str:
    """One run with its interval over tasks, or several seeds with their deviation."""
    minutes = statistics.mean(m["seconds"] for m in runs) / 60
    if len(runs) == 1:
        return f"{runs[0]['accuracy']:.2f} ± {runs[0]['interval']:.2f} ({preset}, {minutes:.0f} min)"
    scores = [m["accuracy"] for m in runs]
    return f"{statistics.mean(scores):.2f}, std {statistics.stdev(scores):.2f} of {len(runs)} seeds ({preset})"


def sinusoid(directories: list[Path]) -> str:
    """Meta-SGD's table: error after one step by method and shots."""
    rows = []
    for directory in directories:
        config, m = read(directory / "config.json"), read(directory / "result.json")["metrics"]
        cells = [f"{m[f'mse_{k}_shot']:.3f} ± {m[f'interval_{k}_shot']:.3f}" for k in (5, 10, 20)]
        known = published.SINUSOID.get((config["method"], config["shots"]), "–")
        rows.append([config["method"], f"{config['shots']} shots", *cells, known, f"{m['seconds']:.0f}"])
    head = ["method", "trained with", *(f"{k} shots" for k in (5, 10, 20)), "published, same shots", "seconds"]
    note = (
        "Mean squared error and 95% interval over 600 waves after one step, frequency drawn from [0.8, 1.2]; published: Li et "
        "al. 2017 over 100 waves."
    )
    return f"## Sinusoids by Meta-SGD's protocol\n\n{note}\n\n{table(head, rows)}\n"


def digits(directory: Path) -> str:
    """Every method on the small space of which the whole truth is known."""
    result = read(directory / "result.json")
    m, found, told = result["metrics"], result["found"], {}
    for name, value in m.items():
        for what in (*DIGITS, "kendall_tau_error"):
            if name.endswith(f"_{what}"):
                told.setdefault(name.removesuffix(f"_{what}").replace("_", "-"), {})[what] = value
    versions = result.get("method_versions", {})
    made_now = {n: method_versions.is_current(n, {"method_version": versions.get(n, 1)}) for n in told}
    old = method_versions.left_out(name for name, good in made_now.items() if not good)
    told = {n: {**values, "rank": shared_rank(result, found[n])} for n, values in told.items() if made_now[n]}
    cell = lambda values, what: tau(values) if what == "kendall_tau" else number(values[what])
    line = lambda values: [cell(values, what) if what in values else "–" for what in DIGITS]
    rows = (
        [method, " / ".join(found[method].values()), *line(values)]
        for method, values in sorted(told.items(), key=lambda each: each[1]["rank"])
    )
    good = sum(values["rank"] <= 0.02 * m["architectures"] for values in told.values())
    note = (
        f"{m['architectures']} cells of three nodes, each also trained alone; best {m['best']:.2f}%, median "
        f"{m['median']:.2f}%. {good} of {len(told)} methods found one of the best 2%. Rank 1 is the best; cells within one of "
        f"the {n_test_images(result)} test images of each other share a rank: it is one more than the number of cells that are "
        "better by more than one image. Kendall τ of scores without any relation to the truth has a standard error of "
        f"{chance(m['architectures']):.3f}. Operations are those of the edges 0-1, 0-2 and 1-2."
    )
    head = ["method", "found", *(what.replace("_", " ") for what in DIGITS)]
    figure = f"![ranking.png](results/{directory.name}/ranking.png)"
    return f"{heading(directory, found=False)}\n{note}\n\n{table(head, rows)}\n{old}\n{figure}\n"


def shared_rank(result: dict[str, Any], cell: dict[str, str]) -> int:
    """The rank of a cell by the truth in a result, shared with those within one test image."""
    space = supernet.spaces.cell_space(nodes=3)
    truth = supernet.truth.Table(np.asarray(result["truth"]), np.arange(int(space.size)))
    return truth.rank(supernet.diagnosis.index_of(space, cell), within=1 / n_test_images(result))


def n_test_images(result: dict[str, Any]) -> int:
    """How many test images a truth was measured with: recorded, or the least number of which every accuracy is a share.

    Example:
        >>> n_test_images({"truth": [[0.25, 0.75], [1.0, 0.5]]})
        4
    """
    truth = np.asarray(result["truth"], np.float64)
    whole = lambda n: np.allclose(truth * n, np.round(truth * n), rtol=0.0, atol=1e-3)
    return result.get("test_images") or next(n for n in range(1, 100_000) if whole(n))


DIGITS = ("rank", "accuracy", "kendall_tau", "discretization_gap", "skips", "entropy", "conflict", "eigenvalue")
