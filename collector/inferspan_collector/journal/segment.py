"""One file of the journal: a head, then records, each with its own checksum.

    head     magic, checksum and length of a JSON text: first sequence, the sequence before, layout
    record   magic, the file's own random number, checksum, sequence, length, content

Without that number a sender could write ids that spell a record, and a torn tail bring it to life.

A process that dies while it writes leaves a torn tail, which nobody was told of. Valid records
behind something that is none are damage, and never passed over in silence.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from isal import isal_zlib  # the same sums as zlib's, forty times as fast

from inferspan_collector.journal.packing import CURRENT, Layout

SUFFIX: Final = ".journal"
_HEAD_MAGIC: Final = b"inferspan\x00J1"
_RECORD_MAGIC: Final = b"\xf1JR\x01"
_HEAD: Final = struct.Struct("<12sII")
_RECORD: Final = struct.Struct("<4s8sIQQ")
MARK_BYTES: Final = 8
"""Of a file's own number."""
_NUMBERS: Final = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Record:
    """Where a record's content lies in its file."""

    sequence: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Segment:
    """What a file holds."""

    first: int
    """The sequence that its first record has, or would have."""
    before: int
    """The last sequence that was acknowledged before the file was begun."""
    layout: Layout
    mark: bytes
    """The file's own number, which its records have."""
    store: str
    """Which store it is the journal of."""
    records: tuple[Record, ...]
    torn: int
    """Bytes behind the last valid record."""
    beyond: int
    """Valid records behind these bytes, or behind a gap: it is damaged in its middle."""

    @property
    def last(self) -> int:
        """The sequence of its last valid record; `first - 1` where it has none."""
        return self.records[-1].sequence if self.records else self.first - 1


class NoHead(ValueError):
    """The file has no whole head: it was begun when the process died, or is damaged."""


def file_name(first: int) -> str:
    """The name of the file that begins with this sequence; names sort as sequences do."""
    return f"{first:020d}{SUFFIX}"


def in_order(directory: Path) -> list[Path]:
    """The files of a journal's directory, oldest first."""
    return sorted(directory.glob(f"*{SUFFIX}"))


def head(first: int, before: int, mark: bytes, store: str, *, gaps: bool = False) -> bytes:
    """How a file begins; with `gaps` its sequences may leave some out, as after a repair."""
    said = {
        "first": first,
        "before": before,
        "mark": mark.hex(),
        "store": store,
        "gaps": gaps,
        "layout": CURRENT.text(),
    }
    text = json.dumps(said).encode()
    return _HEAD.pack(_HEAD_MAGIC, isal_zlib.crc32(text), len(text)) + text


def record(sequence: int, content: bytes, mark: bytes) -> bytes:
    """One record."""
    checksum = _checksum(sequence, content)
    return _RECORD.pack(_RECORD_MAGIC, mark, checksum, sequence, len(content)) + content


def read(content: bytes) -> Segment:
    """Read a file.

    Raises:
        NoHead: it does not begin as one.
        UnknownColumns: a newer collector wrote it.
    """
    said, at = _head(content)
    mark = bytes.fromhex(said["mark"])
    records: list[Record] = []
    wanted = int(said["first"])
    while (found := _record_at(content, at, mark)) is not None:
        if found.sequence != wanted and not said["gaps"]:
            break
        records.append(found)
        at, wanted = found.end, found.sequence + 1
    return Segment(
        first=int(said["first"]),
        before=int(said["before"]),
        layout=Layout.of(said["layout"]),
        mark=mark,
        store=str(said["store"]),
        records=tuple(records),
        torn=len(content) - at,
        beyond=len(found_behind(content, at, mark)),
    )


def found_behind(content: bytes, at: int, mark: bytes | None = None) -> list[Record]:
    """All valid records that begin behind a place that is none.

    Args:
        content: the file's.
        at: the place.
        mark: the file's number; None where its head is lost: then the first record says it.
    """
    found = []
    while (at := content.find(_RECORD_MAGIC, at)) >= 0:
        one = _record_at(content, at, mark)
        if one is not None:
            found.append(one)
            mark = mark or content[at + len(_RECORD_MAGIC) :][:MARK_BYTES]
        at = at + 1 if one is None else one.end
    return found


def _head(content: bytes) -> tuple[dict[str, Any], int]:
    if len(content) < _HEAD.size:
        raise NoHead
    magic, checksum, length = _HEAD.unpack_from(content)
    text = content[_HEAD.size : _HEAD.size + length]
    if magic != _HEAD_MAGIC or len(text) < length or isal_zlib.crc32(text) != checksum:
        raise NoHead
    said: dict[str, Any] = json.loads(text)
    return said, _HEAD.size + length


def _record_at(content: bytes, at: int, mark: bytes | None) -> Record | None:
    if at + _RECORD.size > len(content):
        return None
    magic, marked, checksum, sequence, length = _RECORD.unpack_from(content, at)
    begin = at + _RECORD.size
    if magic != _RECORD_MAGIC or mark not in (None, marked) or length > len(content) - begin:
        return None
    if _checksum(sequence, memoryview(content)[begin : begin + length]) != checksum:
        return None
    return Record(sequence, begin, begin + length)


def _checksum(sequence: int, content: bytes | memoryview) -> int:
    return isal_zlib.crc32(content, isal_zlib.crc32(_NUMBERS.pack(sequence, len(content))))
