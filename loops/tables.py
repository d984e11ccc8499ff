"""Tables of data: CSV files beside the module that reads them."""

from __future__ import annotations

import csv
from pathlib import Path


def beside(module_file: str, name: str) -> list[dict[str, str]]:
    """The rows of the table `name` (a CSV file with a header) in the folder of a module, given its `__file__`."""
    with Path(module_file).with_name(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
