"""Experiments on the main job: AutoML on a table."""
