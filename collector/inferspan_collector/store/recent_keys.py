"""The index of recent keys: which rows of a batch are ordinary, answered from memory.

A row is ordinary if what it does follows from one entry: the first prediction of a key, an exact
retry, the first label of a key whose prediction is here, or of a key without any record. Everything
else is left to SQL, and so is a key that may have left the index, for it holds the newest only.
Nothing here is written anywhere; `loading` fills it from the file at start.

A transaction begins, changes entries, and ends with `keep` or `undo`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Float64, Int8, Int32, Int64, UInt64
from inferspan_collector.config.memory import COLD_KEY_BYTES, HOT_KEY_BYTES
from inferspan_collector.store.cold_keys import ColdKeys
from inferspan_collector.store.compiled import entries as hot_entries
from inferspan_collector.store.compiled import rows as hot_rows
from inferspan_collector.store.compiled import sip
from inferspan_collector.store.facts import SeriesFacts
from inferspan_collector.store.nearby import NO_OLDER, Older, Since

_BITS_MIN: Final = 12
_LOAD: Final = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class KeyHashes:
    """96 bits of each (id, model, index), with a secret of this process: what entries go by."""

    low: UInt64
    high: NDArray[np.uint32]

    def take(self, chosen: Bool) -> KeyHashes:
        """Those of some rows."""
        return KeyHashes(self.low[chosen], self.high[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Arriving:
    """The columns of new predictions that an entry holds; one row each."""

    keys: KeyHashes
    rows: Int64
    beyond: Int8
    """`ORDINARY`, or why it is not: codes of `compiled.rows`."""
    span: UInt64
    series: Int32
    slices: Int32
    predicted: Int32
    minute: Int32
    value: Float64
    failed: Bool
    received: Int64
    """In Unix minutes."""
    older: Older = NO_OLDER
    """Sealed rows of ids that are older than memory, where they are to be read."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrivingLabels:
    """The columns of new labels that an entry is asked by; one row each."""

    keys: KeyHashes
    rows: Int64
    beyond: Int8
    label: UInt64
    environment: Int32
    version: Int32
    received: Int64
    """In Unix minutes."""
    window: Int64
    """How far from its prediction it may have been received, in minutes."""
    older: Older = NO_OLDER


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What each row is: `what` of `compiled.rows`, `at` the place of its entry or -1."""

    at: Int64
    what: Int8


class RecentKeys:
    """Entries of the newest keys, and which keys have left.

    Args:
        capacity: most entries, `HOT_KEY_BYTES` each; with 0 everything is left to SQL.
        cold: keys that have left for which there is room, `COLD_KEY_BYTES` each.
    """

    def __init__(self, capacity: int, cold: int) -> None:
        self.capacity = capacity
        self._entries = hot_entries.new_entries(max(1, capacity))
        self._ring = np.zeros(2, np.int64)
        self._bits = _BITS_MIN
        self._table = np.zeros(1 << self._bits, np.uint64)
        self._secret = np.array([secrets.randbits(64), secrets.randbits(64)], np.uint64)
        self.cold = ColdKeys(cold)
        self._erased = Since()
        self._loose = Since()
        self._places = np.empty(0, np.int64)
        self._saved = self._entries[:0].copy()
        self._changes = 0
        self._before = 0

    @property
    def held_bytes(self) -> int:
        """What it holds in memory."""
        entries = len(self) * hot_entries.ENTRY_BYTES
        return entries + self._table.nbytes + self.cold.held_bytes

    @property
    def limit_bytes(self) -> int:
        """What it may hold at most."""
        return self.capacity * HOT_KEY_BYTES + self.cold.limit * COLD_KEY_BYTES

    def __len__(self) -> int:
        return int(self._ring[hot_entries.COUNT])

    def hashes(self, high: UInt64, low: UInt64, models: UInt64, positions: Int32) -> KeyHashes:
        """The hash of each key; `models` are hashes of models' names."""
        return KeyHashes(*hot_rows.key_hashes(high, low, models, positions, self._secret))

    def row_hashes(self, *columns: UInt64) -> UInt64:
        """64 bits of each row of several columns, with a secret of this process."""
        return sip.of_rows(np.stack(columns), self._secret[0], self._secret[1])

    @property
    def erased(self) -> Since:
        """The last rows that may have left the file."""
        return self._erased

    def note_erased(self, last: Since) -> None:
        """Rows up to these may have left the file: SQL says what is left of their keys.

        Those of an id that was forgotten need no note: nothing with that id comes this far again.
        """
        self._erased = Since(
            max(self._erased.prediction, last.prediction), max(self._erased.label, last.label)
        )

    def loosen(self, newest: Since) -> None:
        """Rows before these are of keys that have left, and may not be sealed."""
        self._loose = Since(
            max(self._loose.prediction, newest.prediction), max(self._loose.label, newest.label)
        )

    def is_loose(self, sealed: Since) -> bool:
        """Whether a key that has left may have no sealed row: then cold ones are left to SQL."""
        return self._loose.prediction > sealed.prediction or self._loose.label > sealed.label

    def begin(self, rows: int, newest: Since, sealed: Since) -> bool:
        """Begin a transaction of so many rows, links included.

        Args:
            rows: how many.
            newest: the row ids that it begins with.
            sealed: the row ids up to which rows are sealed.

        Returns:
            False if there are more than the index holds: then none of them may be ordinary.
        """
        fits = rows <= self.capacity
        if fits:
            self._make_room(rows, newest, sealed)
        self._changes = 0
        self._before = len(self)
        return fits

    def absent(self, keys: KeyHashes) -> Bool:
        """Which keys have no entry."""
        return hot_rows.absent(  # type: ignore[no-any-return]
            self._entries, self._table, self._bits, keys.low, keys.high
        )

    def maybe_cold(self, keys: KeyHashes) -> Bool:
        """Which keys have no entry, and may have had one."""
        if self.cold.empty:
            return np.zeros(len(keys.low), np.bool_)
        cold = self.cold.may_hold(keys.low, keys.high)
        # Of most batches no key is cold, and nothing else need be looked up.
        return cold & self.absent(keys) if cold.any() else cold

    def leave_to_sql(self, keys: KeyHashes, newest: Since) -> None:
        """Let nothing that has one of these keys be ordinary from now on.

        Args:
            keys: of them.
            newest: the row ids that the transaction begins with.
        """
        self._reserve(len(keys.low))
        self._changes = hot_rows.mark(
            self._entries, self._table, self._bits, keys.low, keys.high,
            np.array([newest.prediction, newest.label], np.int64), self._places, self._saved,
            self._changes,
        )  # fmt: skip

    def see_predictions(self, batch: Arriving, facts: SeriesFacts, newest: Since) -> Seen:
        """Take predictions in; nothing is settled before the batch's labels were seen.

        `newest`: the row ids that the transaction begins with.
        """
        self._reserve(len(batch.rows))
        at, what, self._changes = hot_rows.see_predictions(
            self._entries, self._table, self._bits, self._ring, batch.keys.low, batch.keys.high,
            batch.rows, batch.beyond, batch.span, batch.series, batch.slices, batch.predicted,
            batch.minute, batch.value, batch.failed, batch.received, facts.identity,
            self._bounds(newest), self._places, self._saved, self._changes,
        )  # fmt: skip
        return Seen(at, what)

    def see_labels(self, batch: ArrivingLabels, facts: SeriesFacts, newest: Since) -> Seen:
        """Take labels in."""
        self._reserve(len(batch.rows))
        at, what, self._changes = hot_rows.see_labels(
            self._entries, self._table, self._bits, self._ring, batch.keys.low, batch.keys.high,
            batch.rows, batch.beyond, batch.label, batch.environment, batch.version,
            batch.received, batch.window, facts.places, self._bounds(newest),
            self._places, self._saved, self._changes,
        )  # fmt: skip
        return Seen(at, what)

    def settle(self, *seen: Seen) -> None:
        """Leave to SQL all rows of the keys that turned out not to be ordinary."""
        for rows in seen:
            hot_rows.settle(self._entries, rows.at, rows.what)

    def since(self, seen: Seen, beyond: Int8, newest: Since, sealed: Since) -> Since:
        """Where the rows of the keys that are left to SQL begin, but for sealed ones."""
        rows = self._rows(newest, sealed)
        return Since(*hot_rows.first_row(self._entries, seen.at, seen.what, beyond, rows))

    def joined(self, seen: Seen, newest_prediction: int) -> Any:
        """What labels have met: columns as `compiled.rows.joined` returns them."""
        return hot_rows.joined(self._entries, seen.at, seen.what, newest_prediction)

    def keep(self) -> None:
        """The transaction is on disk."""
        self._changes = 0
        self._before = len(self)

    def undo(self) -> None:
        """The transaction is not on disk: nothing of it is remembered."""
        hot_entries.restore(
            self._entries, self._table, self._bits, self._ring, self._before, self._places,
            self._saved, self._changes,
        )  # fmt: skip
        self._changes = 0

    def _bounds(self, newest: Since) -> Int64:
        bounds = (newest.prediction, newest.label, self._erased.prediction, self._erased.label)
        return np.array(bounds, np.int64)

    def _rows(self, newest: Since, sealed: Since) -> Int64:
        ends = (newest, sealed, self._erased)
        return np.array([n for end in ends for n in (end.prediction, end.label)], np.int64)

    def _reserve(self, rows: int) -> None:
        """Room to save an entry for each of so many rows; compiled code writes there unchecked."""
        lacking = self._changes + rows - len(self._places)
        if lacking > 0:
            # Twice as much as there was, so that batches which grow seldom copy.
            more = max(lacking, len(self._places))
            self._places = np.concatenate([self._places, np.empty(more, np.int64)])
            self._saved = np.concatenate([self._saved, np.empty(more, hot_entries.ENTRY)])

    def _make_room(self, rows: int, newest: Since, sealed: Since) -> None:
        leaving = len(self) + rows - self.capacity
        if leaving > 0:
            lows, highs, *loose = hot_entries.drop_oldest(
                self._entries, self._table, self._bits, self._ring, leaving,
                self._rows(newest, sealed),
            )  # fmt: skip
            self.cold.add(lows, highs)
            self.loosen(Since(*loose))
        self.reserve(len(self) + rows)

    def reserve(self, entries: int) -> None:
        """Let so many entries be found without making the table larger again."""
        bits = self._bits
        while min(entries, self.capacity) > _LOAD * (1 << bits):
            bits += 1
        if bits > self._bits:
            self._bits = bits
            self._table = hot_entries.rehashed(self._entries, self._ring, bits)
