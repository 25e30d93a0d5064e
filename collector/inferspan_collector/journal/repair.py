"""A journal that no collector has open: is all of it readable, and what can be saved of it?"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferspan_collector.journal import packing, segment
from inferspan_collector.journal.journal import DIRECTORY, SET_ASIDE
from inferspan_collector.store import durably

BEFORE_REPAIR: Final = ".before-repair"


@dataclass(frozen=True, slots=True)
class File:
    """One of its files. `fault` says what is damaged; None where nothing is."""

    path: Path
    records: int
    """Whole records."""
    torn: int
    """Bytes at its end that were never acknowledged."""
    fault: str | None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file of rows that were acknowledged and that the store could not take."""

    path: Path
    rows: int
    """Those that can be read of it."""
    fault: str | None


def set_aside(data: Path) -> list[SetAside]:
    """What the store of a data directory could not take, oldest first; changes nothing.

    Raises:
        OSError: a file of it cannot be read.
    """
    return [_set_aside(path) for path in sorted((data / DIRECTORY).glob(f"*{SET_ASIDE}"))]


def _set_aside(path: Path) -> SetAside:
    file = _inspected(path)
    if file.fault is not None or not file.records:
        return SetAside(path, 0, file.fault or "it holds no whole record")
    content = path.read_bytes()
    found = segment.read(content)
    rows = [_rows(content[each.begin : each.end], found.layout) for each in found.records]
    return SetAside(path, sum(len(batch) for read in rows if read for batch in read), None)


def inspect(data: Path) -> list[File]:
    """Look at the files of a data directory's journal, oldest first; changes nothing.

    Raises:
        OSError: one of them cannot be read.
    """
    return [_inspected(path) for path in segment.in_order(data / DIRECTORY)]


def gather(data: Path, store: str) -> int:
    """Bring all whole records into one new file; what was is kept as `….before-repair`.

    Args:
        data: the data directory.
        store: which store it is, where no file says it.

    Returns:
        How many records there are.

    Raises:
        OSError: nothing was changed.
        UnknownColumns: nor was it: a newer collector wrote a part of it.
    """
    files = segment.in_order(data / DIRECTORY)
    records: dict[int, bytes] = {}
    stores = set()
    for path in files:
        content = path.read_bytes()
        try:
            found = segment.read(content)
            layout, mark = found.layout, found.mark
            stores.add(found.store)
        except segment.NoHead:
            # Today's, which its rows have to bear out.
            layout, mark = packing.CURRENT, None
        for one in segment.found_behind(content, 0, mark):
            rows = _rows(content[one.begin : one.end], layout)
            if rows is not None:
                records[one.sequence] = packing.packed(*rows)
    directory = data / DIRECTORY
    partial = directory / "gathered.partial"
    first = min(records, default=1)
    mark = os.urandom(segment.MARK_BYTES)
    with partial.open("wb") as file:
        # Before it there was nothing, as far as anybody knows.
        file.write(segment.head(first, 0, mark, min(stores, default=store), gaps=True))
        for sequence, packed in sorted(records.items()):
            file.write(segment.record(sequence, packed, mark))
    # There before what it stands for goes: a repair that ends here is begun anew.
    durably.publish(partial, directory / f"{first:020d}-gathered{segment.SUFFIX}")
    for path in files:
        os.replace(path, path.with_name(f"{path.name}{BEFORE_REPAIR}"))
    durably.sync_directory(directory)
    return len(records)


def _rows(content: bytes, layout: packing.Layout) -> packing.Batches | None:
    """A record's rows; None where it is not of this layout."""
    try:
        return packing.unpacked(content, layout)
    except (ValueError, struct.error, MemoryError):
        return None


def _inspected(path: Path) -> File:
    content = path.read_bytes()
    try:
        found = segment.read(content)
    except segment.NoHead:
        whole = len(segment.found_behind(content, 0))
        return File(path, whole, len(content), "its head is damaged" if whole else None)
    except packing.UnknownColumns as error:
        return File(path, 0, 0, f"a newer collector wrote it ({error})")
    fault = None
    if found.beyond:
        behind = f"behind record {found.last}"
        fault = f"something {behind} is damaged or missing, {found.beyond} whole records follow"
    return File(path, len(found.records), found.torn, fault)
