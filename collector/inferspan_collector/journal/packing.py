"""Batches as bytes and back, column by column; what repeats in all rows is written once.

Bytes mean what the columns say that stand in the head of their file (`COLUMNS`): a batch of a later
version, with more columns, reads what an earlier one wrote.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from inferspan_collector.batches import LabelBatch, PredictionBatch, StageBatch, Strings, Texts
from inferspan_collector.decode import feature_rows

_SLICES: Final = "slices"
_U32: Final = struct.Struct("<I")
_NONE: Final = _U32.pack(0)
_RAW, _CONSTANT = b"\0", b"\1"
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "Int8": np.dtype(np.int8),
    "Int32": np.dtype(np.int32),
    "Int64": np.dtype(np.int64),
    "UInt64": np.dtype(np.uint64),
    "Float64": np.dtype(np.float64),
    "Bool": np.dtype(np.bool_),
}
"""In the order of this machine's bytes: a journal is not carried to another kind."""
_PAIRS: Final = ("trace", "link_trace")
"""Columns of two numbers a row."""
_NARROW: Final = ((np.uint8, 0xFF), (np.uint16, 0xFFFF), (np.int32, -1))
"""What codes of a dictionary are written as, and what is -1 there."""

Buffer = bytes | memoryview
Columns = Sequence[tuple[str, str]]
"""Names and types of a batch's columns, as `batches` spells them, in order."""


class UnknownColumns(ValueError):
    """Rows have columns that this collector does not know: a newer one wrote them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the bytes of a file mean."""

    predictions: Columns
    labels: Columns
    stages: Columns = ()
    """None in files of before there were any."""

    def text(self) -> str:
        """As a head says it."""
        return json.dumps({kind: getattr(self, kind) for kind in _KINDS})

    @classmethod
    def of(cls, text: str) -> Layout:
        """Read what a head says.

        Raises:
            UnknownColumns: it names columns that rows here do not have.
        """
        said = json.loads(text)
        layout = cls(*([(str(n), str(t)) for n, t in said.get(kind, ())] for kind in _KINDS))
        for kind in _KINDS:
            unknown = set(getattr(layout, kind)) - set(getattr(CURRENT, kind)) - _FORMER
            if names := sorted({name for name, _ in unknown}):
                raise UnknownColumns(f"columns {', '.join(names)} are not known here")
        return layout


_KINDS: Final = ("predictions", "labels", "stages")
_NUMBERS, _TEXTS = "feature_values", "category_values"
_FORMER: Final = {(_NUMBERS, "Texts"), (_TEXTS, "Texts")}
"""Columns of features as they came, before they were rows of `decode.feature_rows`."""


def _columns(batch: type) -> Columns:
    return [(each.name, str(each.type)) for each in fields(batch) if each.name != _SLICES]


CURRENT: Final = Layout(_columns(PredictionBatch), _columns(LabelBatch), _columns(StageBatch))
"""What this collector writes."""


Batches = tuple[PredictionBatch, LabelBatch, StageBatch]


def packed(
    predictions: PredictionBatch,
    labels: LabelBatch,
    stages: StageBatch,
    layout: Layout = CURRENT,
) -> bytes:
    """Batches as bytes; some 120 bytes a prediction."""
    parts: list[Buffer] = []
    _pack(parts, predictions, layout.predictions)
    if len(predictions):
        parts.append(_U32.pack(len(predictions.slices)))
        for key, column in predictions.slices.items():
            _pack_bytes(parts, key.encode())
            _pack_strings(parts, column)
    _pack(parts, labels, layout.labels)
    if layout.stages:
        _pack(parts, stages, layout.stages)
    return b"".join(parts)


def unpacked(content: bytes, layout: Layout) -> Batches:
    """What `packed` was given, in a layout that may be an older one.

    Columns that it lacks are absent in all rows.

    Raises:
        ValueError: the bytes are not of this layout.
    """
    source = _Source(content)
    columns, rows = _unpack(source, layout.predictions, CURRENT.predictions)
    predictions = PredictionBatch.empty()
    if rows:
        slices = {
            source.bytes(source.number()).decode(): _strings(source, rows)
            for _ in range(source.number())
        }
        predictions = PredictionBatch(**columns, slices=slices)
    columns, rows = _unpack(source, layout.labels, CURRENT.labels)
    labels = LabelBatch(**columns) if rows else LabelBatch.empty()
    stages = StageBatch.empty()
    if layout.stages:
        columns, rows = _unpack(source, layout.stages, CURRENT.stages)
        stages = StageBatch(**columns) if rows else stages
    source.end()
    return predictions, labels, stages


def _pack(parts: list[Buffer], batch: Any, columns: Columns) -> None:
    parts.append(_U32.pack(len(batch)))
    if not len(batch):
        return
    for name, kind in columns:
        column = getattr(batch, name)
        if kind == "Strings":
            _pack_strings(parts, column)
        elif kind == "Texts":
            _pack_texts(parts, column)
        elif name in _PAIRS:
            parts.append(_view(_as(column, kind)))
        else:
            _pack_numbers(parts, _as(column, kind))


def _as(column: NDArray[Any], kind: str) -> NDArray[Any]:
    wanted = _DTYPES[kind]
    # Asking a type whether it is another costs more than to pack a column.
    return column if column.dtype is wanted else column.astype(wanted)


def _pack_numbers(parts: list[Buffer], column: NDArray[Any]) -> None:
    # As bytes: what is not a number is equal to itself, and -0.0 is not 0.0.
    one = column[:1].tobytes()
    # Few columns that are not constant end as they begin.
    if column[-1:].tobytes() == one and column.tobytes() == one * len(column):
        parts += (_CONSTANT, one)
    else:
        parts += (_RAW, _view(column))


def _view(column: NDArray[Any]) -> memoryview:
    """A column's bytes, not copied where they lie one behind the other."""
    return np.ascontiguousarray(column).data.cast("B")


def _pack_bytes(parts: list[Buffer], content: Buffer) -> None:
    parts += (_U32.pack(len(content)), content)


def _pack_strings(parts: list[Buffer], column: Strings) -> None:
    encoded = [value.encode() for value in column.values]
    parts.append(_U32.pack(len(encoded)))
    for one in encoded:
        _pack_bytes(parts, one)
    _pack_numbers(parts, column.codes.astype(_code_type(len(encoded))[0]))


def _code_type(values: int) -> tuple[type[np.integer[Any]], int]:
    """The narrowest type for codes of so many values, with what absent is in it."""
    return next(each for each in _NARROW if each[1] < 0 or values < each[1])


def _pack_texts(parts: list[Buffer], column: Texts) -> None:
    if not len(column.data):
        parts += (_CONSTANT, _NONE, _NONE)
        return
    _pack_numbers(parts, column.lengths().astype(np.uint32))
    _pack_bytes(parts, _view(column.data))


class _Source:
    """Bytes, read from the front."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def bytes(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._content):
            raise ValueError("rows end before their columns do")
        return self._content[self._at - size : self._at]

    def end(self) -> None:
        """Raise ValueError where something is left."""
        if self._at < len(self._content):
            raise ValueError("something follows the last column of rows")

    def number(self) -> int:
        return int(_U32.unpack(self.bytes(_U32.size))[0])

    def numbers(self, dtype: DTypeLike, rows: int) -> NDArray[Any]:
        constant = self.bytes(1) == _CONSTANT
        size = np.dtype(dtype).itemsize * (1 if constant else rows)
        found = np.frombuffer(self.bytes(size), dtype)
        # A copy in any case: compiled code is made for arrays that are aligned and may be written.
        return np.repeat(found, rows) if constant else found.copy()


def _unpack(source: _Source, stored: Columns, wanted: Columns) -> tuple[dict[str, Any], int]:
    rows = source.number()
    if not rows:
        return {}, 0
    found = {name: _column(source, name, kind, rows) for name, kind in stored}
    if _NUMBERS in found:
        found["features"] = feature_rows.written(found[_NUMBERS], found[_TEXTS])
    return {
        name: found[name] if name in found else _absent(name, kind, rows) for name, kind in wanted
    }, rows


def _column(source: _Source, name: str, kind: str, rows: int) -> Any:
    if kind == "Strings":
        return _strings(source, rows)
    if kind == "Texts":
        offsets = np.zeros(rows + 1, np.int64)
        np.cumsum(source.numbers(np.uint32, rows), out=offsets[1:])
        return Texts(np.frombuffer(source.bytes(source.number()), np.uint8).copy(), offsets)
    if name in _PAIRS:
        size = 2 * rows * _DTYPES[kind].itemsize
        return np.frombuffer(source.bytes(size), _DTYPES[kind]).reshape(rows, 2).copy()
    return source.numbers(_DTYPES[kind], rows)


def _strings(source: _Source, rows: int) -> Strings:
    values = tuple(source.bytes(source.number()).decode() for _ in range(source.number()))
    dtype, absent = _code_type(len(values))
    codes = source.numbers(dtype, rows).astype(np.int32)
    codes[codes == absent] = -1
    return Strings(codes, values)


def _absent(name: str, kind: str, rows: int) -> Any:
    if kind == "Strings":
        return Strings.constant(None, rows)
    if kind == "Texts":
        return Texts.constant(None, rows)
    shape = (rows, 2) if name in _PAIRS else (rows,)
    return np.full(shape, np.nan if kind == "Float64" else 0, _DTYPES[kind])
