"""Search spaces of architectures, each with one network that holds all of it."""

from metajax.supernet.spaces._cell import OPERATIONS, MixedCell, cell_space
from metajax.supernet.spaces._cell_supernet import cell_supernet
from metajax.supernet.spaces._cellnet import CellNet
from metajax.supernet.spaces._chain import MACRO, Operation, chain_supernet, identity, inverted_bottleneck
from metajax.supernet.spaces._choice_blocks import PARENTS, choice_blocks_space, choice_blocks_supernet
from metajax.supernet.spaces._darts import PRIMITIVES, darts_space, derive, log10_cells
from metajax.supernet.spaces._darts_network import darts_supernet
from metajax.supernet.spaces._elastic_convolution import elastic_convolution
from metajax.supernet.spaces._elastic_mlp import elastic_mlp
from metajax.supernet.spaces._genotype import cell_graphs, from_genotype, to_genotype
from metajax.supernet.spaces._layered import layered_cells
from metajax.supernet.spaces._transformer import elastic_transformer

__all__ = [
    "MACRO",
    "OPERATIONS",
    "PARENTS",
    "PRIMITIVES",
    "CellNet",
    "MixedCell",
    "Operation",
    "cell_graphs",
    "cell_space",
    "cell_supernet",
    "chain_supernet",
    "choice_blocks_space",
    "choice_blocks_supernet",
    "darts_space",
    "darts_supernet",
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
