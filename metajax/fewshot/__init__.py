"""Few-shot learning: episodes, MAML, and the evaluation protocol."""

from metajax.fewshot.episodes import Episode, Sampler, classes, sinusoid, tasks
from metajax.fewshot.evaluate import Report, evaluate
from metajax.fewshot.losses import cross_entropy, squared_error
from metajax.fewshot.maml import adapt, maml, problem

__all__ = [
    "Episode",
    "Report",
    "Sampler",
    "adapt",
    "classes",
    "cross_entropy",
    "evaluate",
    "maml",
    "problem",
    "sinusoid",
    "squared_error",
    "tasks",
]
