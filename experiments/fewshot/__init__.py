"""Experiments on few-shot learning."""

TITLE = "Few-shot learning"
QUESTION = "Can a model learn a new task from a few examples, as well as the papers say?"
