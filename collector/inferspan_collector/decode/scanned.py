"""What the compiled scanner finds in a request: its records, and what the ordinary ones say."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan import semconv
from inferspan_collector.batches import Float64, Int8, Int32, Int64, Texts, UInt8
from inferspan_collector.decode.attributes import TEXT_LENGTH_MAX
from inferspan_collector.decode.compiled import (
    feature_rows,
    foreign,
    labels,
    names,
    predictions,
    records,
    scan,
    stages,
)
from inferspan_collector.decode.compiled.outline import (
    FAILED,
    FRAME_BYTES_MAX,
    outline,
    remainder,
)
from inferspan_collector.decode.compiled.wording import NO_TEXT, TEXT_BYTES_MAX
from inferspan_collector.decode.distinct import Vocabulary, told
from inferspan_collector.decode.label_records import LABEL_TEXT_LENGTH_MAX
from inferspan_collector.decode.predictions import CLOCK_SKEW_MAX_NS, TIME_MAX_NS, TIME_MIN_NS
from inferspan_collector.decode.wire import Content

_RECORD_BYTES_MIN: Final = 32
"""Bytes of a request that make room for one record more in our tables: shorter ones are nothing."""
_LIMITS: Final = np.array(
    [
        TIME_MIN_NS,
        0,
        0,
        semconv.PREDICTION_ID_LENGTH_MAX,
        TEXT_LENGTH_MAX,
        LABEL_TEXT_LENGTH_MAX,
        semconv.SLICE_KEYS_MAX,
    ],
    np.int64,
)
_COLUMN_GAP: Final = 16
_DISTINCT_PER_RECORD: Final = 4
_DISTINCT_MIN: Final = 256


# Not frozen, like its neighbours: that triples what it takes to make one, for each request.
@dataclass(slots=True, eq=False)
class Outline:
    """The records of a request, by their places."""

    body: UInt8
    places: Int64
    """Where each starts and ends, [2, records]."""
    scopes: Int32
    """The number of the scope of each, [records]."""
    resource_of: Int32
    """The number of the resource of each scope, [scopes]."""
    framed_bytes: int
    """Bytes of all records with their frames."""
    frame: bytes | None
    """All else, by which senders are known again; None where that is much."""
    others: Sequence[UInt8] = ()
    """The bodies of further requests: places count from the begin of `body`, beyond it."""

    @classmethod
    def of(cls, body: Content | UInt8) -> Outline | None:
        """Find them; None where the frames alone do not tell, or there are none."""
        data = np.frombuffer(body, np.uint8)
        data.flags.writeable = False  # one type of array, so that all is compiled once
        room = len(body) // _RECORD_BYTES_MIN + 1
        places, scopes = np.empty((2, room), np.int64), np.empty(room, np.int32)
        resource_of, counts = np.empty(room, np.int32), np.empty(4, np.int64)
        frame = np.empty(FRAME_BYTES_MAX, np.uint8)
        outline(data, places[0], places[1], scopes, resource_of, frame, counts)
        found, in_scopes, framed_bytes, of_frame = counts.tolist()
        if found == FAILED or found == 0:
            return None
        return cls(
            data,
            places[:, :found],
            scopes[:found],
            resource_of[:in_scopes],
            framed_bytes,
            None if of_frame == FAILED else frame[:of_frame].tobytes(),
        )

    @classmethod
    def together(cls, outlines: Sequence[Outline]) -> Outline:
        """Several requests as one, none of them copied: for `scan_records` alone.

        Scopes are numbered on; which resource they stand in is left to the scope table.
        """
        bodies = [each.body for each in outlines]
        begins = [body.ctypes.data for body in bodies]
        ends = list(accumulate(map(len, outlines)))
        # As `of` makes them: a part of more room, so that all is compiled once.
        places, scopes = np.empty((2, ends[-1] + 1), np.int64), np.empty(ends[-1], np.int32)
        first = first_scope = 0
        for each, begin, end in zip(outlines, begins, ends, strict=True):
            np.add(each.places, begin - begins[0], out=places[:, first:end])
            np.add(each.scopes, first_scope, out=scopes[first:end])
            first, first_scope = end, first_scope + len(each.resource_of)
        framed_bytes = sum(each.framed_bytes for each in outlines)
        none = outlines[0].resource_of[:0]
        return cls(bodies[0], places[:, :-1], scopes, none, framed_bytes, None, bodies[1:])

    def __len__(self) -> int:
        return len(self.scopes)

    def bytes_at(self, start: int, length: int) -> bytes:
        """What stands at a place."""
        if not self.others:
            return self.body[start : start + length].tobytes()
        return ctypes.string_at(self.body.ctypes.data + start, length)

    def skeleton(self) -> bytes:
        """The request without any of its records."""
        out = np.empty(len(self.body) - self.framed_bytes, np.uint8)
        return out[: remainder(self.body, np.ones(len(self), np.uint8), out)].tobytes()

    def without(self, taken: UInt8) -> bytes:
        """The request without the records that were taken (one entry each, 0 = it stays)."""
        out = np.empty(self.room_without(taken), np.uint8)
        return out[: remainder(self.body, taken, out)].tobytes()

    def room_without(self, taken: UInt8) -> int:
        """Bytes that this takes at most."""
        # What frames take beside their content is left out of this: it is little.
        return len(self.body) - int((self.places[1] - self.places[0])[taken != 0].sum())


@dataclass(frozen=True, slots=True, eq=False)
class WantedKeys:
    """Of each scope, the keys of which a span has to carry one for a mapping to take it."""

    keys: UInt8
    """UTF-8, one behind the other."""
    offsets: Int64
    """Where each begins, and where the last ends, [keys + 1]."""
    of_scope: Int64
    """The first key of each scope and the one behind its last, [2, scopes]; -1 = any span may."""

    @classmethod
    def of(cls, scopes: Sequence[Set[str] | None]) -> WantedKeys:
        """The keys of each scope of a request; None = any span of it may be taken."""
        encoded: list[bytes] = []
        ranges = []
        for keys in scopes:
            first = len(encoded)
            encoded += [key.encode() for key in keys or ()]
            ranges.append((-1 if keys is None else first, len(encoded)))
        return cls(
            np.frombuffer(b"".join(encoded), np.uint8),
            np.cumsum([0, *map(len, encoded)], dtype=np.int64),
            np.ascontiguousarray(np.array(ranges, np.int64).reshape(-1, 2).T),
        )

    def pass_by(self, found: Outline, taken: UInt8) -> int:
        """Take those of the waiting records that no mapping can take; returns how many."""
        return foreign.pass_by(
            found.body, found.places, found.scopes, self.keys, self.offsets, self.of_scope, taken
        )


def limits(received_ns: int) -> Int64:
    """What records are held to, as the scanner takes it; `received_ns` is the time of receipt."""
    held_to = _LIMITS.copy()
    held_to[1] = min(received_ns + CLOCK_SKEW_MAX_NS, TIME_MAX_NS)
    held_to[2] = received_ns
    return held_to


class Columns:
    """The rows of one kind that a scan found, column by column."""

    def __init__(self, block: Int64, rows: int, room: int, columns: int) -> None:
        self._wide = block[: columns * room].reshape(columns, room)
        self._codes = block[columns * room :].view(np.int32).reshape(-1, room)
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def integers(self, column: int) -> Int64:
        """int64[rows]."""
        return self._wide[column, : self._rows]

    def doubles(self, column: int) -> Float64:
        """float64[rows]."""
        return self._wide[column, : self._rows].view(np.float64)

    def pairs(self, column: int) -> NDArray[np.uint64]:
        """uint64[rows, 2]."""
        both = self._wide[column : column + 2].reshape(-1)
        return both[: 2 * self._rows].reshape(-1, 2).view(np.uint64)

    def bytes(self, column: int) -> Int8:
        """int8[rows]."""
        kinds: Int8 = self._wide[column].view(np.int8)[: self._rows]
        return kinds

    def codes(self, slot: int) -> Int32:
        """int32[rows], -1 = absent."""
        return self._codes[slot, : self._rows]


@dataclass(slots=True, eq=False)
class Scanned:
    """The ordinary records among some of a request, as columns; texts are places in the body."""

    body: UInt8
    predictions: Columns
    labels: Columns
    stages: Columns
    ignored: int
    skewed_predictions: bool
    """Some have a time ahead of us."""
    skewed_labels: bool
    failed_predictions: bool
    """Some are calls that failed."""
    values: Vocabulary
    """What the codes of each slot mean."""
    slice_keys: Sequence[tuple[int, str]]
    """The slots of slices that a prediction has, ordered by their keys."""
    seen_of_labels: int
    """The slots that labels have, as bits."""

    def texts(self, starts: Int64, lengths: Int64) -> Texts:
        """A column of texts."""
        return Texts(*scan.gather(self.body, starts, lengths))

    def feature_rows(
        self, starts: Int64, lengths: Int64, text_starts: Int64, text_lengths: Int64
    ) -> Texts:
        """A column of features, from where their numbers and their texts stand."""
        return Texts(
            *feature_rows.encode(self.body, starts, lengths, self.body, text_starts, text_lengths)
        )


def scan_records(
    found: Outline,
    scope_table: Int64,
    held_to: Int64,
    some: range,
    taken: UInt8,
) -> Scanned:
    """Read the ordinary ones among some of a request's records.

    Args:
        found: the outline of the request.
        scope_table: what becomes of the records of each scope, and its resource, [2, scopes].
        held_to: `limits`.
        some: the numbers of the records to read.
        taken: of each record of the request, whether it was read. Written.
    """
    # Columns of a power of two would all fall on the same lines of the processor's cache.
    room = len(some) + len(some) % 2 + _COLUMN_GAP
    of_predictions = np.empty(_words(predictions, room), np.int64)
    of_labels = np.empty(_words(labels, room), np.int64)
    of_stages = np.empty(_words(stages, room), np.int64)
    distinct = _DISTINCT_PER_RECORD * room + _DISTINCT_MIN
    entries = np.empty(distinct * records.ENTRY_WORDS, np.int64)
    table = np.zeros(1 << (2 * distinct).bit_length(), np.int32)
    counts, wording = np.empty(scan.COUNTS, np.int64), np.empty(TEXT_BYTES_MAX, np.uint8)
    scan.scan(
        found.body,
        found.places,
        found.scopes,
        scope_table,
        some.start,
        some.stop,
        held_to,
        scan.VOCABULARY,
        room,
        (of_predictions, of_labels, of_stages),
        (entries, table, wording),
        np.empty(records.STATE_WORDS, np.int64),
        taken,
        counts,
    )
    counted = counts.tolist()
    return Scanned(
        body=found.body,
        predictions=Columns(
            of_predictions, counted[scan.PREDICTION_ROWS], room, predictions.COLUMNS
        ),
        labels=Columns(of_labels, counted[scan.LABEL_ROWS], room, labels.COLUMNS),
        stages=Columns(of_stages, counted[scan.STAGE_ROWS], room, stages.COLUMNS),
        ignored=counted[scan.IGNORED_RECORDS],
        skewed_predictions=counted[scan.SKEWED_PREDICTIONS] > 0,
        skewed_labels=counted[scan.SKEWED_LABELS] > 0,
        failed_predictions=counted[scan.FAILED_PREDICTIONS] > 0,
        values=_vocabulary(found, counted, entries, wording),
        slice_keys=_slice_keys(found, counted) if counted[scan.SLICES] else (),
        seen_of_labels=counted[scan.SEEN_OF_LABELS],
    )


def _words(kind: Any, room: int) -> int:
    return int(kind.COLUMNS * room + kind.CODES * room // 2)


def _vocabulary(found: Outline, counted: list[int], entries: Int64, wording: UInt8) -> Vocabulary:
    of_text = counted[scan.TEXT_BYTES]
    if of_text != NO_TEXT:
        return told(wording[:of_text].tobytes())
    words = entries[: counted[scan.ENTRIES] * records.ENTRY_WORDS].tolist()
    values: dict[int, list[bytes]] = {}
    for slot, start, length in zip(words[::4], words[1::4], words[2::4], strict=True):
        values.setdefault(slot, []).append(found.bytes_at(start, length))
    return Vocabulary(values)


def _slice_keys(found: Outline, counted: list[int]) -> list[tuple[int, str]]:
    places = counted[scan.SLICE_PLACES : scan.SLICE_PLACES + 2 * counted[scan.SLICES]]
    keys = [
        (names.SLICE_SLOT + number, str(found.bytes_at(start, length), "utf-8"))
        for number, (start, length) in enumerate(zip(places[::2], places[1::2], strict=True))
        if counted[scan.SEEN_OF_PREDICTIONS] >> (names.SLICE_SLOT + number) & 1
    ]
    return sorted(keys, key=lambda pair: pair[1])
