"""Search spaces, their one encoding, and the relaxations that make it differentiable."""

from metajax.space import interop, relax
from metajax.space.domains import Categorical, Domain, Float, Integer, Subset
from metajax.space.space import Condition, Configs, Space

__all__ = ["Categorical", "Condition", "Configs", "Domain", "Float", "Integer", "Space", "Subset", "interop", "relax"]
