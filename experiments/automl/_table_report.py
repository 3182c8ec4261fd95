"""How the results of ``tables`` read: a table for every budget, and the sentences of the first page."""

import math
from typing import Any

from experiments.automl import _suite as suite
from experiments.automl._peers import METHODS
from experiments.harness import Results
from experiments.harness.markdown import number, table
from experiments.harness.words import listed


def markdown(config: dict[str, Any], result: dict[str, Any]) -> str:
    """One table for every budget: the scores, then the ranks and the costs."""
    m = result["metrics"]
    parts = []
    for budget in config["seconds"].split(","):
        at = f"{float(budget):g} s"
        methods = [name for name in METHODS if f"{at} {name} rank" in m]
        names = [t for t in suite.TABLES if f"{at} {methods[0]} {t}" in m]
        line = lambda key, form, at=at, methods=methods: [number(m.get(f"{at} {name} {key}"), form) for name in methods]
        rows = [[t, *line(t, ".2f")] for t in names]
        rows += [
            ["**mean rank**", *line("rank", ".2f")],
            ["seconds to fit", *line("fit_seconds", ".1f")],
            ["seconds to predict", *line("predict_seconds", ".2f")],
            ["megabytes", *line("megabytes", ",.0f")],
            ["models started", *line("models", ",.0f")],
        ]
        parts.append(f"**{at} for the searches**\n\n{table(['', *methods], rows)}")
        parts.append(
            f"Two mean ranks differ by more than chance above {m[f'{at} critical difference']:.2f} (Nemenyi, 5%)."
            + (
                f" metajax less boosting: {m[f'{at} mean over boosting']:+.2f} points on average, "
                f"{m[f'{at} worst against boosting']:+.2f} at worst."
                if f"{at} mean over boosting" in m
                else ""
            )
        )
    return "\n\n".join(parts)


def statement(results: Results) -> list[str]:
    """The main job in a minute against what a user would pick instead."""
    m, at = results["tables_minute"].metrics, "60 s"
    mean_ranks = {name: m[f"{at} {name} rank"] for name in METHODS if f"{at} {name} rank" in m}
    rivals = [name for name in mean_ranks if name != "metajax"]
    names = [t for t in suite.TABLES if f"{at} metajax {t}" in m]
    gaps = {n: {t: m[f"{at} metajax {t}"] - m[f"{at} {n} {t}"] for t in names if f"{at} {n} {t}" in m} for n in rivals}
    wins = {name: sum(gap > 0 for gap in gaps[name].values()) for name in rivals}
    order = ", ".join(
        f"{name} {mean_ranks[name]:.2f}" for name in sorted(mean_ranks, key=lambda name: mean_ranks[name])
    )
    nearest = min(rivals, key=lambda name: mean_ranks[name])
    chance = f"p {sign_test(wins[nearest], len(names)):.2g} by a sign test"
    sentences = [
        f"On {len(names)} new tables, a minute for each search, the mean ranks (1 is best) are: {order}. metajax is better "
        f"than {nearest} on {wins[nearest]} ({chance})."
    ]
    losses = {t: -gap for t, gap in gaps.get("boosting", {}).items() if gap < 0}
    if losses:
        worst_table = max(losses, key=lambda t: losses[t])
        where = f" ({worst_table})" if len(losses) > 1 else ""
        sentences.append(
            f"Default boosted trees are better on {listed(sorted(losses))}, by at most {losses[worst_table]:.2f} points{where}."
        )
    return [*sentences, *_in_ten_seconds(results)]


def _in_ten_seconds(results: Results) -> list[str]:
    """The shortest budget against defaults."""
    if "tables_ten" not in results:
        return []
    m, at = results["tables_ten"].metrics, "10 s"
    mean_ranks = {name: m[f"{at} {name} rank"] for name in METHODS if f"{at} {name} rank" in m}
    order = ", ".join(f"{name} {mean_ranks[name]:.2f}" for name in sorted(mean_ranks, key=mean_ranks.__getitem__))
    return [f"In ten seconds: {order}."]


def sign_test(wins: int, n: int) -> float:
    """Returns the chance of as many wins or losses, or more, if each were as likely as the other.

    Example:
        >>> sign_test(9, 10), sign_test(5, 10)
        (0.021484375, 1.0)
    """
    tail = sum(math.comb(n, k) for k in range(max(wins, n - wins), n + 1)) / 2**n
    return min(1.0, 2 * tail)
