"""Contract suites: what every method of a family must do, as checks for the methods of other people.

A method of your own that passes them works wherever the methods of metajax do: in compiled loops, in a run that is resumed, in
the experiments. A broken rule raises an ``AssertionError`` that names it.
"""

from metajax.testing._fewshot import FEW_SHOT_CHECKS, FewShotCase, check_few_shot_method, few_shot_case
from metajax.testing._supernet import SearchContract

__all__ = ["FEW_SHOT_CHECKS", "FewShotCase", "SearchContract", "check_few_shot_method", "few_shot_case"]
