"""The first page of the results, in plain words: what was asked, what was found, what it cost, what it beats and what not.

Every number is computed from the ``result.json`` of a run, and every "above" and "below" is decided by comparing numbers. A
statement whose result is missing, or has another form than it expects, is left out, and the page says which.
"""

from experiments.statements import architectures, automl, fewshot, hyperparameters, prediction
from experiments.statements.words import Run, Runs, Statement

__all__ = ["PILLARS", "Run", "page"]


def page(runs: Runs) -> str:
    """The page as Markdown."""
    parts, missing = [], []
    for title, question, statements in PILLARS:
        told = []
        for statement in statements:
            try:
                told += [f"- {sentence}" for sentence in statement(runs)]
            except (KeyError, StopIteration, ValueError):
                missing.append(statement.__name__.replace("_", " "))
        if told:
            parts.append("\n".join([f"### {title}", "", f"**Asked:** {question}", "", *told]))
    gone = f"\n\nNot on this page, because a result is missing: {', '.join(missing)}." if missing else ""
    intro = (
        "What was asked of every part, what was found, what it cost, what it beats and what not. Times are of the hardware "
        "that a run's own section names, mostly one or two cores of a CPU, so most searches and trainings are short. "
        "Differences smaller than the spread that stands beside a number are no claims."
    )
    return f"## In one page\n\n{intro}\n\n" + "\n\n".join(parts) + gone + "\n"


PILLARS: tuple[tuple[str, str, tuple[Statement, ...]], ...] = (
    (
        "Few-shot learning",
        "can a model learn a new task from a few examples, as well as the papers say?",
        (fewshot.omniglot, fewshot.maml_versions, fewshot.sinusoids, fewshot.navigation),
    ),
    (
        "Architecture search",
        "does a search by gradient in a SuperNet find better cells than a guess?",
        (architectures.supernets, architectures.zero_cost_proxies, architectures.table_searches),
    ),
    (
        "The meta-learner",
        "can earlier trainings tell which model is good, and find better ones?",
        (
            prediction.predictors,
            prediction.pairs,
            prediction.transfer,
            prediction.tabular_search,
            prediction.certificates,
        ),
    ),
    (
        "Hyperparameters by gradient",
        "what is a hypergradient worth beside simple choices?",
        (hyperparameters.cleaning, hyperparameters.augmentations, hyperparameters.many_decays, hyperparameters.joint),
    ),
    (
        "The main job: AutoML on a table",
        "is it better than what one would pick instead?",
        (automl.tables_of_users, automl.lost_tables, automl.quickstarts),
    ),
)
"""Title, question and statements of every part."""
