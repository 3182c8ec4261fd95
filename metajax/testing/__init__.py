"""Contract suites: what every method of a family must do, as checks for the methods of other people.

A method of your own that passes them works wherever the methods of metajax do: in compiled loops, in a run that is resumed, in
the experiments. ``FewShotContract(method, task).check()`` and ``SearchContract(method).check()`` make all checks; ``CHECKS``
lists them, for one test each. A broken rule raises an ``AssertionError`` that names it.
"""

from metajax.testing._contract import Contract
from metajax.testing._fewshot import FewShotContract
from metajax.testing._supernet import SearchContract

__all__ = ["Contract", "FewShotContract", "SearchContract"]
