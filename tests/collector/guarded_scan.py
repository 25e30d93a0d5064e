"""Read bodies that end where memory ends: one byte read, or written, past an end kills the process.

    python tests/collector/guarded_scan.py [past]

With `past`, one byte is read past the end of a body: that the guard guards.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys

import numpy as np
from damage import damaged
from numpy.typing import NDArray

from inferspan import semconv
from inferspan_collector.compilation import entry
from inferspan_collector.decode.compiled import feature_rows, predictions, scan
from inferspan_collector.decode.compiled.memory import address_of, byte_at
from inferspan_collector.decode.compiled.outline import remainder
from inferspan_collector.decode.scanned import Columns, Outline, WantedKeys, limits, scan_records
from inferspan_collector.testing import (
    NOW_NS,
    label_span,
    log_record,
    logs_request,
    prediction_span,
    span_ids,
    traces_request,
)

PROT_NONE = 0
DAMAGED = 400
"""Damaged copies of each body."""
FATES = (scan.FOREIGN, scan.MAPPED, scan.OURS, scan.LABELS, scan.EVENTS, scan.IGNORED)


class Guarded:
    """Memory whose last byte is followed by a page that can be neither read nor written."""

    def __init__(self, pages: int) -> None:
        self._size = pages * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, self._size + mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        if protect(ctypes.c_void_p(start + self._size), mmap.PAGESIZE, PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")
        self._bytes = np.frombuffer(self._memory, np.uint8)

    def last(self, size: int) -> NDArray[np.uint8]:
        """The last bytes before the page."""
        return self._bytes[self._size - size : self._size]


def bodies() -> list[bytes]:
    """Requests of every kind that compiled code reads."""
    prediction = {
        semconv.OUTPUT_CLASS: "fraud",
        semconv.OUTPUT_SCORE: 0.5,
        semconv.SLICE_PREFIX + "country": "é",
        semconv.FEATURE_NAMES: '["b"]',
        semconv.FEATURE_DATA: struct.pack("<d", 1 / 3),
        semconv.FEATURE_CATEGORY_NAMES: '["a"]',
        semconv.FEATURE_CATEGORY_VALUES: ["x"],
        semconv.OUTPUT_CLASSES: ["fraud", "legit"],
        semconv.OUTPUT_PROBABILITIES: [0.5, 0.5],
    }
    label = {semconv.LABEL_CLASS: "fraud", semconv.LABEL_TEXT: "why", semconv.LABEL_REVISION: 2}
    named = {semconv.LABEL_ID: "l", semconv.MODEL_NAME: "m", semconv.PREDICTION_ID: "p"}
    requests = (
        traces_request([prediction_span(f"p{n}", prediction, failed=n == 1) for n in range(3)]),
        traces_request([label_span(f"p{n}", label, links=[span_ids("p")]) for n in range(2)]),
        logs_request([log_record(semconv.EVENT_LABEL, named | label) for _ in range(2)]),
    )
    for request in requests[:2]:
        for span in request.resource_spans[0].scope_spans[0].spans:
            span.flags = 0x101
    return [request.SerializeToString() for request in requests]


def feature_places(found: Columns) -> list[NDArray[np.int64]]:
    """Where the numbers of rows stand and how many bytes they have, and the same of texts."""
    has_texts = found.integers(predictions.CATEGORIES) >= 0
    return [
        found.integers(predictions.FEATURE_START),
        np.maximum(found.integers(predictions.FEATURE_BYTES), 0),
        found.integers(predictions.CATEGORY_START),
        np.where(has_texts, found.integers(predictions.CATEGORY_BYTES), 0),
    ]


def read(body: bytes, memory: Guarded, out: Guarded) -> int:
    """Do all that is done with a body; the number of records that were taken."""
    place = memory.last(len(body))
    place[:] = np.frombuffer(body, np.uint8)
    found = Outline.of(place)
    if found is None:
        return 0
    most = 0
    for fate in FATES:
        scope_table = np.array([[fate] * len(found.resource_of), found.resource_of], np.int64)
        taken = np.zeros(len(found), np.uint8)
        scanned = scan_records(found, scope_table, limits(NOW_NS), range(len(found)), taken)
        for columns, first in ((scanned.predictions, 5), (scanned.labels, 9)):
            if len(columns):
                scanned.texts(columns.integers(first), columns.integers(first + 1))
        if len(scanned.predictions):
            scanned.feature_rows(*feature_places(scanned.predictions))
        most = max(most, int((taken == 1).sum()))
        WantedKeys.of([{"a", semconv.MODEL_NAME[:-1]}] * len(found.resource_of)).pass_by(
            found, taken
        )
        room = found.room_without(taken)
        written = remainder(found.body, taken, out.last(room))
        assert written <= room
    return most


def read_too_many_rows(memory: Guarded) -> None:
    """Ask for more rows of features than there are, of zeros and of texts without an end."""
    for content in (bytes(20), b"\xff" * 20):
        place = memory.last(len(content) + feature_rows.PADDING)
        place[:] = np.frombuffer(content + bytes(feature_rows.PADDING), np.uint8)
        place.flags.writeable = False
        for counts in ((100, 1, 0), (100, 0, 1), (1, 100, 100)):
            assert feature_rows.decode(place, *counts)[3][-1] == -1


@entry
def _read_past(body: NDArray[np.uint8]) -> int:
    return byte_at(address_of(body) + len(body))


def main() -> None:
    memory, out = Guarded(4), Guarded(4)
    if "past" in sys.argv:
        print(_read_past(memory.last(1)))
        return
    read_too_many_rows(memory)
    taken = 0
    for body in bodies():
        for end in range(len(body) + 1):
            taken += read(body[:end], memory, out)
        for seed in range(DAMAGED):
            taken += read(damaged(body, seed, 1 + seed % 4), memory, out)
    print(taken)


if __name__ == "__main__":
    main()
