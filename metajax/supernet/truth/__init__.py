"""What a search is judged by: tables of architectures that were trained alone."""

from metajax.supernet.truth._exhaust import exhaust, trains_sequentially
from metajax.supernet.truth._nas_bench_201 import (
    DATASETS,
    Oracle,
    canonical_form,
    from_string,
    load_oracle,
    load_package_oracle,
    oracle_path,
    to_string,
)
from metajax.supernet.truth._table import TruthTable, load_table
from metajax.supernet.truth._training import TrainingSetup, trainer

__all__ = [
    "DATASETS",
    "Oracle",
    "TrainingSetup",
    "TruthTable",
    "canonical_form",
    "exhaust",
    "from_string",
    "load_oracle",
    "load_package_oracle",
    "load_table",
    "oracle_path",
    "to_string",
    "trainer",
    "trains_sequentially",
]
