"""Executes notebooks in place, so that they ship with their outputs: ``python notebooks/execute.py notebooks/tour.ipynb``."""

import sys
from pathlib import Path

import nbclient
import nbformat

ROOT = Path(__file__).parents[1]

for name in sys.argv[1:] or sorted(map(str, (ROOT / "notebooks").glob("*.ipynb"))):
    book = nbformat.read(name, as_version=4)
    client = nbclient.NotebookClient(
        book, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # times, which would differ at every execution
    nbformat.write(book, name)
    print(f"executed {name}")
