"""SuperNets: differentiable architecture search on a weight-sharing network, measured against the truth."""

from metajax.supernet.cell import OPERATIONS, Cell, CellNet, average_pool, cell_space
from metajax.supernet.darts import darts, discretise
from metajax.supernet.diagnose import index_of, kendall_tau, supernet_scores
from metajax.supernet.exhaust import Table, Training, exhaust, trainer

__all__ = [
    "OPERATIONS",
    "Cell",
    "CellNet",
    "Table",
    "Training",
    "average_pool",
    "cell_space",
    "darts",
    "discretise",
    "exhaust",
    "index_of",
    "kendall_tau",
    "supernet_scores",
    "trainer",
]
