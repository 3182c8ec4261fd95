"""Few-shot learning."""

import statistics
from typing import Any

from experiments.harness import published
from experiments.statements.words import Runs, against, duration, listed


def omniglot(runs: Runs) -> list[str]:
    """The methods on Omniglot 5-way 1-shot with the preset for a CPU, against their published accuracies."""
    mine: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs.values():
        c = run.config
        asked = (c.get("data"), c.get("ways"), str(c.get("shots")))
        if asked == ("omniglot", 5, "1") and any(
            f"--preset {p} " in f"{run.command} " for p in ("cpu", "cpu-inductive")
        ):
            mine.setdefault((c["method"], c.get("batch_norm", "transductive")), []).append(run.metrics)
    score = {kind: statistics.mean(m["accuracy"] for m in each) for kind, each in mine.items()}
    names = {kind: kind[0] if kind[1] == "transductive" else f"{kind[0]} by {kind[1]} statistics" for kind in mine}
    best = max(score, key=lambda kind: score[kind])
    minutes = [m["seconds"] / 60 for each in mine.values() for m in each]
    compared: dict[str, list[str]] = {"above": [], "below": [], "level with": []}
    for kind in sorted(score):
        known = published.OMNIGLOT[kind][1][0] if kind in published.OMNIGLOT else None
        if known:
            value, _, spread = known.partition(" ± ")
            margin = float(spread or 0.0) + max(m["interval"] for m in mine[kind])
            compared[against(score[kind], float(value), margin)].append(
                f"{names[kind]} ({score[kind]:.2f} against {value})"
            )
    verdict = "; ".join(f"{how} it: {listed(which)}" for how, which in compared.items() if which)
    return [
        f"Omniglot, 5 ways, 1 shot: {len(score)} methods trained for {min(minutes):.0f} to {max(minutes):.0f} minutes each; "
        f"the best is {names[best]} with {score[best]:.2f}%. Against the published accuracy, which took a full training, and "
        f"counting the intervals of both: {verdict}."
    ]


def sinusoids(runs: Runs) -> list[str]:
    """MAML and Meta-SGD by Meta-SGD's protocol, where that draws a frequency."""
    told = []
    for method in ("maml", "meta-sgd"):
        wave = next(
            r.metrics
            for r in runs.values()
            if (r.config.get("method"), r.config.get("shots")) == (method, 5)
            and r.config.get("min_frequency", 1.0) < r.config.get("max_frequency", 1.0)
        )
        known, _, spread = published.SINUSOID[(method, 5)].partition(" ± ")
        how = against(wave["mse_5_shot"], float(known), float(spread) + wave["interval_5_shot"])
        told.append(f"{method} has an error of {wave['mse_5_shot']:.2f}, {how} the published {known}")
    return [f"Sinusoids with a drawn frequency, 5 shots (smaller is better): {listed(told)}."]


def maml_versions(runs: Runs) -> list[str]:
    """MAML++ beside MAML on the same tasks."""
    run = runs["maml_versions"]
    m, width = run.metrics, run.metrics["interval_over_seeds"]
    how = against(m["maml++_accuracy"], m["maml_accuracy"], width)
    return [
        f"MAML++, of five inner steps, beside MAML, of one, on the same tasks in {run.config['seeds']} seeds: {how} it, by "
        f"{m['difference']:+.2f} ± {width:.2f} points."
    ]


def navigation(runs: Runs) -> list[str]:
    """Reinforcement learning of goals."""
    m = runs["navigation"].metrics
    how = against(m["maml_after_3"], m["pre_trained_after_3"], m["maml_after_3_interval"])
    return [
        f"Navigation to a new goal: after three steps MAML has a return of {m['maml_after_3']:.1f}, {how} a pre-trained policy "
        f"({m['pre_trained_after_3']:.1f}) and {against(m['maml_after_3'], m['oracle_after_0'], m['maml_after_3_interval'])} "
        f"the oracle ({m['oracle_after_0']:.1f}), in {duration(m['seconds'])} of training."
    ]
