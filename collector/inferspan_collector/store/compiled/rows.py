"""Rows against the entries of recent keys, compiled: which are ordinary, and what they mean.

The first pass goes through the rows in order and changes entries; a key of which more is known
than an entry holds is marked, and the second pass leaves all of its rows in the batch to SQL, the
earlier ones too. About 60 ns a row while the entries are in the cache, and a cache miss or two
where not.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from inferspan_collector.compilation import entry, part
from inferspan_collector.store.compiled import sip
from inferspan_collector.store.compiled.entries import (
    FAILED,
    HAS_LABEL,
    HAS_PREDICTION,
    RECEIVED_SHIFT,
    SQL_ONLY,
    ask_for,
    find,
    insert,
    whole,
)

IN_SQL: Final = 0
"""Left to SQL."""
NEW: Final = 1
"""A prediction: the first of its key."""
AGAIN: Final = 2
"""Exactly what was seen before."""
WAITING: Final = 3
"""A label: the first record of its key."""
JOINED: Final = 4
"""A label: the first of a key with one prediction, which it is about."""
ORDINARY: Final = 0
"""Of an arriving row: nothing is known of it that only SQL could tell."""
EXCEPTIONAL: Final = 1
"""It has a key, and cannot be ordinary."""
MAYBE_COLD: Final = 2
"""Its key may be older than the index."""
KEYLESS: Final = 3
"""It names no prediction by id and model."""


@entry
def key_hashes(high: Any, low: Any, models: Any, positions: Any, secret: Any) -> Any:
    """96 bits of each row's (id, model, index): uint64[N] and uint32[N]."""
    lows = np.empty(len(high), np.uint64)
    highs = np.empty(len(high), np.uint32)
    state = np.empty(4 * sip.STRIP, np.uint64)
    for first in range(0, len(high), sip.STRIP):
        end = min(first + sip.STRIP, len(high))
        sip.begin_strip(state, end - first, secret[0], secret[1])
        sip.absorb_strip(state, high[first:end])
        sip.absorb_strip(state, low[first:end])
        sip.absorb_strip(state, models[first:end])
        sip.absorb_strip(state, positions[first:end])
        for row in range(end - first):
            one, other = sip.ended_of_strip(state, row)
            lows[first + row] = one
            highs[first + row] = np.uint32(other & np.uint64(0xFFFFFFFF))
    return lows, highs


@entry
def absent(entries: Any, table: Any, bits: Any, lows: Any, highs: Any) -> Any:
    """Which keys have no entry: bool[N]."""
    found = np.empty(len(lows), np.bool_)
    for row in range(len(lows)):
        ask_for(table, bits, lows, row)
        found[row] = find(entries, table, bits, lows[row], highs[row]) < 0
    return found


@part
def _save(entries: Any, place: Any, places: Any, saved: Any, n: Any) -> Any:
    places[n] = place
    saved[n] = entries[place]
    return n + 1


@part
def _is_erased(entry: Any, bounds: Any) -> Any:
    """Whether a row of the entry may have left the file; `bounds` as `see_predictions` has them."""
    return (
        entry.state & HAS_PREDICTION != 0 and whole(entry.prediction, bounds[0]) <= bounds[2]
    ) or (entry.state & HAS_LABEL != 0 and whole(entry.label_row, bounds[1]) <= bounds[3])


@entry
def mark(
    entries: Any, table: Any, bits: Any, lows: Any, highs: Any, since: Any, places: Any,
    saved: Any, n: Any,
) -> Any:  # fmt: skip
    """Leave these keys to SQL from now on; returns the new number of saved entries.

    `since` is int64[2], from which prediction row and label row on there may be rows of theirs that
    their entries are not told of.
    """
    for row in range(len(lows)):
        ask_for(table, bits, lows, row)
        place = find(entries, table, bits, lows[row], highs[row])
        if place < 0:
            continue
        n = _save(entries, place, places, saved, n)
        entry = entries[place]
        if entry.state & HAS_PREDICTION == 0:
            entry.prediction = np.uint32(since[0] & 0xFFFFFFFF)
        if entry.state & HAS_LABEL == 0:
            entry.label_row = np.uint32(since[1] & 0xFFFFFFFF)
        entry.state |= np.uint32(SQL_ONLY | HAS_PREDICTION | HAS_LABEL)
    return n


@entry
def see_predictions(
    entries: Any, table: Any, bits: Any, ring: Any, lows: Any, highs: Any, rows: Any,
    beyond: Any, spans: Any, series: Any, slices: Any, predicted: Any, minutes: Any, values: Any,
    failed: Any, received: Any, identities: Any, bounds: Any, places: Any, saved: Any, n: Any,
) -> Any:  # fmt: skip
    """First pass over predictions, columns as `recent_keys.Arriving` has them.

    `identities` is the identity of each series; `bounds` int64[4]: the row ids after the newest
    prediction and label, and the greatest ids of each that were erased. Changed entries are kept in
    `places` and `saved`, for the way back, from `n` on. Gives int64[N], the entry of each row
    (-1 = none), int8[N], what it is, and the new `n`.
    """
    at = np.full(len(rows), -1, np.int64)
    what = np.zeros(len(rows), np.int8)
    for row in range(len(rows)):
        ask_for(table, bits, lows, row)
        if beyond[row] == MAYBE_COLD:
            continue
        place = find(entries, table, bits, lows[row], highs[row])
        if place < 0:
            place = insert(entries, table, bits, ring, lows[row], highs[row])
            what[row] = NEW
            first = True
        else:
            n = _save(entries, place, places, saved, n)
            first = entries[place].state & HAS_PREDICTION == 0
            entry = entries[place]
            if (
                not first
                and entry.span == spans[row]
                and identities[entry.series] == identities[series[row]]
                and not _is_erased(entry, bounds)
            ):
                what[row] = AGAIN
            else:
                entry.state |= np.uint32(SQL_ONLY)
        entry = entries[place]
        at[row] = place
        if beyond[row] == EXCEPTIONAL:
            entry.state |= np.uint32(SQL_ONLY)
        if first:
            entry.state &= np.uint32((1 << RECEIVED_SHIFT) - 1)
            entry.state |= np.uint32(HAS_PREDICTION)
            entry.state |= np.uint32(received[row]) << np.uint32(RECEIVED_SHIFT)
            if failed[row]:
                entry.state |= np.uint32(FAILED)
            entry.prediction = np.uint32(rows[row] & 0xFFFFFFFF)
            entry.span = spans[row]
            entry.series = series[row]
            entry.slices = slices[row]
            entry.predicted = predicted[row]
            entry.minute = minutes[row]
            entry.value = values[row]
    return at, what, n


@entry
def see_labels(
    entries: Any, table: Any, bits: Any, ring: Any, lows: Any, highs: Any, rows: Any,
    beyond: Any, hashes: Any, environments: Any, versions: Any, received: Any, windows: Any,
    of_series: Any, bounds: Any, places: Any, saved: Any, n: Any,
) -> Any:  # fmt: skip
    """First pass over labels, after that over the predictions of the batch.

    Columns as `recent_keys.ArrivingLabels` has them; `of_series` is int32[S, 2], the environment
    and version of each series. Gives what the pass over predictions gives.
    """
    at = np.full(len(rows), -1, np.int64)
    what = np.zeros(len(rows), np.int8)
    for row in range(len(rows)):
        ask_for(table, bits, lows, row)
        if beyond[row] >= MAYBE_COLD:
            continue
        place = find(entries, table, bits, lows[row], highs[row])
        if place < 0:
            place = insert(entries, table, bits, ring, lows[row], highs[row])
            what[row] = WAITING
            first = True
        else:
            n = _save(entries, place, places, saved, n)
            entry = entries[place]
            first = entry.state & HAS_LABEL == 0
            apart = abs(np.int64(entry.state >> np.uint32(RECEIVED_SHIFT)) - received[row])
            if _is_erased(entry, bounds):
                entry.state |= np.uint32(SQL_ONLY)
            elif not first:
                if entry.label == hashes[row]:
                    what[row] = AGAIN
                else:
                    entry.state |= np.uint32(SQL_ONLY)
            elif (
                # -1 alone is a label that names none: what nobody has is below 0, too.
                (environments[row] == -1 or environments[row] == of_series[entry.series, 0])
                and (versions[row] == -1 or versions[row] == of_series[entry.series, 1])
                # Cut to minutes, both: where a minute matters, SQL decides.
                and apart + 1 < windows[row]
            ):
                what[row] = JOINED
            else:
                entry.state |= np.uint32(SQL_ONLY)
        entry = entries[place]
        at[row] = place
        if beyond[row] == EXCEPTIONAL:
            entry.state |= np.uint32(SQL_ONLY)
        if first:
            entry.state |= np.uint32(HAS_LABEL)
            entry.label = hashes[row]
            entry.label_row = np.uint32(rows[row] & 0xFFFFFFFF)
    return at, what, n


@entry
def settle(entries: Any, at: Any, what: Any) -> Any:
    """Second pass: leave to SQL whatever has a key that is left to SQL."""
    for row in range(len(at)):
        if at[row] < 0 or entries[at[row]].state & SQL_ONLY:
            what[row] = IN_SQL


@entry
def first_row(entries: Any, at: Any, what: Any, beyond: Any, rows: Any) -> Any:
    """From which prediction row and label row on the rows of keys left to SQL are.

    `rows` as `entries.drop_oldest` has them: of older keys the sealed rows are known otherwise.
    """
    prediction, label = rows[0], rows[1]
    for row in range(len(at)):
        if what[row] != IN_SQL:
            continue
        if at[row] < 0 and beyond[row] == MAYBE_COLD:
            prediction, label = min(prediction, rows[2]), min(label, rows[3])
            continue
        if at[row] < 0:
            return np.int64(0), np.int64(0)
        entry = entries[at[row]]
        if entry.state & HAS_PREDICTION:
            prediction = min(prediction, whole(entry.prediction, rows[0]))
        if entry.state & HAS_LABEL:
            label = min(label, whole(entry.label_row, rows[1]))
    return prediction, label


@entry
def joined(entries: Any, at: Any, what: Any, newest: Any) -> Any:
    """What the labels that joined have met: one row a label, in their order."""
    n = 0
    for row in range(len(what)):
        n += what[row] == JOINED
    label = np.empty(n, np.int64)
    prediction = np.empty(n, np.int64)
    series = np.empty(n, np.int32)
    slices = np.empty(n, np.int32)
    predicted = np.empty(n, np.int32)
    minute = np.empty(n, np.int32)
    value = np.empty(n, np.float64)
    counted = np.empty(n, np.bool_)
    n = 0
    for row in range(len(what)):
        if what[row] != JOINED:
            continue
        entry = entries[at[row]]
        label[n] = row
        prediction[n] = whole(entry.prediction, newest)
        series[n] = entry.series
        slices[n] = entry.slices
        predicted[n] = entry.predicted
        minute[n] = entry.minute
        value[n] = entry.value
        counted[n] = entry.state & FAILED == 0
        n += 1
    return label, prediction, series, slices, predicted, minute, value, counted
