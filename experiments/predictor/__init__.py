"""Experiments on the meta-learner: prediction, transfer, and search through a predictor."""

TITLE = "The meta-learner"
QUESTION = "Can earlier trainings tell which model is good, and find better ones?"
