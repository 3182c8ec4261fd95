"""Search spaces of architectures, each with one network that holds all of it."""

from metajax.supernet.spaces._cell import OPERATIONS, Cell, average_pool, cell_space
from metajax.supernet.spaces._cellnet import CellNet, cells
from metajax.supernet.spaces._chain import MACRO, Operation, chain, identity, inverted_bottleneck
from metajax.supernet.spaces._choice_blocks import PARENTS, choice_blocks, choice_blocks_space
from metajax.supernet.spaces._darts import PRIMITIVES, darts, darts_space, derive, log10_cells
from metajax.supernet.spaces._elastic import elastic_convolution, elastic_mlp
from metajax.supernet.spaces._genotype import cell_graphs, from_genotype, to_genotype
from metajax.supernet.spaces._layered import layered_cells
from metajax.supernet.spaces._transformer import elastic_transformer

__all__ = [
    "MACRO",
    "OPERATIONS",
    "PARENTS",
    "PRIMITIVES",
    "Cell",
    "CellNet",
    "Operation",
    "average_pool",
    "cell_graphs",
    "cell_space",
    "cells",
    "chain",
    "choice_blocks",
    "choice_blocks_space",
    "darts",
    "darts_space",
    "derive",
    "elastic_convolution",
    "elastic_mlp",
    "elastic_transformer",
    "from_genotype",
    "identity",
    "inverted_bottleneck",
    "layered_cells",
    "log10_cells",
    "to_genotype",
]
