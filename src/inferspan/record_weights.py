"""What a call weighs in a slim record, so that no record grows beyond what receivers take."""

from __future__ import annotations

from typing import Final

from inferspan.attributes import names_text
from inferspan.outputs import Output
from inferspan.record_columns import FEATURES, OUTPUT, Row, row_count

TEXT_BYTES_OF_A_ROW: Final = 512
"""Bytes of the classes of sets, and of lists of classes, that weigh as much as a row; receivers
count them so, for in the record they are codes."""
NUMBERS_OF_A_ROW: Final = 8
"""Probabilities, or values of features, that weigh as much as a row: as many bytes."""


def weight_of(row: Row) -> int:
    """Rows that take as much room as this call; 0 for a batch call of nothing."""
    count = row_count(row)
    output = row[OUTPUT]
    weight = count + count * len(row[FEATURES]) // NUMBERS_OF_A_ROW
    if not count or output is None or not output.columnar:
        return weight
    probabilities = output.probabilities
    if probabilities is not None:
        texts = count * len(names_text(output.names).encode())
        return weight + len(probabilities) // NUMBERS_OF_A_ROW + texts // TEXT_BYTES_OF_A_ROW
    return weight + _set_bytes(output) // TEXT_BYTES_OF_A_ROW


def _set_bytes(output: Output) -> int:
    if output.offsets is None or output.classes is None:
        return 0
    return sum(4 + len(entry.encode()) for entry in output.classes if entry is not None)
