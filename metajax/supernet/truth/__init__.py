"""What a search is judged by: tables of architectures that were trained alone."""

from metajax.supernet.truth._exhaust import Table, Training, exhaust, in_turn, load_table, trainer
from metajax.supernet.truth._nas_bench_201 import (
    DATASETS,
    Oracle,
    canonical,
    from_string,
    oracle,
    package_oracle,
    prepared,
    to_string,
)

__all__ = [
    "DATASETS",
    "Oracle",
    "Table",
    "Training",
    "canonical",
    "exhaust",
    "from_string",
    "in_turn",
    "load_table",
    "oracle",
    "package_oracle",
    "prepared",
    "to_string",
    "trainer",
]
