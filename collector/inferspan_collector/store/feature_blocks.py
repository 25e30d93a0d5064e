"""The declared features of predictions: many rows of one table in one block of bytes.

A feature is written with every prediction and read by few questions, so a transaction writes the
features of its predictions that have the same names as rows of `feature_blocks` of some kilobytes:
their row ids, and their features as batches hold them. A row a prediction would cost the store more
than the prediction itself; a row a transaction would be written anew with every checkpoint, for
those write the last `ROW_GROUP_ROWS` rows of a table once more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Int64, PredictionBatch, Texts, object_column
from inferspan_collector.decode import feature_rows
from inferspan_collector.store import grouping
from inferspan_collector.store.dictionary import Dictionary
from inferspan_collector.store.staging import Columns, Predictions, insert

BLOCK_BYTES: Final = 3840
"""Of features in a block, or one prediction's. With less, DuckDB takes more rows, and
rows are what it takes its time for; with more, checkpoints write more anew, and from 4,096 on it
keeps each value in blocks of its own."""
_INSERT: Final = "INSERT INTO feature_blocks VALUES (?, ?, ?, ?, ?, ?, ?)"
_SETS: Final = """
SELECT set_id, names, category_names FROM feature_sets
WHERE set_id IN (SELECT unnest($sets::INTEGER[]))
"""
_OF_ROWS: Final = """
SELECT b.set_id, b.first_row, b.last_row, b.rows, b.features
FROM feature_blocks AS b
JOIN feature_sets AS s ON s.set_id = b.set_id AND s.model = $model
WHERE b.last_row >= $first AND b.first_row <= $last
    AND b.last_time >= $since AND b.first_time <= $until
ORDER BY b.first_row
"""
_HOLDING: Final = """
SELECT b.rowid, s.names, s.category_names, b.*
FROM feature_blocks AS b
JOIN feature_sets AS s ON s.set_id = b.set_id
WHERE EXISTS (FROM leaving AS l WHERE l.row_id BETWEEN b.first_row AND b.last_row)
"""
# As `forgetting` does, every column gets another value: of what is only deleted blocks keep all.
_OVERWRITE: Final = """
UPDATE feature_blocks
SET first_row = -1, last_row = -1, first_time = -1, last_time = -1, set_id = -1,
    rows = '\\x2D'::BLOB, features = '\\x2D'::BLOB
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


def write(
    cursor: duckdb.DuckDBPyConnection, known: Predictions, new: Bool, sets: Dictionary
) -> None:
    """Write the features of rows chosen by mask, inside the open transaction."""
    batch = known.batch
    if not batch.feature_names.values and not batch.category_names.values:
        return
    named = new & ((batch.feature_names.codes >= 0) | (batch.category_names.codes >= 0))
    if not named.any():
        return
    rows = np.flatnonzero(named)
    columns = (batch.model, batch.feature_names, batch.category_names)
    group, first = grouping.groups([column.codes[rows] for column in columns])
    numbers = sets.numbers(
        [tuple(column.text(row) for column in columns) for row in rows[first].tolist()]
    )
    ends = np.cumsum(np.bincount(group))[:-1]
    alike = np.split(rows[np.argsort(group, kind="stable")], ends) if len(first) > 1 else [rows]
    blocks = [
        _blocks(batch, known.rows, some, number)
        for some, number in zip(alike, numbers, strict=True)
    ]
    # At once: a statement for each takes a millisecond, and names may be as many as rows.
    insert(cursor, "feature_blocks", blocks[0] if len(blocks) == 1 else _joined(blocks))


def _joined(blocks: Sequence[dict[str, NDArray[Any]]]) -> Columns:
    """The blocks of several sets."""
    columns: Columns = {
        name: np.concatenate([some[name] for some in blocks])
        for name in blocks[0]
        if name != "rows"
    }
    if any("rows" in some for some in blocks):
        columns["rows"] = np.concatenate(
            [
                some["rows"] if "rows" in some else object_column([b""] * len(some["set_id"]))
                for some in blocks
            ]
        )
    return columns


def _blocks(
    batch: PredictionBatch, row_ids: Int64, rows: Int64, number: int
) -> dict[str, NDArray[Any]]:
    """The blocks of rows that name the same features, whose set has this number."""
    ids, times = row_ids[rows], batch.event_time[rows]
    content, ends = _entries(batch.features, rows)
    lasts = np.append(np.flatnonzero(np.diff(ends // BLOCK_BYTES)), len(rows) - 1)
    firsts = np.append(0, lasts[:-1] + 1)
    follow = ids[lasts] - ids[firsts] == lasts - firsts
    columns: dict[str, NDArray[Any]] = {
        "first_row": ids[firsts],
        "last_row": ids[lasts],
        "first_time": np.minimum.reduceat(times, firsts),
        "last_time": np.maximum.reduceat(times, firsts),
        "set_id": np.full(len(firsts), number, np.int32),
        "features": object_column(
            bytes(content[begin:end]) for begin, end in pairwise([0, *ends[lasts].tolist()])
        ),
    }
    # What is left out costs DuckDB nothing; entries of Python it reads one by one.
    if not follow.all():
        ranges = zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)
        columns["rows"] = object_column(
            b"" if runs_on else _as_bytes(ids[first:end])
            for runs_on, (first, end) in zip(follow.tolist(), ranges, strict=True)
        )
    return columns


def _entries(column: Texts, rows: Int64) -> tuple[bytes | memoryview, Int64]:
    """The entries of some rows, one behind the other, and where each ends."""
    # Rows follow each other, but for retries: whole runs are taken, a byte at a time costs 3 µs a
    # row.
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    firsts, lasts = rows[np.append(0, breaks)], rows[np.append(breaks - 1, len(rows) - 1)]
    begins, ends = column.offsets[firsts].tolist(), column.offsets[lasts + 1].tolist()
    runs = [column.data[begin:end].data for begin, end in zip(begins, ends, strict=True)]
    content = runs[0] if len(runs) == 1 else b"".join(runs)
    return content, np.cumsum(column.lengths()[rows])


def _as_bytes(numbers: Int64) -> bytes:
    return numbers.astype("<i8").tobytes()


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
    alike: dict[int, list[Any]] = {}
    for number, *block in cursor.execute(_OF_ROWS, asked).fetchall():
        alike.setdefault(number, []).append(block)
    names = {
        number: [_names(text) for text in texts]
        for number, *texts in cursor.execute(_SETS, {"sets": list(alike)}).fetchall()
    }
    for number, blocks in alike.items():
        firsts, lasts, rows, contents = zip(*blocks, strict=True)
        ids = np.concatenate(list(map(_ids, firsts, lasts, rows)))
        places = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
        wanted = np.flatnonzero(ordered[places] == ids)
        if len(wanted):
            _add(found, names[number], (contents, ids), wanted, order[places[wanted]], len(row_ids))
    return found


def _names(text: str | None) -> list[str]:
    return json.loads(text) if text is not None else []


def _ids(first: int, last: int, rows: bytes | None) -> Int64:
    """The row ids of a block."""
    return np.frombuffer(rows, "<i8") if rows else np.arange(first, last + 1)


def _add(
    found: Features,
    names: Sequence[Sequence[str]],
    blocks: tuple[Sequence[bytes], Int64],
    wanted: Int64,
    target: Int64,
    total: int,
) -> None:
    """Take over the wanted rows of blocks with these names, each to its target."""
    contents, ids = blocks
    numbers, texts = names
    rows = feature_rows.read(contents, len(ids), len(numbers), len(texts))
    for place, name in enumerate(numbers):
        if name not in found.numbers:
            found.numbers[name] = np.full(total, np.nan)
        found.numbers[name][target] = rows.numbers[wanted, place]
    known = _Decoded()
    for place, name in enumerate(texts):
        if name not in found.texts:
            found.texts[name] = np.full(total, None, np.object_)
        begins, ends = rows.begins[wanted, place].tolist(), rows.ends[wanted, place].tolist()
        entries = [known[rows.content[begin:end]] for begin, end in zip(begins, ends, strict=True)]
        found.texts[name][target] = entries


class _Decoded(dict[bytes, str | None]):
    """Texts by their UTF-8, None by none: few are distinct."""

    def __missing__(self, content: bytes) -> str | None:
        text = self[content] = content.decode() or None
        return text


def forget(cursor: duckdb.DuckDBPyConnection) -> None:
    """Take the rows of `leaving` (TEMP: row_id) out of their blocks, and overwrite these."""
    leaving = {row for (row,) in cursor.execute("SELECT row_id FROM leaving").fetchall()}
    if not leaving:
        return
    for rowid, names, category_names, *block in cursor.execute(_HOLDING).fetchall():
        ids = _ids(block[0], block[1], block[5])
        kept = np.array([row not in leaving for row in ids.tolist()], np.bool_)
        if kept.all():
            continue
        cursor.execute(_OVERWRITE, [rowid])
        if kept.any():
            counts = len(ids), len(_names(names)), len(_names(category_names))
            ends = feature_rows.read([block[6]], *counts).row_ends.tolist()
            rows = [
                block[6][begin:end]
                for (begin, end), stays in zip(pairwise([0, *ends]), kept.tolist(), strict=True)
                if stays
            ]
            left = ids[kept]
            cursor.execute(
                _INSERT,
                [int(left[0]), int(left[-1]), *block[2:5], _as_bytes(left), b"".join(rows)],
            )
    cursor.execute("DELETE FROM feature_blocks WHERE first_row < 0")
