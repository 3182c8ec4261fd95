"""Experiments on architecture search."""
