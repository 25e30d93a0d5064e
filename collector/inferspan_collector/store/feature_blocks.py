"""The declared features of predictions: many rows of one table in one block of bytes.

A feature is written with every prediction and read by few questions, so a transaction writes the
features of all its predictions that have the same names as one row of `feature_blocks`: their row
ids, and their values as they came. A row a prediction would cost the store more than the
prediction itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Int64, PredictionBatch, Texts
from inferspan_collector.feature_texts import array_texts
from inferspan_collector.store import grouping
from inferspan_collector.store.staging import Predictions

_INSERT: Final = "INSERT INTO feature_blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OF_ROWS: Final = """
SELECT names, category_names, rows, numbers, text_ends, texts
FROM feature_blocks
WHERE model = $model AND last_row >= $first AND first_row <= $last
    AND last_time >= $since AND first_time <= $until
ORDER BY first_row
"""
_HOLDING: Final = """
SELECT b.rowid, b.*
FROM feature_blocks AS b
WHERE EXISTS (FROM leaving AS l WHERE l.row_id BETWEEN b.first_row AND b.last_row)
"""
# As `forgetting` does, every column gets another value: of what is only deleted blocks keep all.
_OVERWRITE: Final = """
UPDATE feature_blocks
SET first_row = -1, last_row = -1, first_time = -1, last_time = -1, model = '-', names = '-',
    category_names = '-', rows = '\\x2D'::BLOB, numbers = '\\x2D'::BLOB,
    text_ends = '\\x2D'::BLOB, texts = '\\x2D'::BLOB
WHERE rowid = ?
"""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features of N rows by name; a name may be among both where its type changed."""

    numbers: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """float64[N], NaN = missing."""
    texts: dict[str, NDArray[np.object_]] = field(default_factory=dict)
    """str, None = missing."""

    def take(self, rows: NDArray[Any]) -> Features:
        """Select rows by index or mask."""
        return Features(
            {name: column[rows] for name, column in self.numbers.items()},
            {name: column[rows] for name, column in self.texts.items()},
        )


def write(cursor: duckdb.DuckDBPyConnection, known: Predictions, new: Bool) -> None:
    """Write the features of rows chosen by mask, inside the open transaction."""
    batch = known.batch
    named = new & ((batch.feature_names.codes >= 0) | (batch.category_names.codes >= 0))
    if not named.any():
        return
    rows = np.flatnonzero(named)
    codes = (batch.model.codes, batch.feature_names.codes, batch.category_names.codes)
    group, first = grouping.groups([column[rows] for column in codes])
    for each in range(len(first)):
        _write_block(cursor, batch, known.rows, rows[group == each])


def _write_block(
    cursor: duckdb.DuckDBPyConnection, batch: PredictionBatch, row_ids: Int64, rows: Int64
) -> None:
    ids, times = row_ids[rows], batch.event_time[rows]
    # Rows follow each other, but for retries: whole runs are taken, a byte at a time costs 3 µs a
    # row.
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    firsts, lasts = rows[np.append(0, breaks)], rows[np.append(breaks - 1, len(rows) - 1)]
    runs = list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))
    text_ends = np.cumsum(batch.category_values.lengths()[rows])
    cursor.execute(
        _INSERT,
        [
            int(ids[0]),
            int(ids[-1]),
            int(times.min()),
            int(times.max()),
            batch.model.text(int(rows[0])),
            batch.feature_names.text(int(rows[0])),
            batch.category_names.text(int(rows[0])),
            ids.astype("<i8").tobytes(),
            _bytes_of(batch.feature_values, runs),
            text_ends.astype("<i8").tobytes(),
            _bytes_of(batch.category_values, runs),
        ],
    )


def _bytes_of(column: Texts, runs: Sequence[tuple[int, int]]) -> bytes:
    offsets = column.offsets
    return b"".join(column.data[offsets[first] : offsets[end]].data for first, end in runs)


def read(
    cursor: duckdb.DuckDBPyConnection, model: str, row_ids: Int64, event_times: Int64
) -> Features:
    """The features of rows, by their ids; some 0.1 µs a number, 0.5 µs a row with texts."""
    found = Features()
    if len(row_ids) == 0:
        return found
    order = np.argsort(row_ids)
    ordered = row_ids[order]
    asked = {
        "model": model,
        "first": int(ordered[0]),
        "last": int(ordered[-1]),
        "since": int(event_times.min()),
        "until": int(event_times.max()),
    }
    for names, category_names, *block in cursor.execute(_OF_ROWS, asked).fetchall():
        ids = np.frombuffer(block[0], "<i8")
        places = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
        wanted = np.flatnonzero(ordered[places] == ids)
        if len(wanted):
            target = order[places[wanted]]
            _add_numbers(found, names, block[1], wanted, target, len(ids), len(row_ids))
            _add_texts(found, category_names, block[2], block[3], wanted, target, len(row_ids))
    return found


def _add_numbers(
    found: Features,
    names: str | None,
    content: bytes,
    wanted: Int64,
    target: Int64,
    rows: int,
    total: int,
) -> None:
    if names is None or not content:
        return
    table = np.frombuffer(content, "<f8").reshape(rows, -1)[wanted]
    for place, name in enumerate(json.loads(names)):
        if name not in found.numbers:
            found.numbers[name] = np.full(total, np.nan)
        found.numbers[name][target] = table[:, place]


def _add_texts(
    found: Features,
    names: str | None,
    ends: bytes,
    content: bytes,
    wanted: Int64,
    target: Int64,
    total: int,
) -> None:
    if names is None or not content:
        return
    offsets = [0, *np.frombuffer(ends, "<i8").tolist()]
    columns = []
    for name in json.loads(names):
        if name not in found.texts:
            found.texts[name] = np.full(total, None, np.object_)
        columns.append(found.texts[name])
    for row, place in zip(wanted.tolist(), target.tolist(), strict=True):
        for column, text in zip(
            columns, array_texts(content[offsets[row] : offsets[row + 1]]), strict=False
        ):
            column[place] = text


def forget(cursor: duckdb.DuckDBPyConnection) -> None:
    """Take the rows of `leaving` (TEMP: row_id) out of their blocks, and overwrite these."""
    leaving = {row for (row,) in cursor.execute("SELECT row_id FROM leaving").fetchall()}
    if not leaving:
        return
    for rowid, *block in cursor.execute(_HOLDING).fetchall():
        ids = np.frombuffer(block[7], "<i8")
        kept = np.array([row not in leaving for row in ids.tolist()], np.bool_)
        if kept.all():
            continue
        cursor.execute(_OVERWRITE, [rowid])
        if kept.any():
            cursor.execute(_INSERT, _without(block, ids, kept))
    cursor.execute("DELETE FROM feature_blocks WHERE first_row < 0")


def _without(block: Sequence[Any], ids: Int64, kept: Bool) -> list[Any]:
    numbers = np.frombuffer(block[8], np.uint8).reshape(len(ids), -1)[kept]
    ends = np.frombuffer(block[9], "<i8")
    starts = np.concatenate([[0], ends[:-1]])
    texts = [
        block[10][start:end]
        for start, end in zip(starts[kept].tolist(), ends[kept].tolist(), strict=True)
    ]
    left = ids[kept]
    new_ends = np.cumsum([len(text) for text in texts]).astype("<i8")
    return [
        int(left[0]),
        int(left[-1]),
        *block[2:7],
        left.tobytes(),
        numbers.tobytes(),
        new_ends.tobytes(),
        b"".join(texts),
    ]
