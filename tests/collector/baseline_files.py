"""Files of labelled predictions, and baselines of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import csv, feather, parquet

from inferspan_collector.baselines import building, file_rows
from inferspan_collector.baselines.document import Baseline

SHA = "0" * 64


def written(path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    """A file of these columns, in the format that its name says."""
    table = pyarrow.table(dict(columns))
    writers = {
        ".csv": csv.write_csv,
        ".parquet": parquet.write_table,
        ".arrow": feather.write_feather,
    }
    writers[path.suffix](table, str(path))
    return path


def baseline_of(
    path: Path, columns: Mapping[str, Sequence[Any]], told: Mapping[str, Any], **named: Any
) -> Baseline:
    """The baseline of a file of these columns; `named` says which is which."""
    found = file_rows.read(written(path, columns), file_rows.Columns(**named))
    return building.built(found, building.Told(path.name, SHA, **told))
