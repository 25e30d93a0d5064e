"""Columns of texts in batches: coded where few are distinct, else their bytes behind each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
Objects = NDArray[np.object_]


def object_column(entries: Iterable[object]) -> Objects:
    """An array of objects, one an entry: numpy itself would make sequences into dimensions."""
    listed = list(entries)
    column = np.empty(len(listed), np.object_)
    column[:] = listed
    return column


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """A dictionary-encoded text column: `codes[i]` indexes `values`, -1 = absent.

    For texts with few distinct values (model, class, slice); ids are `Texts`.
    """

    codes: Int32
    values: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Self:
        """Encode texts, in order of first appearance; None is absent."""
        seen: dict[str, int] = {}
        codes = [-1 if text is None else seen.setdefault(text, len(seen)) for text in texts]
        return cls(np.array(codes, dtype=np.int32), tuple(seen))

    @classmethod
    def constant(cls, text: str | None, rows: int) -> Self:
        """A column that says the same in every row."""
        if text is None:
            return cls(np.full(rows, -1, dtype=np.int32), ())
        return cls(np.zeros(rows, dtype=np.int32), (text,))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stack columns, merging their dictionaries."""
        if not parts:
            return cls.of([])
        first = parts[0].values
        if all(part.values == first for part in parts):
            if not first:
                return cls.constant(None, sum(map(len, parts)))
            return cls(np.concatenate([part.codes for part in parts]), first)
        seen: dict[str, int] = {}
        codes = []
        for part in parts:
            merged = [seen.setdefault(value, len(seen)) for value in part.values]
            if merged == list(range(len(merged))):
                codes.append(part.codes)
            else:
                # The extra last entry makes code -1 map to itself.
                codes.append(np.array([*merged, -1], dtype=np.int32)[part.codes])
        return cls(np.concatenate(codes), tuple(seen))

    def objects(self) -> Objects:
        """Decode to an object array of str and None."""
        table = np.empty(len(self.values) + 1, dtype=np.object_)
        table[:-1] = self.values
        return table[self.codes]

    def text(self, row: int) -> str | None:
        """The text of one row."""
        code = self.codes[row]
        return None if code < 0 else self.values[code]

    def take(self, rows: NDArray[Any]) -> Strings:
        """Select rows by index or mask."""
        return Strings(self.codes[rows], self.values)

    def map(self, texts: Mapping[str, str]) -> Strings:
        """Replace texts by others; what the mapping does not name stays."""
        return Strings.of(
            None if text is None else texts.get(text, text) for text in self.objects()
        )

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A text column of N rows with few repetitions: its UTF-8, one entry behind the other.

    Entry i is `data[offsets[i]:offsets[i + 1]]`; `offsets` is int64[N + 1] and rises from 0 to the
    length of `data`. An entry without bytes is absent: no id is the empty text.
    """

    data: UInt8
    offsets: Int64

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Self:
        """Write texts one behind the other; None and the empty text are absent."""
        encoded = [b"" if text is None else text.encode() for text in texts]
        return cls._stacked(np.frombuffer(b"".join(encoded), np.uint8), list(map(len, encoded)))

    @classmethod
    def of_bytes(cls, entries: Sequence[bytes]) -> Self:
        """Entries that are no texts, one behind the other; one without bytes is absent."""
        return cls._stacked(np.frombuffer(b"".join(entries), np.uint8), list(map(len, entries)))

    @classmethod
    def constant(cls, text: str | None, rows: int) -> Self:
        """A column that says the same in every row."""
        if not text:
            return cls(np.empty(0, np.uint8), np.zeros(rows + 1, np.int64))
        one = np.frombuffer(text.encode(), np.uint8)
        return cls._stacked(np.tile(one, rows), np.full(rows, len(one), np.int64))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stack columns."""
        if not parts:
            return cls.of([])
        offsets = np.zeros(1 + sum(map(len, parts)), np.int64)
        if not any(len(part.data) for part in parts):
            return cls(parts[0].data, offsets)
        rows = size = 0
        for part in parts:
            end = rows + len(part)
            np.add(part.offsets[1:], size, out=offsets[rows + 1 : end + 1])
            rows, size = end, size + len(part.data)
        return cls(np.concatenate([part.data for part in parts]), offsets)

    @classmethod
    def _stacked(cls, data: UInt8, lengths: Sequence[int] | Int64) -> Self:
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(data, offsets)

    def lengths(self) -> Int64:
        """Bytes of each entry."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[Any]) -> Texts:
        """Select rows by index or mask."""
        lengths = self.lengths()[rows]
        if not len(self.data):
            return Texts(self.data, np.zeros(len(lengths) + 1, np.int64))
        taken = Texts._stacked(self.data, lengths)
        if not taken.offsets[-1]:
            return Texts(self.data[:0], taken.offsets)
        shift = np.repeat(self.offsets[:-1][rows] - taken.offsets[:-1], lengths)
        return Texts(self.data[shift + np.arange(len(shift))], taken.offsets)

    def objects(self) -> Objects:
        """Decode to an object array of str and None."""
        raw, ends = self.data.tobytes(), self.offsets.tolist()
        # Offsets count bytes: only of ASCII they count characters as well.
        if raw.isascii():
            text = raw.decode("ascii")
            return object_column(text[start:end] or None for start, end in pairwise(ends))
        # Probabilities are no texts; whoever compares them as such gets them whole.
        return object_column(
            raw[start:end].decode("utf-8", "surrogateescape") or None
            for start, end in pairwise(ends)
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1


NO_STRINGS: Final = Strings(np.empty(0, np.int32), ())
NO_TEXTS: Final = Texts(np.empty(0, np.uint8), np.zeros(1, np.int64))
