"""Experiments on hyperparameters by gradient."""

TITLE = "Hyperparameters by gradient"
QUESTION = "What is a hypergradient worth beside simple choices?"
