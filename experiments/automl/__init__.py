"""Experiments on the main job: AutoML on a table."""

TITLE = "The main job: AutoML on a table"
QUESTION = "Is it better than what one would pick instead?"
