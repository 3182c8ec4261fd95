"""The main job."""

import math
import statistics

from experiments.statements.words import Runs, duration, listed


def tables_of_users(runs: Runs) -> list[str]:
    """AutoML against what a user would pick instead."""
    m = runs["automl_tables"].metrics
    ranks = {k.removeprefix("mean rank "): v for k, v in m.items() if k.startswith("mean rank ")}
    rivals = [name for name in ranks if name != "metajax"]
    datasets = [k.removesuffix(" metajax") for k in m if k.endswith(" metajax") and f"{k[:-8]} {rivals[0]}" in m]
    datasets = [d for d in datasets if d not in ("mean rank", "wall seconds")]
    wins = {name: sum(m[f"{d} metajax"] > m[f"{d} {name}"] for d in datasets) for name in rivals}
    order = ", ".join(f"{name} {ranks[name]:.2f}" for name in sorted(ranks, key=lambda name: ranks[name]))
    told = ", ".join(f"{name} on {wins[name]} (p {sign_test(wins[name], len(datasets)):.2g})" for name in rivals)
    seconds = "; ".join(f"{name} {m[f'wall seconds {name}']:.0f}" for name in ranks if f"wall seconds {name}" in m)
    loses = [name for name in rivals if wins[name] < len(datasets) / 2]
    more = f" It loses on most datasets to {listed(loses)}." if loses else ""
    return [
        f"On {len(datasets)} tables, mean rank (1 is best): {order}. "
        f"metajax is better than {told}; p of a two-sided sign test.{more}",
        f"Seconds a table, which are not the same for all: {seconds}.",
    ]


def sign_test(wins: int, number: int) -> float:
    """The chance of as many wins or losses, or more, if each were as likely as the other.

    Example:
        >>> sign_test(9, 10), sign_test(5, 10)
        (0.021484375, 1.0)
    """
    tail = sum(math.comb(number, k) for k in range(max(wins, number - wins), number + 1)) / 2**number
    return min(1.0, 2 * tail)


def lost_tables(runs: Runs) -> list[str]:
    """The tables that gradient boosting wins."""
    m = runs["automl_tables"].metrics
    datasets = [k.removesuffix(" boosting") for k in m if k.endswith(" boosting")]
    gaps = {d: m[f"{d} boosting"] - m[f"{d} metajax"] for d in datasets if f"{d} metajax" in m}
    gaps = {d: gap for d, gap in gaps.items() if gap > 0 and d not in ("mean rank", "wall seconds")}
    if not gaps:
        return []
    worst = max(gaps, key=lambda d: gaps[d])
    return [
        f"Boosted trees with their defaults are better on {listed(sorted(gaps))}, "
        f"at most by {gaps[worst]:.2f} points ({worst})."
    ]


def quickstarts(runs: Runs) -> list[str]:
    """The search on digits against random search and the untuned default."""
    mine = [run.metrics for name, run in runs.items() if name.startswith("quickstart_")]
    gap = lambda kind: 100 * statistics.mean(m["test_accuracy"] - m[f"{kind}_test_accuracy"] for m in mine)
    seconds = statistics.mean(m["seconds"] for m in mine)
    return [
        f"The quickstart on digits, {len(mine)} seeds of {duration(seconds)}: {gap('random'):+.2f} points against random "
        f"search with as many models, {gap('default'):+.2f} against the untuned default."
    ]
