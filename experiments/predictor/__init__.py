"""Experiments on the meta-learner: prediction, transfer, and search through a predictor."""
