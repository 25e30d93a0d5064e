"""The declared features of predictions: many rows of one table in one block of bytes.

A feature is written with every prediction and read by few questions, so a transaction writes the
features of its predictions that have the same names as rows of `feature_blocks` of some kilobytes:
their row ids, and their values as they came. A row a prediction would cost the store more than the
prediction itself; a row a transaction would be written anew with every checkpoint, for those write
the last `ROW_GROUP_ROWS` rows of a table once more.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Int64, Objects, PredictionBatch, Texts
from inferspan_collector.feature_texts import array_texts
from inferspan_collector.store import grouping
from inferspan_collector.store.staging import Columns, Predictions, insert

BLOCK_BYTES: Final = 3840
"""Of numbers in a block, and of texts, or one prediction's. With less, DuckDB takes more rows, and
rows are what it takes its time for; with more, checkpoints write more anew, and from 4,096 on it
keeps each value in blocks of its own."""
_INSERT: Final = "INSERT INTO feature_blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OF_ROWS: Final = """
SELECT names, category_names, first_row, last_row, rows, numbers, text_ends, texts
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
    if not batch.feature_names.values and not batch.category_names.values:
        return
    named = new & ((batch.feature_names.codes >= 0) | (batch.category_names.codes >= 0))
    if not named.any():
        return
    rows = np.flatnonzero(named)
    codes = (batch.model.codes, batch.feature_names.codes, batch.category_names.codes)
    group, first = grouping.groups([column[rows] for column in codes])
    for each in range(len(first)):
        alike = rows if len(first) == 1 else rows[group == each]
        insert(cursor, "feature_blocks", _blocks(batch, known.rows, alike))


def _blocks(batch: PredictionBatch, row_ids: Int64, rows: Int64) -> Columns:
    """The blocks of rows that name the same features."""
    ids, times = row_ids[rows], batch.event_time[rows]
    number_ends = np.cumsum(batch.feature_values.lengths()[rows])
    text_ends = np.cumsum(batch.category_values.lengths()[rows])
    full = number_ends // BLOCK_BYTES + text_ends // BLOCK_BYTES
    lasts = np.append(np.flatnonzero(np.diff(full)), len(rows) - 1)
    firsts = np.append(0, lasts[:-1] + 1)
    follow = ids[lasts] - ids[firsts] == lasts - firsts
    texts_before = np.append(0, text_ends[lasts[:-1]])
    has_texts = batch.category_names.codes[rows[0]] >= 0
    one, blocks = int(rows[0]), len(firsts)
    ranges = list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))
    return {
        "first_row": ids[firsts],
        "last_row": ids[lasts],
        "first_time": np.minimum.reduceat(times, firsts),
        "last_time": np.maximum.reduceat(times, firsts),
        "model": np.full(blocks, batch.model.text(one), np.object_),
        "names": np.full(blocks, batch.feature_names.text(one), np.object_),
        "category_names": np.full(blocks, batch.category_names.text(one), np.object_),
        "rows": _column(
            b"" if runs_on else _as_bytes(ids[first:end])
            for runs_on, (first, end) in zip(follow.tolist(), ranges, strict=True)
        ),
        "numbers": _cut(_bytes_of(batch.feature_values, rows), number_ends[lasts]),
        "text_ends": _column(
            _as_bytes(text_ends[first:end] - before) if has_texts else b""
            for before, (first, end) in zip(texts_before.tolist(), ranges, strict=True)
        ),
        "texts": _cut(_bytes_of(batch.category_values, rows), text_ends[lasts]),
    }


def _bytes_of(column: Texts, rows: Int64) -> bytes:
    """The entries of some rows, one behind the other."""
    if not len(column.data):
        return b""
    # Rows follow each other, but for retries: whole runs are taken, a byte at a time costs 3 µs a
    # row.
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    firsts, lasts = rows[np.append(0, breaks)], rows[np.append(breaks - 1, len(rows) - 1)]
    begins, ends = column.offsets[firsts].tolist(), column.offsets[lasts + 1].tolist()
    return b"".join(column.data[begin:end].data for begin, end in zip(begins, ends, strict=True))


def _cut(content: bytes, ends: Int64) -> Objects:
    """Parts of content, by where each ends."""
    return _column(content[begin:end] for begin, end in pairwise([0, *ends.tolist()]))


def _column(entries: Iterable[bytes]) -> Objects:
    listed = list(entries)
    column = np.empty(len(listed), np.object_)
    column[:] = listed
    return column


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
    alike: dict[tuple[str | None, str | None], list[Any]] = {}
    for names, category_names, *block in cursor.execute(_OF_ROWS, asked).fetchall():
        alike.setdefault((names, category_names), []).append(block)
    for (names, category_names), blocks in alike.items():
        firsts, lasts, rows, numbers, text_ends, texts = zip(*blocks, strict=True)
        ids = np.concatenate(list(map(_ids, firsts, lasts, rows)))
        places = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
        wanted = np.flatnonzero(ordered[places] == ids)
        if len(wanted):
            target = order[places[wanted]]
            content = b"".join(numbers)
            _add_numbers(found, names, content, wanted, target, len(ids), len(row_ids))
            if category_names is not None:
                parts = _joined(text_ends, texts)
                _add_texts(found, category_names, *parts, wanted, target, len(row_ids))
    return found


def _ids(first: int, last: int, rows: bytes) -> Int64:
    """The row ids of a block."""
    return np.frombuffer(rows, "<i8") if rows else np.arange(first, last + 1)


def _joined(text_ends: Sequence[bytes], texts: Sequence[bytes]) -> tuple[Int64, bytes]:
    """The texts of blocks as those of one: where each row's begins and the last ends, and all."""
    sizes = [len(ends) // 8 for ends in text_ends]
    before = np.cumsum([0, *map(len, texts[:-1])])
    ends = np.frombuffer(b"".join(text_ends), "<i8") + np.repeat(before, sizes)
    return np.append(0, ends), b"".join(texts)


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
    names: str,
    offsets: Int64,
    content: bytes,
    wanted: Int64,
    target: Int64,
    total: int,
) -> None:
    if not content:
        return
    columns = []
    for name in json.loads(names):
        if name not in found.texts:
            found.texts[name] = np.full(total, None, np.object_)
        columns.append(found.texts[name])
    begins, ends = offsets[wanted].tolist(), offsets[wanted + 1].tolist()
    for begin, end, place in zip(begins, ends, target.tolist(), strict=True):
        for column, text in zip(columns, array_texts(content[begin:end]), strict=False):
            column[place] = text


def forget(cursor: duckdb.DuckDBPyConnection) -> None:
    """Take the rows of `leaving` (TEMP: row_id) out of their blocks, and overwrite these."""
    leaving = {row for (row,) in cursor.execute("SELECT row_id FROM leaving").fetchall()}
    if not leaving:
        return
    for rowid, *block in cursor.execute(_HOLDING).fetchall():
        ids = _ids(block[0], block[1], block[7])
        kept = np.array([row not in leaving for row in ids.tolist()], np.bool_)
        if kept.all():
            continue
        cursor.execute(_OVERWRITE, [rowid])
        if kept.any():
            cursor.execute(_INSERT, _without(block, ids, kept))
    cursor.execute("DELETE FROM feature_blocks WHERE first_row < 0")


def _without(block: Sequence[Any], ids: Int64, kept: Bool) -> list[Any]:
    numbers = np.frombuffer(block[8], np.uint8).reshape(len(ids), -1)[kept]
    offsets = [0, *np.frombuffer(block[9], "<i8").tolist()]
    texts = [
        block[10][begin:end]
        for (begin, end), stays in zip(pairwise(offsets), kept.tolist(), strict=False)
        if stays
    ]
    left = ids[kept]
    return [
        int(left[0]),
        int(left[-1]),
        *block[2:7],
        _as_bytes(left),
        numbers.tobytes(),
        _as_bytes(np.cumsum([len(text) for text in texts], dtype=np.int64)),
        b"".join(texts),
    ]
