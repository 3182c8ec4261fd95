"""Experiments on few-shot learning."""
