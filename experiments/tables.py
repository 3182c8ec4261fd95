"""Writes ``experiments/RESULTS.md`` from the results committed under ``experiments/results/``.

    python -m experiments.tables                       # remake the table
    python -m experiments.tables --add runs/sinusoid   # copy a finished run there first

Each run becomes a section: its metrics, its protocol, and with which command, commit, hardware and time they came about.
"""

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from experiments import (
    augmentation,
    automl_prior,
    automl_tables,
    certify,
    hyper_cleaning,
    joint_search,
    many_hyperparameters,
    pairwise,
    predict_nas_bench_201,
    published,
    search_tabular,
    transfer_oboe,
)
from metajax import plot, run
from metajax.types import InputError

RESULTS = Path(__file__).parent / "results"
_FIGURES = (
    "adaptation.png",
    "ranking.png",
    "regret.png",
    "returns.png",
    "scaling.png",
    "tau.png",
    "times.png",
    "normal.svg",
    "reduce.svg",
)
# runs whose experiment writes its table itself, by the beginning of their name
_OWN = {
    "predict_nas_bench_201": predict_nas_bench_201.markdown,
    "search_tabular": search_tabular.markdown,
    "transfer_oboe": transfer_oboe.markdown,
    "pairwise": pairwise.markdown,
    "certify": certify.markdown,
    "hyper_cleaning": hyper_cleaning.markdown,
    "many_hyperparameters": many_hyperparameters.markdown,
    "automl_prior": automl_prior.markdown,
    "automl_tables": automl_tables.markdown,
    "augmentation": augmentation.markdown,
    "joint_search": joint_search.markdown,
}
_FILES = ("result.json", "meta.json", "config.json", *_FIGURES)


def add(directory: Path, results: Path = RESULTS) -> None:
    """Copies the small files of a finished run."""
    if not (directory / "result.json").is_file():
        raise InputError(f"--add {directory}: has no result.json; only finished runs can be added")
    target = results / directory.name
    target.mkdir(parents=True, exist_ok=True)
    for file in _FILES:
        if (directory / file).is_file():
            shutil.copyfile(directory / file, target / file)


def section(directory: Path) -> str:
    """One run as Markdown."""
    result = read(directory / "result.json")
    rows = "\n".join(f"| {name} | {_number(value)} |" for name, value in result["metrics"].items())
    table = f"| metric | value |\n|---|---|\n{rows}"
    own = next((make for name, make in _OWN.items() if directory.name.startswith(name)), None)
    if own is not None:
        table = own(read(directory / "config.json"), result)
    shown = [name for name in ("tau.png", "regret.png", "times.png") if (directory / name).is_file()]
    figures = "".join(f"\n![{name}](results/{directory.name}/{name})\n" for name in shown)
    protocol = f"\n{result['protocol']}\n" if "protocol" in result else ""
    found = f"\nFound: `{json.dumps(result['found'])}`\n" if "found" in result else ""
    return f"## {directory.name}\n\n{origin(directory)}\n{protocol}{found}\n{table}\n{figures}"


def origin(directory: Path) -> str:
    """With which command, commit, hardware and when."""
    meta = read(directory / "meta.json")
    commit = (meta["commit"] or "unknown")[:10] + (" with local changes" if meta["dirty"] else "")
    resumed = ""
    if meta.get("resumed"):
        last = (meta["resumed"][-1]["commit"] or "unknown")[:10]
        resumed = f", resumed {len(meta['resumed'])} times, last at commit {last}"
    return (
        f"`{meta['command']}`, commit {commit}, {meta['hardware']}, jax {meta['versions']['jax']}, "
        f"{meta['started'][:10]}{resumed}"
    )


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def quickstart_summary(directories: list[Path]) -> str:
    """The seeds of the quickstart side by side."""
    rows, gaps = [], []
    for directory in directories:
        m = read(directory / "result.json")["metrics"]
        rows.append(
            f"| {directory.name} | {100 * m['test_accuracy']:.2f} | {100 * m['random_test_accuracy']:.2f} | "
            f"{100 * m['default_test_accuracy']:.2f} | {m['seconds']:.0f} |"
        )
        gaps.append(m["test_accuracy"] - m["random_test_accuracy"])
    mean = 100 * sum(gaps) / len(gaps)
    return (
        "## quickstart over seeds\n\nTest accuracy on digits, %; 192 models each for the search and for random search.\n\n"
        "| run | search | random | default | seconds |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nSearch minus random: {mean:+.2f} points on average, {sum(g >= 0 for g in gaps)} of {len(gaps)} not below.\n"
    )


def omniglot_table(directories: list[Path]) -> str:
    """Methods by columns: the best measured preset of each cell, and the published number."""
    found: dict[tuple[str, int, int], dict[str, list[dict[str, float]]]] = {}
    for directory in directories:
        config, result, meta = (read(directory / f"{name}.json") for name in ("config", "result", "meta"))
        preset = next((p for p in _PRESETS if f"--preset {p}" in meta["command"]), _PRESETS[0])
        place = (config["method"], config["ways"], int(config["shots"]))
        found.setdefault(place, {}).setdefault(preset, []).append(result["metrics"])
    cells = {place: _cell(*max(runs.items(), key=lambda r: _PRESETS.index(r[0]))) for place, runs in found.items()}
    methods = [*published.OMNIGLOT, *sorted({method for method, *_ in cells} - set(published.OMNIGLOT))]
    head = " | ".join(f"{ways}-way {shots}-shot | published" for ways, shots in published.COLUMNS)
    lines = [f"| method | {head} |", "|---" * (1 + 2 * len(published.COLUMNS)) + "|"]
    for method in methods:
        _, numbers = published.OMNIGLOT.get(method, ("", (None,) * 4))
        row = [method]
        for column, number in zip(published.COLUMNS, numbers):
            row += [cells.get((method, *column), "not measured"), number or "–"]
        lines.append("| " + " | ".join(row) + " |")
    sources = "; ".join(f"{method}: {source}" for method, (source, _) in published.OMNIGLOT.items())
    note = (
        "Accuracy in % and 95% interval over 600 test tasks of 423 characters, 15 queries a class, transductive batch norm, "
        "checkpoint chosen on validation tasks. Presets `quick` and `cpu` train for a fraction of the papers' iterations; "
        "minutes are those of the hardware that the run's own section names."
    )
    return f"## Omniglot, all methods\n\n{note}\n\n" + "\n".join(lines) + f"\n\nPublished: {sources}.\n"


_PRESETS = ("quick", "cpu", "paper")


def _cell(preset: str, runs: list[dict[str, float]]) -> str:
    """One run with its interval over tasks, or several seeds with their deviation."""
    minutes = statistics.mean(m["seconds"] for m in runs) / 60
    if len(runs) == 1:
        return f"{runs[0]['accuracy']:.2f} ± {runs[0]['interval']:.2f} ({preset}, {minutes:.0f} min)"
    scores = [m["accuracy"] for m in runs]
    return f"{statistics.mean(scores):.2f}, std {statistics.stdev(scores):.2f} of {len(runs)} seeds ({preset})"


def sinusoid_table(directories: list[Path]) -> str:
    """Meta-SGD's table: error after one step by method and shots."""
    lines = [
        "| method | trained with | 5 shots | 10 shots | 20 shots | published, same shots | seconds |",
        "|---" * 7 + "|",
    ]
    for directory in directories:
        config, m = read(directory / "config.json"), read(directory / "result.json")["metrics"]
        cells = [f"{m[f'mse_{k}_shot']:.3f} ± {m[f'interval_{k}_shot']:.3f}" for k in (5, 10, 20)]
        known = published.SINUSOID.get((config["method"], config["shots"]), "–")
        row = [config["method"], f"{config['shots']} shots", *cells, known, f"{m['seconds']:.0f}"]
        lines.append("| " + " | ".join(row) + " |")
    note = (
        "Mean squared error and 95% interval over 600 waves after one step; published: Li et al. 2017 over 100 waves."
    )
    return f"## Sinusoids by Meta-SGD's protocol\n\n{note}\n\n" + "\n".join(lines) + "\n"


def nas201_table(directories: list[Path]) -> str:
    """Methods by datasets: mean and deviation over seeds of the found cell, and the published number."""
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for directory in directories:
        config, result, meta = (read(directory / f"{name}.json") for name in ("config", "result", "meta"))
        preset = "paper" if "--preset paper" in meta["command"] else "quick"
        kind = "table" if "simulated_seconds" in result["metrics"] else preset
        kind = "proxy" if kind != "table" and "evaluations" in result["metrics"] else kind
        runs.setdefault((config["method"], kind), []).append(result["metrics"])
    heads = " | ".join(f"{name} | published" for name in ("CIFAR-10", "CIFAR-100", "ImageNet16-120"))
    lines = [f"| method | searched | seeds | {heads} | minutes a run |", "|---" * 10 + "|"]
    order = list(published.NAS201)
    for (method, kind), found in sorted(
        runs.items(), key=lambda r: (order.index(r[0][0]) if r[0][0] in order else 99, r)
    ):
        row = [method, kind, str(len(found))]
        for name, known in zip(("cifar10", "cifar100", "imagenet16"), published.NAS201.get(method, (None,) * 3)):
            scores = [m[f"{name}_test"] for m in found]
            spread = f" ± {statistics.stdev(scores):.2f}" if len(scores) > 1 else ""
            row += [f"{statistics.mean(scores):.2f}{spread}", known or "–"]
        lines.append("| " + " | ".join([*row, f"{statistics.mean(m['seconds'] for m in found) / 60:.1f}"]) + " |")
    missing = [method for method in order if not any(method == known for known, _ in runs)]
    note = (
        "Test accuracy in % of the found cell by the benchmark's table (mean of its seeds after 200 epochs), mean and "
        "deviation over searches. `quick` and `paper` search a SuperNet on CIFAR-10; `table` asks the table for validation "
        "accuracies after 12 epochs within 12,000 simulated seconds; `proxy` scores initial weights. Published: Dong and Yang "
        "2020 and the methods' papers."
    )
    absent = f"\nNot measured: {', '.join(missing)}.\n" if missing else ""
    return f"## NAS-Bench-201\n\n{note}\n\n" + "\n".join(lines) + "\n" + absent


# how searches end up with cells of skips, and what keeps them from it
CURES = ("darts-1", "r-darts-l2", "s-darts-random", "darts-minus", "beta-darts")


def nas201_diagnosis(directories: list[Path]) -> str:
    """What became of the searches, and the figure of the collapse, drawn from the seed 0 of each method."""
    lines = [
        "| method | seed | found | skips | entropy | eigenvalue | conflict | discretisation gap | Kendall τ |",
        "|---" * 9 + "|",
    ]
    first = {}
    for directory in directories:
        config, result = read(directory / "config.json"), read(directory / "result.json")
        if not result.get("history"):
            continue
        if config["seed"] == 0:
            first[config["method"]] = result["history"]
        m = result["metrics"]
        told = lambda name, m=m: f"{m[name]:.3g}" if name in m else "–"
        names = ("entropy", "eigenvalue", "conflict", "discretisation_gap", "kendall_tau")
        row = [config["method"], str(config["seed"]), f"`{result['arch'].replace('|', '/')}`", str(m["skips"])]
        lines.append("| " + " | ".join([*row, *map(told, names)]) + " |")
    shown = [name for name in CURES if name in first]
    if shown:
        panels = ("eigenvalue", "skips", "cifar10_test")
        figure, axes = plot.subplots(len(panels), 4.2, 3.2)
        for ax, panel in zip(axes, panels):
            for name in shown:
                ax.plot(first[name]["step"], first[name][panel], label=name)
            ax.set(xlabel="step", title=panel.replace("_", " "))
        axes[0].legend(fontsize=8)
        plot.save(figure, RESULTS / "collapse.png")
    drawn = "\n![Eigenvalue, skips and accuracy over a search](results/collapse.png)\n" if shown else ""
    note = (
        "Entropy: of the encoding, as a share of the greatest; eigenvalue: the dominant one of the outer loss's Hessian in the "
        "logits, at the end; conflict: mean cosine between gradients of drawn paths; discretisation gap: accuracy of the "
        "mixture minus that of the decided cell, with shared weights, in points; Kendall τ: of 100 drawn cells by shared "
        "weights against the table; in cells, `/` stands for `|`."
    )
    return f"## NAS-Bench-201: diagnosis\n\n{note}\n\n" + "\n".join(lines) + "\n" + drawn


def nas201_cost(directories: list[Path]) -> str:
    """Searches with an expected cost in the outer loss."""
    lines = ["| method | cost | weight | seed | cost of the cell / mean | parameters, M | CIFAR-10 |", "|---" * 7 + "|"]
    for directory in directories:
        config, m = read(directory / "config.json"), read(directory / "result.json")["metrics"]
        row = [config["method"], config["cost"], f"{config['cost_weight']:g}", str(config["seed"])]
        row += [f"{m['cost'] / m['mean_cost']:.2f}", f"{m['params_M']:.3f}", f"{m['cifar10_test']:.2f}"]
        lines.append("| " + " | ".join(row) + " |")
    note = "The expected cost of the cell, fitted to stand-alone networks of the searched size, is a part of the outer loss."
    return f"## NAS-Bench-201: cost-aware searches\n\n{note}\n\n" + "\n".join(lines) + "\n"


def digits_table(directory: Path) -> str:
    """Every method on the small space of which the whole truth is known."""
    m, told = read(directory / "result.json")["metrics"], {}
    for name, value in m.items():
        for what in DIGITS:
            if name.endswith(f"_{what}"):
                told.setdefault(name.removesuffix(f"_{what}").replace("_", "-"), {})[what] = value
    lines = ["| method | rank | accuracy | " + " | ".join(DIGITS[2:]).replace("_", " ") + " |", "|---" * 9 + "|"]
    for method, values in sorted(told.items(), key=lambda each: each[1]["rank"]):
        lines.append("| " + " | ".join([method, *(_number(values[w]) if w in values else "–" for w in DIGITS)]) + " |")
    good = sum(values["rank"] <= 0.02 * m["architectures"] for values in told.values())
    note = (
        f"{m['architectures']} cells of three nodes, each also trained alone; best {m['best']:.2f}%, median "
        f"{m['median']:.2f}%. {good} of {len(told)} methods found one of the best 2%. "
        "Rank 1 is the best; cells of equal accuracy share a rank."
    )
    return section(directory).split("| metric | value |")[0] + note + "\n\n" + "\n".join(lines) + "\n"


DIGITS = ("rank", "accuracy", "kendall_tau", "discretisation_gap", "skips", "entropy", "conflict", "eigenvalue")


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    return json.loads(path.read_text())


def main(argv=None) -> int:
    parser = run.OneLineParser(prog="tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, action="append", default=[], help="a finished run to copy to the results")
    given = parser.parse_args(argv)

    def command():
        for directory in given.add:
            add(directory)
        every = sorted(p for p in RESULTS.iterdir() if (p / "result.json").is_file())
        kinds = {p: read(p / "config.json") for p in every}
        seeds = [p for p in every if p.name.startswith("quickstart")]
        omniglot = [p for p in every if kinds[p].get("data") == "omniglot" and "method" in kinds[p]]
        waves = sorted(
            (p for p in every if kinds[p].get("even")), key=lambda p: (kinds[p]["method"], kinds[p]["shots"])
        )
        parts = [omniglot_table(omniglot)] if omniglot else []
        parts += [sinusoid_table(waves)] if waves else []
        cells = [p for p in every if p.name.startswith("nas201")]
        priced = [p for p in cells if kinds[p].get("cost")]
        cells = [p for p in cells if p not in priced]
        parts += [nas201_table(cells)] if cells else []
        parts += [nas201_diagnosis(cells)] if any(read(p / "result.json").get("history") for p in cells) else []
        parts += [nas201_cost(priced)] if priced else []
        digits = [p for p in every if "architectures" in read(p / "result.json")["metrics"]]
        parts += [digits_table(p) for p in digits]
        parts += [quickstart_summary(seeds), section(seeds[0])] if seeds else []
        parts += [section(p) for p in every if p not in (*seeds, *cells, *priced, *digits)]
        head = (
            "# Results\n\nMade by `python -m experiments.tables` from `experiments/results/`; no number is typed.\n\n"
        )
        run.write_text(Path(__file__).parent / "RESULTS.md", head + "\n".join(parts))
        print(f"{len(every)} results written to experiments/RESULTS.md")

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
