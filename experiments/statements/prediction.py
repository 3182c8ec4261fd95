"""Prediction, transfer, and search through a predictor."""

from experiments.harness import published
from experiments.statements.words import Runs, against, duration, listed


def predictors(runs: Runs) -> list[str]:
    """Kendall τ on NAS-Bench-201 against published predictors, of models that see architectures alone."""
    run, told = runs["predict_nas_bench_201"], []
    m = run.metrics
    for size in (78, 1563):
        mine = {k.removesuffix(f"_{size}_tau"): v for k, v in m.items() if k.endswith(f"_{size}_tau")}
        mine = {n: tau for n, tau in mine.items() if "epochs" not in n and f"{n}_{size}_tau_std" in m}
        best = max(mine, key=lambda name: mine[name])
        column = published.PREDICTED_SIZES.index(size)
        rival = max(published.PREDICTED, key=lambda name: published.PREDICTED[name][column])
        known = published.PREDICTED[rival][column]
        told.append(
            f"from {size:,} trainings the best of {len(mine)} models, {best.replace('_', ' ')}, has {mine[best]:.3f}, "
            f"{against(mine[best], known, m[f'{best}_{size}_tau_std'])} the {known:.3f} of {rival}"
        )
    cost = duration(sum(record["seconds"] for record in run.result["records"]))
    return [
        f"Kendall τ of predicted accuracies on NAS-Bench-201, beside published ones (the run's section says how cells were "
        f"split): {listed(told)}. All fits together took {cost}."
    ]


def pairs(runs: Runs) -> list[str]:
    """What a leaking split of pairs pretends."""
    m = runs["pairwise"].metrics
    return [
        f"Which of two models is better: {100 * m['nasbench201_rank_leaking']:.0f}% right when pairs are held out, "
        f"{100 * m['nasbench201_rank_honest']:.0f}% when models are. Only the second counts."
    ]


def transfer(runs: Runs) -> list[str]:
    """Regret over datasets that were never trained on."""
    m, told = runs["transfer_oboe"].metrics, []
    rivals = sorted({k.removesuffix("_5") for k in m if k.endswith("_5") and not k.startswith("transfer_5")})
    for trainings in (0, 5):
        mine = m[f"transfer_{trainings}"]
        best = min((name for name in rivals if f"{name}_{trainings}" in m), key=lambda name: m[f"{name}_{trainings}"])
        other, chance = m[f"{best}_{trainings}"], m.get(f"{best}_{trainings}_p")
        p = f", p = {chance:.1g}" if chance is not None else ""
        how = "better than" if mine < other else "worse than"
        if chance is None or chance > 0.05:
            how = "not shown to differ from"
        told.append(f"after {trainings} trainings there {mine:.2f}, {how} {best.replace('_', ' ')} ({other:.2f}{p})")
    return [f"Transfer to a new dataset (mean regret in points, smaller is better): {'; '.join(told)}."]


def tabular_search(runs: Runs) -> list[str]:
    """Search on tabular benchmarks against Optuna."""
    m = runs["search_tabular"].metrics
    names = sorted({k.removesuffix("_25") for k in m if k.endswith("_25")})
    regret = {name: m[f"{name}_25"] for name in names}
    first = {name: m[f"{name}_1"] for name in names}
    order = sorted(regret, key=lambda name: regret[name])
    told = ", ".join(f"{name.replace('_', ' ')} {regret[name]:.3f} ± {m[f'{name}_25_interval']:.3f}" for name in order)
    begin = min(first, key=lambda name: first[name])
    return [
        f"Search on tabular benchmarks, normalized regret after 25 trials (tpe and gp are Optuna's; transfer and average rank "
        f"know the other tables of a family): {told}. The best first trial is that of {begin.replace('_', ' ')} "
        f"({first[begin]:.3f})."
    ]


def certificates(runs: Runs) -> list[str]:
    """How large a space can be searched with a proof."""
    m = runs["certify"].metrics
    worst = {k.removesuffix("_gap_worst"): v for k, v in m.items() if k.endswith("_gap_worst")}
    closed = [name for name, gap in worst.items() if gap < _CLOSED]
    top = max(closed, key=lambda name: [int(part) for part in name.split("_units_")][::-1])
    units, exponent = top.split("_units_")
    return [
        f"A search with a certificate proves the optimum of a model of {units} units among 10^{exponent} configurations in "
        f"{m[f'{top}_certify_seconds']:.0f} seconds (median). Of the {len(worst)} sizes of models and spaces, "
        f"{len(worst) - len(closed)} had a model that was not closed in time."
    ]


_CLOSED = 1e-3
"""A gap below it is an optimum, up to rounding."""
