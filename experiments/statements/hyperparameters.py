"""Hyperparameters by gradient."""

import statistics

from experiments.statements.words import Runs, against, duration


def cleaning(runs: Runs) -> list[str]:
    """Weights of wrong labels."""
    m = runs["hyper_cleaning"].metrics
    alone = m["validation alone accuracy"]
    fixed = ("oracle", "none", "validation alone")
    mine = {k.removesuffix(" accuracy"): v for k, v in m.items() if k.endswith(" accuracy")}
    mine = {name: value for name, value in mine.items() if name not in fixed and f"{name} search_seconds" in m}
    best = max(mine, key=lambda name: mine[name])
    return [
        f"Half of the labels wrong: the best learned data weights ({best}) give {mine[best]:.2f}% after "
        f"{duration(m[f'{best} search_seconds'])}, "
        f"{against(mine[best], m['none accuracy'])} no cleaning ({m['none accuracy']:.2f}) and "
        f"{against(mine[best], alone, 0.2)} training on the clean validation images alone ({alone:.2f}), which needs no "
        f"hypergradient; with all wrong labels known it is {m['oracle accuracy']:.2f}."
    ]


def augmentations(runs: Runs) -> list[str]:
    """Learned against fixed augmentation."""
    m = runs["augmentation"].metrics
    learned = {n: m[f"{n} accuracy"] for n in ("neumann", "identity", "truncated") if f"{n} accuracy" in m}
    best = max(learned, key=lambda name: learned[name])
    how = against(learned[best], m["fixed accuracy"], m["fixed deviation"])
    return [
        f"Learned augmentation ({best}) reaches {learned[best]:.1f}%, {against(learned[best], m['none accuracy'])} none "
        f"({m['none accuracy']:.1f}) and {how} a fixed one ({m['fixed accuracy']:.1f} ± {m['fixed deviation']:.1f})."
    ]


def many_decays(runs: Runs) -> list[str]:
    """A decay for every weight against one for all."""
    m = runs["many_hyperparameters"].metrics
    single = m[f"decay {m['best single decay']:g} test"]
    return [
        f"{m['hyperparameters']:,} weight decays at once cost {m['neumann time_ratio']:.1f} times the time and "
        f"{m['neumann memory_ratio']:.1f} times the memory of plain training; the test accuracy is {m['neumann test']:.2f}%, "
        f"{against(m['neumann test'], single)} one well-chosen decay for all ({single:.2f})."
    ]


def joint(runs: Runs) -> list[str]:
    """Architecture and hyperparameters together against trials."""
    m = runs["joint_search"].metrics
    datasets = sorted(k.removesuffix(" joint accuracy") for k in m if k.endswith(" joint accuracy"))
    how = [_joint_against_tpe(m, dataset) for dataset in datasets]
    trained = [statistics.mean(m[f"{d} {method} trained"] for d in datasets) for method in ("joint", "tpe")]
    return [
        f"Architecture and hyperparameters together by gradient, against Optuna's TPE in the same seconds on {len(datasets)} "
        f"datasets: shown to be above on {how.count('above')}, below on {how.count('below')}, no difference shown on "
        f"{how.count('level with')}. The gradient could afford {trained[0]:.0f} trainings, TPE {trained[1]:.0f}."
    ]


def _joint_against_tpe(metrics: dict[str, float], dataset: str) -> str:
    """By the interval of the difference; in older results, by the larger deviation over seeds."""
    low = metrics.get(f"{dataset} tpe gain_low")
    if low is not None:
        return "above" if low > 0 else "below" if metrics[f"{dataset} tpe gain_high"] < 0 else "level with"
    spread = max(metrics.get(f"{dataset} {method} deviation", 0.0) for method in ("joint", "tpe"))
    return against(metrics[f"{dataset} joint accuracy"], metrics[f"{dataset} tpe accuracy"], spread)
