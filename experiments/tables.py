"""Writes ``experiments/RESULTS.md`` from the results committed under ``experiments/results/``.

    python -m experiments.tables                       # remake the table
    python -m experiments.tables --add runs/sinusoid   # copy a finished run there first

The first page says in plain words what was found. Each run becomes a section: its metrics, its protocol, and with which
command, commit, hardware and time they came about.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import first_page, summaries
from experiments.automl import automl_prior, automl_tables
from experiments.fewshot import inner_rates, maml_versions
from experiments.harness._finished import RESULTS, add, heading, number, read
from experiments.harness.markdown import table
from experiments.hpo import augmentation, hyper_cleaning, joint_search, long_horizon, many_hyperparameters
from experiments.nas import method_versions, nas_summaries, nas_trivial
from experiments.predictor import certify, pairwise, predict_nas_bench_201, search_tabular, transfer_oboe
from metajax import run

# runs whose experiment writes its table itself, by the beginning of their name
_OWN = {
    "predict_nas_bench_201": predict_nas_bench_201.markdown,
    "search_tabular": search_tabular.markdown,
    "transfer_oboe": transfer_oboe.markdown,
    "pairwise": pairwise.markdown,
    "certify": certify.markdown,
    "hyper_cleaning": hyper_cleaning.markdown,
    "long_horizon": long_horizon.markdown,
    "many_hyperparameters": many_hyperparameters.markdown,
    "automl_prior": automl_prior.markdown,
    "automl_tables": automl_tables.markdown,
    "augmentation": augmentation.markdown,
    "joint_search": joint_search.markdown,
    "maml_versions": maml_versions.markdown,
    "inner_rates": inner_rates.markdown,
    "nas201_trivial": nas_trivial.markdown,
}


_SHOWN = ("tau.png", "regret.png", "times.png", "normal.svg", "reduce.svg")


def section(directory: Path) -> str:
    """One run as Markdown."""
    config, result = read(directory / "config.json"), read(directory / "result.json")
    own = next((make for name, make in _OWN.items() if directory.name.startswith(name)), None)
    if own is None:
        made = table(["metric", "value"], ([name, number(value)] for name, value in result["metrics"].items()))
    else:
        made = _made_by(own, config, result)
    shown = [name for name in _SHOWN if (directory / name).is_file()]
    figures = "".join(f"\n![{name}](results/{directory.name}/{name})\n" for name in shown)
    old = "" if method_versions.is_current(config.get("method", ""), result) else _OLD
    return f"{heading(directory)}{old}\n{made}\n{figures}"


def _made_by(own: Callable[..., str], config: dict[str, Any], result: dict[str, Any]) -> str:
    """An experiment's own table, or a line instead of it where the result lacks what the table shows by now."""
    try:
        return own(config, result)
    except KeyError as missing:
        return f"An earlier version of the experiment made this result, without {missing}; run it again for its table."


_OLD = "\nAn earlier version of the method made this result.\n"


def architecture_search(cells: list[Path]) -> list[str]:
    """The tables of NAS-Bench-201."""
    results = {p: read(p / "result.json") for p in cells}
    trivial = next((r["metrics"] for r in results.values() if nas_summaries.is_trivial(r)), None)
    runs = [p for p in cells if not nas_summaries.is_trivial(results[p])]
    priced = [p for p in runs if read(p / "config.json").get("cost")]
    plain = [p for p in runs if p not in priced]
    parts = [nas_summaries.found(plain, trivial)] if plain else []
    parts += [nas_summaries.diagnosis(plain)] if any(results[p].get("history") for p in plain) else []
    parts += [told] if (told := nas_summaries.proxies(plain, trivial)) else []
    return parts + ([nas_summaries.cost(priced)] if priced else [])


def document(every: list[Path]) -> str:
    """All of ``RESULTS.md``."""
    kinds = {p: read(p / "config.json") for p in every}
    runs = {p.name: first_page.Run(kinds[p], read(p / "result.json"), read(p / "meta.json")["command"]) for p in every}
    seeds = [p for p in every if p.name.startswith("quickstart")]
    omniglot = [p for p in every if kinds[p].get("data") == "omniglot" and "method" in kinds[p]]
    waves = sorted((p for p in every if kinds[p].get("even")), key=lambda p: (kinds[p]["method"], kinds[p]["shots"]))
    cells = [p for p in every if p.name.startswith("nas201")]
    digits = [p for p in every if "architectures" in runs[p.name].metrics]
    parts = [first_page.page(runs)]
    parts += [summaries.omniglot(omniglot)] if omniglot else []
    parts += [summaries.sinusoid(waves)] if waves else []
    parts += architecture_search(cells)
    parts += [summaries.digits(p) for p in digits]
    parts += [summaries.quickstart(seeds), section(seeds[0])] if seeds else []
    own = [p for p in cells if nas_summaries.is_trivial(runs[p.name].result)]
    parts += [section(p) for p in every if p in own or p not in (*seeds, *cells, *digits)]
    head = "# Results\n\nMade by `python -m experiments.tables` from `experiments/results/`; no number is typed.\n\n"
    return head + "\n".join(parts)


def main(argv=None) -> int:
    parser = run.OneLineParser(prog="tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--add", type=Path, action="append", default=[], help="a finished run to copy to the results")
    given = parser.parse_args(argv)

    def command():
        for directory in given.add:
            add(directory)
        every = sorted(p for p in RESULTS.iterdir() if (p / "result.json").is_file())
        run.write_text(Path(__file__).parent / "RESULTS.md", document(every))
        print(f"{len(every)} results written to experiments/RESULTS.md")

    return run.main(command)


if __name__ == "__main__":
    sys.exit(main())
