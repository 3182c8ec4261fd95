"""The schema of a table: what its columns are, and by which rules their cells are read.

A schema is inferred from the text of the cells, stored with the model, and applied to new rows exactly as learned. It can be
printed, and edited as JSON.
"""

from metajax.data.schema._column import Column, TargetColumn
from metajax.data.schema._frames import as_frame
from metajax.data.schema._schema import Columns, Schema, Source

__all__ = ["Column", "Columns", "Schema", "Source", "TargetColumn", "as_frame"]
