"""Experiments on architecture search."""

TITLE = "Architecture search"
QUESTION = "Does a search by gradient in a SuperNet find better cells than a guess?"
