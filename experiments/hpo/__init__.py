"""Experiments on hyperparameters by gradient."""
