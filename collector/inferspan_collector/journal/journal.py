"""The journal's files: appended to, synced, read back after a crash, deleted once taken over."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferspan_collector import failpoints
from inferspan_collector.batches import LabelBatch, PredictionBatch, StageBatch
from inferspan_collector.journal import packing, segment
from inferspan_collector.journal.packing import Batches
from inferspan_collector.journal.segment import Segment
from inferspan_collector.store import durably
from inferspan_collector.store.database import StoreError

DIRECTORY: Final = "journal"
"""In the data directory."""
SEGMENT_BYTES: Final = 64 * 1024 * 1024
"""A file that has so many is followed by the next."""
SET_ASIDE: Final = ".refused"
"""What the name of a file ends in that holds a row the store could not take."""

_logger = logging.getLogger(__name__)


class JournalError(StoreError):
    """The journal cannot be read; the message names the file, the fault and the remedy."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """Rows that were acknowledged, and which record of the journal they are."""

    sequence: int
    predictions: PredictionBatch
    labels: LabelBatch
    stages: StageBatch

    def __len__(self) -> int:
        return len(self.predictions) + len(self.labels) + len(self.stages)


class Journal:
    """Appends in one thread; `trim` and `renew` may be called from another.

    `cuts` counts files with a torn tail that were found when it was opened.
    """

    def __init__(
        self, directory: Path, store: str, reached: tuple[int, int], found: dict[Path, Segment]
    ) -> None:
        self._directory = directory
        self._store = store
        self.begins_behind, last = reached
        """The last sequence that a store need not take over from here."""
        self._mark = b""
        self._last = last
        """The newest sequence that is on disk."""
        self._next = last + 1
        self._closed = {path: one.last for path, one in found.items()}
        self._found = found
        self._open: tuple[Path, int] | None = None
        """The file that is appended to, and its descriptor."""
        self._size = 0
        self._begins_with = 0
        """The sequence that its first record has, or would have."""
        self._lock = threading.Lock()
        self.cuts = sum(one.torn > 0 for one in found.values())

    @classmethod
    def open(cls, data: Path, applied: int | None, store: str = "") -> Journal:
        """Read what files there are.

        Args:
            data: the data directory; the journal is a directory in it, made where it is missing.
            applied: the last sequence that the store has taken over; None where it does not know.
            store: what tells the store from any other; a copy of it has the same.

        Raises:
            JournalError: damaged in the middle, a part is missing, a newer collector wrote it, or
                its files cannot be read.
        """
        directory = data / DIRECTORY
        try:
            if not directory.is_dir():
                directory.mkdir()
                durably.sync_directory(data)
            found = _read_all(directory)
        except OSError as error:
            raise JournalError(f"cannot use {directory}: {error.strerror or error}") from error
        if applied is None:
            # All there is is taken over once more, which changes nothing of what was.
            applied = min((one.before for one in found.values()), default=0)
        _check_whole(found, applied, store)
        for path in [path for path, one in found.items() if not one.records]:
            path.unlink()
            del found[path]
        last = max((one.last for one in found.values()), default=0)
        return cls(directory, store, (applied, max(last, applied)), found)

    def left(self, applied: int) -> Iterator[Entry]:
        """What the store has not taken over, as it was found; oldest first."""
        # What was taken over may be trimmed meanwhile.
        for path, one in tuple(self._found.items()):
            if one.last <= applied:
                continue
            content = path.read_bytes()
            for record in one.records:
                # Of a file that somebody copied, none is taken over twice, nor after a later one.
                if record.sequence > applied:
                    applied = record.sequence
                    batches = packing.unpacked(content[record.begin : record.end], one.layout)
                    yield Entry(record.sequence, *batches)

    @property
    def last(self) -> int:
        """The newest sequence that is on disk."""
        return self._last

    def append(self, parts: Sequence[Batches]) -> list[Entry]:
        """Write rows, a record for each part; all are on disk when this returns.

        Raises:
            OSError: they may be there or not; nobody may be told that they are.
            durably.Gone: they are not, nor will be others.
        """
        contents = [packing.packed(*part) for part in parts]
        with self._lock:
            first, self._next = self._next, self._next + len(parts)
            try:
                self._write(first, contents)
            except BaseException:
                # What the disk holds now is unknown: nothing is ever written behind it.
                self._end_segment()
                raise
            self._last = self._next - 1
        return [Entry(sequence, *part) for sequence, part in enumerate(parts, first)]

    def set_aside(
        self, predictions: PredictionBatch, labels: LabelBatch, stages: StageBatch
    ) -> Path:
        """Keep rows that the store cannot take, in a file of their own; returns where.

        Raises:
            OSError: they could not be written.
        """
        mark = os.urandom(segment.MARK_BYTES)
        content = segment.record(self._last, packing.packed(predictions, labels, stages), mark)
        beginning = segment.head(self._last, 0, mark, self._store, gaps=True)
        for n in itertools.count(1):
            path = self._directory / f"row-{n:06d}{SET_ASIDE}"
            with contextlib.suppress(FileExistsError), path.open("xb") as file:
                file.write(beginning + content)
                break
        durably.sync_file(path)
        durably.sync_directory(self._directory)
        return path

    def trim(self, applied: int) -> None:
        """Delete the files all of whose rows the store has taken over."""
        with self._lock:
            done = [path for path, last in self._closed.items() if last <= applied]
        for path in done:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                _logger.error("%s is not needed any more and cannot be deleted: %s", path, error)
                continue
            with self._lock:
                del self._closed[path]
                self._found.pop(path, None)

    def renew(self, applied: int) -> None:
        """Delete every row that the store has taken over, the newest file's too.

        Where that holds rows that came since, `trim` deletes it once they are taken over.
        """
        with self._lock:
            self._end_segment()
        self.trim(applied)
        durably.sync_directory(self._directory)

    def held_bytes(self) -> int:
        """What its files hold."""
        with self._lock:
            paths = [*self._closed]
            held = self._size if self._open is not None else 0
        for path in paths:
            try:
                held += path.stat().st_size
            except FileNotFoundError:
                continue
        return held

    def close(self) -> None:
        """Let go of the files. Idempotent."""
        with self._lock:
            self._end_segment()

    def _write(self, first: int, contents: Sequence[bytes]) -> None:
        if self._open is None:
            self._begin_segment(first)
        assert self._open is not None
        descriptor = self._open[1]
        records = [
            segment.record(sequence, content, self._mark)
            for sequence, content in enumerate(contents, first)
        ]
        for record in records:
            rest = memoryview(record)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        failpoints.reach("journal-written")
        os.fdatasync(descriptor)
        durably.check_named(descriptor, self._open[0])
        self._size += sum(map(len, records))
        if self._size >= SEGMENT_BYTES:
            # From here on it is only deleted.
            self._last = self._next - 1
            self._end_segment()

    def _begin_segment(self, first: int) -> None:
        path = self._directory / segment.file_name(first)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileNotFoundError:
            raise durably.Gone(self._directory) from None
        self._open, self._size, self._begins_with = (path, descriptor), 0, first
        self._mark = os.urandom(segment.MARK_BYTES)
        beginning = segment.head(first, self._last, self._mark, self._store)
        if os.write(descriptor, beginning) < len(beginning):
            raise OSError(errno.ENOSPC, "No space left on device")
        self._size = len(beginning)
        durably.sync_directory(self._directory)

    def _end_segment(self) -> None:
        if self._open is None:
            return
        path, descriptor = self._open
        self._open = None
        os.close(descriptor)
        if self._last < self._begins_with:
            # Nothing in it was acknowledged: on a full disk there would soon be many.
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                return
        self._closed[path] = self._last


def _read_all(directory: Path) -> dict[Path, Segment]:
    found: dict[Path, Segment] = {}
    for path in segment.in_order(directory):
        content = path.read_bytes()
        try:
            one = segment.read(content)
        except segment.NoHead:
            if segment.found_behind(content, 0):
                raise JournalError(_damage(path, "its head is damaged")) from None
            # Begun when the process died: nobody was told of anything in it. Or it has lost all:
            # then what follows it says that something is missing.
            path.unlink()
            continue
        except packing.UnknownColumns as error:
            raise JournalError(
                f"{path} was written by a newer collector ({error}); start that one again, which "
                "takes it over into the store"
            ) from None
        if one.beyond:
            rest = f"{one.beyond} whole records follow behind record {one.last}, which ends whole"
            raise JournalError(_damage(path, rest))
        if one.torn:
            _logger.warning(
                "%s ends in %d bytes that were never acknowledged; they are left out",
                path,
                one.torn,
            )
        found[path] = one
    return found


def _check_whole(found: dict[Path, Segment], applied: int, store: str) -> None:
    reached = applied
    for path, one in found.items():
        if one.store != store:
            raise JournalError(
                f"{path} is the journal of another store; bring it together with its own, or give "
                f"it up by moving {path.parent} away"
            )
        if one.before > reached:
            raise JournalError(
                f"{path} goes on after record {one.before}, and the store with what lies before "
                f"ends at {reached}: a part of the journal is missing, or the store is an older "
                f"copy; bring the two together again, or give the journal up by moving "
                f"{path.parent} away"
            )
        reached = max(reached, one.last)


def _damage(path: Path, fault: str) -> str:
    return (
        f"{path} is damaged: {fault}; restore a backup, or take over what can be read of it with "
        f"`inferspan store repair --data {path.parent.parent}`"
    )
