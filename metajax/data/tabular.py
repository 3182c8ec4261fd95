"""Tables of a user's data: reading, checking, encoding and splitting their rows.

Needs pandas (``pip install 'metajax[tabular]'``).
"""

from metajax.data._row_roles import RowColumns, RowRoles
from metajax.data._table import Dataset, pandas, to_dataset
from metajax.data._table_encoder import Encoder, split
from metajax.data._table_files import BUNDLED, load, load_test, read_csv, read_rows
from metajax.data.schema import Column, Columns, Schema, Source, TargetColumn, as_frame

__all__ = [
    "BUNDLED",
    "Column",
    "Columns",
    "Dataset",
    "Encoder",
    "RowColumns",
    "RowRoles",
    "Schema",
    "Source",
    "TargetColumn",
    "as_frame",
    "load",
    "load_test",
    "pandas",
    "read_csv",
    "read_rows",
    "split",
    "to_dataset",
]
