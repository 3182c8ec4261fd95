"""Tables of a user's data: reading, checking, encoding and splitting their rows.

Needs pandas (``pip install 'metajax[tabular]'``).
"""

from metajax.data._table import Dataset, judge, pandas
from metajax.data._table_encoder import Encoder, split
from metajax.data._table_files import BUNDLED, load, read_csv, read_rows

__all__ = ["BUNDLED", "Dataset", "Encoder", "judge", "load", "pandas", "read_csv", "read_rows", "split"]
