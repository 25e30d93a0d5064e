"""One file of the journal: a head, then records, each with its own checksum.

    head     magic, checksum and length of a JSON text: first sequence, the sequence before, layout
    record   magic, checksum, sequence, length, content

A process that dies while it writes leaves a torn tail, which nobody was told of. Valid records
behind something that is none are damage, and never passed over in silence.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

from inferspan_collector.journal.packing import CURRENT, Layout

SUFFIX: Final = ".journal"
_HEAD_MAGIC: Final = b"inferspan\x00J1"
_RECORD_MAGIC: Final = b"\xf1JR\x01"
_HEAD: Final = struct.Struct("<12sII")
_RECORD: Final = struct.Struct("<4sIQQ")
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


def head(first: int, before: int, *, gaps: bool = False) -> bytes:
    """How a file begins; with `gaps` its sequences may leave some out, as after a repair."""
    said = {"first": first, "before": before, "gaps": gaps, "layout": CURRENT.text()}
    text = json.dumps(said).encode()
    return _HEAD.pack(_HEAD_MAGIC, zlib.crc32(text), len(text)) + text


def record(sequence: int, content: bytes) -> bytes:
    """One record."""
    return (
        _RECORD.pack(_RECORD_MAGIC, _checksum(sequence, content), sequence, len(content)) + content
    )


def read(content: bytes) -> Segment:
    """Read a file.

    Raises:
        NoHead: it does not begin as one.
        UnknownColumns: a newer collector wrote it.
    """
    said, at = _head(content)
    records: list[Record] = []
    wanted = int(said["first"])
    while (found := _record_at(content, at)) is not None:
        if found.sequence != wanted and not said["gaps"]:
            break
        records.append(found)
        at, wanted = found.end, found.sequence + 1
    return Segment(
        first=int(said["first"]),
        before=int(said["before"]),
        layout=Layout.of(said["layout"]),
        records=tuple(records),
        torn=len(content) - at,
        beyond=len(found_behind(content, at)),
    )


def found_behind(content: bytes, at: int) -> list[Record]:
    """All valid records that begin behind a place that is none."""
    found = []
    while (at := content.find(_RECORD_MAGIC, at)) >= 0:
        one = _record_at(content, at)
        if one is not None:
            found.append(one)
        at = at + 1 if one is None else one.end
    return found


def _head(content: bytes) -> tuple[dict[str, Any], int]:
    if len(content) < _HEAD.size:
        raise NoHead
    magic, checksum, length = _HEAD.unpack_from(content)
    text = content[_HEAD.size : _HEAD.size + length]
    if magic != _HEAD_MAGIC or len(text) < length or zlib.crc32(text) != checksum:
        raise NoHead
    said: dict[str, Any] = json.loads(text)
    return said, _HEAD.size + length


def _record_at(content: bytes, at: int) -> Record | None:
    if at + _RECORD.size > len(content):
        return None
    magic, checksum, sequence, length = _RECORD.unpack_from(content, at)
    begin = at + _RECORD.size
    if magic != _RECORD_MAGIC or length > len(content) - begin:
        return None
    if _checksum(sequence, memoryview(content)[begin : begin + length]) != checksum:
        return None
    return Record(sequence, begin, begin + length)


def _checksum(sequence: int, content: bytes | memoryview) -> int:
    return zlib.crc32(content, zlib.crc32(_NUMBERS.pack(sequence, len(content))))
