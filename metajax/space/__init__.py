"""Search spaces, their one encoding, and the relaxations that make it differentiable.

A ``Space`` is a table of named domains. ``space.rules`` has the relaxations, ``space.interop`` the ways to other tools.
"""

from metajax.space import interop, rules
from metajax.space._domains import Categorical, Domain, Float, Integer, Subset
from metajax.space._layout import Condition, Configs
from metajax.space._space import Space

__all__ = ["Categorical", "Condition", "Configs", "Domain", "Float", "Integer", "Space", "Subset", "interop", "rules"]
