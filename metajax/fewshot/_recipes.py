"""The table of the few-shot methods. A new method is one file with its ``RECIPES``, and one line here."""

import importlib
from collections.abc import Mapping

from metajax._method_table import MethodTable
from metajax.fewshot._recipe import Recipe

FILES = (
    "_maml",
    "_reptile",
    "_anil",
    "_boil",
    "_meta_sgd",
    "_maml_plus_plus",
    "_imaml",
    "_cavia",
    "_protonet",
    "_ridge",
    "_metaoptnet",
    "_pretraining",
)
"""The files with recipes, in the order of tables."""


def _recipes() -> MethodTable[Recipe]:
    """Returns the recipes of all files by the names of the methods."""
    modules = [importlib.import_module(f"metajax.fewshot.{file}") for file in FILES]
    return MethodTable((name, recipe) for module in modules for name, recipe in module.RECIPES.items())


METHODS: Mapping[str, Recipe] = _recipes()
"""Every few-shot method by name, with settings for a few thousand steps on a CPU. An unknown name is an ``InputError``."""
