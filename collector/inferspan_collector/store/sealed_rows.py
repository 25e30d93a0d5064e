"""Where in the file the rows of older ids are: what has left memory is found without a scan.

A scan of the key columns costs 15 ns a row of the file, for one id as for thousands; the rows
themselves are read in a millisecond once their numbers are known. So every `segment` rows of a
table the hashes of their ids are sorted into a segment (`compiled.sealed`), 8.25 bytes a row, in a
file of its own without a name: it ends with the process, whatever ends that, and the next start
makes it anew. Its pages are the system's to keep or to drop.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Int64, UInt64
from inferspan_collector.store.compiled import sealed
from inferspan_collector.store.nearby import NO_ROWS, Older, Since

SEGMENT_ROWS: Final = 125_000
"""Sealed in some 6 ms; of what is not sealed yet that much is scanned, in 2 ms."""
_GATHERED: Final = 8
"""So many segments of a size become one, for a question asks each of them."""
_GATHERED_ROWS_MAX: Final = 1_000_000
"""Of one segment: 8 MB, made in some 90 ms. On one core answers wait for that, too."""
_CHUNK: Final = 500_000
"""Rows read at once."""
_PER_BUCKET: Final = 16
_TOUCHED_MAX: Final = 4_000
"""Questions after which pages are handed back: each touches two, 8 KiB, at most."""
_KEYS: Final = """
SELECT row_id, key_high, key_low FROM {table}
WHERE row_id >= ? AND row_id < ? AND (key_high <> 0 OR key_low <> 0)
"""

_FIRST: Final = "SELECT min(row_id) FROM {table} WHERE row_id >= ? AND row_id < ?"

NO_HASHES: Final = np.empty(0, np.uint64)

Hash = Callable[[UInt64, UInt64], UInt64]


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """Rows from `first` on and before `end`; the arrays lie in `pages`, where that is a file's."""

    first: int
    end: int
    bits: int
    starts: NDArray[np.uint32]
    tags: NDArray[np.uint32]
    rows: NDArray[np.uint32]
    pages: mmap.mmap | None

    @property
    def _level(self) -> int:
        """Its size: a level is up to `_GATHERED` times the one before."""
        return (self.end - self.first).bit_length() // (_GATHERED.bit_length() - 1)

    def may_lead(self, segments: Sequence[_Segment]) -> bool:
        """Whether it and those after it become one: as many as do, not too large, and one of them
        not much smaller, so that no row is gathered often.
        """
        rows = segments[-1].end - self.first
        return (
            len(segments) == _GATHERED
            and rows <= _GATHERED_ROWS_MAX
            and self._level <= max(segment._level for segment in segments[1:])
        )

    def hand_back(self) -> None:
        """Let the pages not count as ours; they stay cached."""
        if self.pages is not None:
            self.pages.madvise(mmap.MADV_DONTNEED)


class _Table:
    """The segments of one table."""

    def __init__(self, name: str, directory: Path | None) -> None:
        self.name = name
        self.until = 0
        self.lost = False
        """Whether some rows are found no more, for they were erased before they were gathered."""
        self._directory = directory
        self._segments: list[_Segment] = []
        self._questions = 0

    def begin(self, cursor: duckdb.DuckDBPyConnection, end: int) -> None:
        """Begin with the first row that is left, once there is one before `end`."""
        if self.until == 0:
            ((first,),) = cursor.execute(_FIRST.format(table=self.name), [0, end]).fetchall()
            self.until = end if first is None else first

    def seal(self, cursor: duckdb.DuckDBPyConnection, hashed: Hash, end: int) -> None:
        """Let the rows before `end` be found, too.

        Raises:
            OSError: no room; what was found is found still.
        """
        self._segments.append(self._made(cursor, hashed, self.until, end))
        self.until = end
        while (gathered := self._segments[-_GATHERED:])[0].may_lead(gathered):
            one = self._made(cursor, hashed, gathered[0].first, end)
            self.lost |= len(one.rows) < sum(len(segment.rows) for segment in gathered)
            self._segments[-_GATHERED:] = [one]

    def _made(
        self, cursor: duckdb.DuckDBPyConnection, hashed: Hash, first: int, end: int
    ) -> _Segment:
        hashes, behind = [NO_HASHES], [NO_HASHES.astype(np.uint32)]
        for start in range(first, end, _CHUNK):
            columns = cursor.execute(
                _KEYS.format(table=self.name), [start, min(end, start + _CHUNK)]
            ).fetchnumpy()
            hashes.append(hashed(columns["key_high"], columns["key_low"]))
            behind.append((columns["row_id"] - first).astype(np.uint32))
        every = np.concatenate(hashes)
        bits = max(1, (len(every) // _PER_BUCKET).bit_length())
        arrays = sealed.sealed(every, np.concatenate(behind), bits)
        (starts, tags, rows), pages = self._kept(arrays)
        return _Segment(first, end, bits, starts, tags, rows, pages)

    def _kept(self, arrays: Any) -> tuple[Any, mmap.mmap | None]:
        if self._directory is None:
            # As those of a file are, for which the compiled code is.
            for array in arrays:
                array.setflags(write=False)
            return arrays, None
        with tempfile.TemporaryFile(dir=self._directory) as file:
            for array in arrays:
                file.write(array)
            file.flush()
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        ends = np.cumsum([len(array) for array in arrays])[:-1]
        return np.split(np.frombuffer(pages, np.uint32), ends), pages

    def find(self, wanted: UInt64) -> tuple[Int64, Int64]:
        """Which hash has which row: places in `wanted`, and row ids; either may come twice."""
        places, rows = [NO_ROWS], [NO_ROWS]
        for segment in self._segments:
            found, behind = sealed.found(
                segment.starts, segment.tags, segment.rows, segment.bits, wanted
            )
            if len(found):
                places.append(found)
                rows.append(segment.first + behind.astype(np.int64))
        self._questions += len(wanted) * len(self._segments)
        if self._questions > _TOUCHED_MAX:
            self._questions = 0
            for segment in self._segments:
                segment.hand_back()
        return np.concatenate(places), np.concatenate(rows)

    def drop(self, cursor: duckdb.DuckDBPyConnection, erased: int) -> None:
        """Forget segments of which nothing is left."""
        if not self._segments or self._segments[0].end > erased + 1:
            return
        ((first,),) = cursor.execute(_FIRST.format(table=self.name), [0, erased + 1]).fetchall()
        begin = erased + 1 if first is None else first
        self._segments = [segment for segment in self._segments if segment.end > begin]


class SealedRows:
    """The segments of predictions and labels.

    Args:
        directory: where the files go; None keeps all in memory.
        segment: rows of one segment, at most.
        hashed: gives 64 bits of each id.
    """

    def __init__(self, directory: Path | None, segment: int, hashed: Hash) -> None:
        self._segment = segment
        self._hashed = hashed
        self._predictions = _Table("predictions", directory)
        self._labels = _Table("labels", directory)

    @property
    def until(self) -> Since:
        """Rows before these are found; those after them have to be looked for."""
        return Since(self._predictions.until, self._labels.until)

    def due(self, newest: Since) -> bool:
        """Whether a whole segment waits before these rows."""
        return any(end - table.until >= self._segment for table, end in self._ends(newest))

    def seal_some(
        self, cursor: duckdb.DuckDBPyConnection, newest: Since, *, all_rows: bool = False
    ) -> None:
        """Seal one segment of each table that has one waiting; with `all_rows` a short one, too.

        Raises:
            duckdb.Error, OSError: they wait on.
        """
        for table, end in self._ends(newest):
            table.begin(cursor, end)
            if end - table.until >= (1 if all_rows else self._segment):
                table.seal(cursor, self._hashed, min(end, table.until + self._segment))

    def seal(self, cursor: duckdb.DuckDBPyConnection, newest: Since) -> None:
        """Seal all rows before these.

        Raises:
            duckdb.Error, OSError: not all of them are sealed.
        """
        for table, end in self._ends(newest):
            table.begin(cursor, end)
            while table.until < end:
                table.seal(cursor, self._hashed, min(end, table.until + _GATHERED_ROWS_MAX))

    def take_lost(self) -> bool:
        """Whether some rows are found no more since this was asked, for they were erased."""
        tables = self._predictions, self._labels
        lost = any(table.lost for table in tables)
        for table in tables:
            table.lost = False
        return lost

    def _ends(self, newest: Since) -> tuple[tuple[_Table, int], ...]:
        return (self._predictions, newest.prediction), (self._labels, newest.label)

    def find(self, high: UInt64, low: UInt64) -> tuple[Bool, Older]:
        """Which of these ids have sealed rows, bool[N], and those rows."""
        wanted, place = np.unique(self._hashed(high, low), return_inverse=True)
        has = np.zeros(len(wanted), np.bool_)
        rows = []
        for table in (self._predictions, self._labels):
            places, found = table.find(wanted)
            has[places] = True
            rows.append(found)
        return has[place], Older(*rows)

    def drop(self, cursor: duckdb.DuckDBPyConnection, erased: Since) -> None:
        """Forget segments of which nothing is left, now that some rows up to these are erased."""
        for table, last in self._ends(erased):
            table.drop(cursor, last)
