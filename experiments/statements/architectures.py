"""Architecture search."""

import statistics

from experiments.nas import method_versions
from experiments.statements.words import Run, Runs, against, listed


def supernets(runs: Runs) -> list[str]:
    """SuperNets on NAS-Bench-201 against the trivial answers."""
    trivial = runs["nas201_trivial"].metrics
    scores: dict[str, list[float]] = {}
    seconds = []
    for run in _searches(runs):
        scores.setdefault(run.config["method"], []).append(run.metrics["cifar10_test"])
        seconds.append(run.metrics["seconds"])
    means = {name: statistics.mean(each) for name, each in scores.items()}
    best = max(means, key=lambda name: means[name])
    bar, drawn = trivial["conv3x3_cifar10_test"], trivial["convolutions_cifar10_test"]
    above = [name for name in means if means[name] > bar]
    better = [name for name in means if means[name] > drawn]
    return [
        f"NAS-Bench-201: {len(means)} methods searched a small SuperNet for {min(seconds) / 60:.1f} to {max(seconds) / 60:.1f} "
        f"minutes; the best on average is {best} with {means[best]:.2f}% on CIFAR-10 (seeds: {len(scores[best])}; the best "
        f"cell of the table has {trivial['best_cifar10_test']:.2f}, a random one {trivial['random_cifar10_test']:.2f}).",
        f"The trivial answer, all 3 x 3 convolutions, has {bar:.2f}% without any search; above it: {listed(above)}. Above a "
        f"random cell of convolutions ({drawn:.2f}): {len(better)} of {len(means)} methods.",
    ]


def _searches(runs: Runs) -> list[Run]:
    """SuperNet searches on NAS-Bench-201 by present versions of their methods, without a cost."""
    return [
        run
        for name, run in runs.items()
        if name.startswith("nas201_")
        and "cifar10_test" in run.metrics
        and "evaluations" not in run.metrics
        and not run.config.get("cost")
        and method_versions.is_current(run.config["method"], run.result)
    ]


def zero_cost_proxies(runs: Runs) -> list[str]:
    """Scores at initial weights against the number of parameters."""
    scored = {
        run.config["method"]: run.metrics
        for name, run in runs.items()
        if name.startswith("nas201_")
        and "evaluations" in run.metrics
        and "simulated_seconds" not in run.metrics
        and method_versions.is_current(run.config["method"], run.result)
    }
    parameters = scored.pop("parameters")
    tau = lambda m: f"{m['kendall_tau']:.2f} ± {m['kendall_tau_error']:.2f}"
    best = max(scored, key=lambda name: scored[name]["kendall_tau"])
    gap = lambda m: m["kendall_tau"] - parameters["kendall_tau"]
    above = [name for name, m in scored.items() if gap(m) > 0]
    clear = [
        name
        for name in above
        if gap(scored[name]) > scored[name]["kendall_tau_error"] + parameters["kendall_tau_error"]
    ]
    return [
        f"Zero-cost proxies rank {parameters['evaluations']} untrained cells; the best, {best}, with a Kendall τ of "
        f"{tau(scored[best])}, the number of parameters alone with {tau(parameters)}. Of {len(scored)} proxies, {len(above)} "
        f"are above the number of parameters ({listed(above)}), by more than both standard errors: {listed(clear)}."
    ]


def table_searches(runs: Runs) -> list[str]:
    """Searches that look trainings up, beside the SuperNets."""
    scores: dict[str, list[float]] = {}
    for name, run in runs.items():
        if name.startswith("nas201_") and "simulated_seconds" in run.metrics:
            scores.setdefault(run.config["method"], []).append(run.metrics["cifar10_test"])
    means = {name: statistics.mean(each) for name, each in scores.items()}
    best = max(means, key=lambda name: means[name])
    trained = max(one.metrics["cifar10_test"] for one in _searches(runs))
    return [
        f"Looking trainings up in the table (12,000 simulated seconds), {best} reaches {means[best]:.2f}% on average, "
        f"{against(means[best], trained)} the best single SuperNet search ({trained:.2f})."
    ]
