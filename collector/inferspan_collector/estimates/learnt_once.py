"""Estimates are learnt once per reference: to learn takes seconds, to know it again milliseconds.

Known by a hash of everything that is learnt from, so a late label, a correction or an erased row
makes another reference. At most `HELD_MAX` are kept; one is learnt at a time.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Strings
from inferspan_collector.estimates.foresight import Foresight, foresight
from inferspan_collector.last_used import LastUsed
from inferspan_collector.store.row_columns import RowColumns

HELD_MAX: Final = 32
"""Trees of four losses take some 2 MB, calibrations some kilobytes."""


class LearntOnce:
    """Learns, or knows it again. Safe from any thread."""

    def __init__(self, held_max: int = HELD_MAX) -> None:
        self._learning = threading.Lock()
        self._held: LastUsed[bytes, Foresight] = LastUsed(held_max)

    def __len__(self) -> int:
        return len(self._held)

    def __call__(self, reference: RowColumns, positive: str | None) -> Foresight:
        """As `foresight.foresight`."""
        known = reference.take((reference.correct >= -1) & ~reference.failed)
        key = _key(known, positive)
        found = self._held.get(key)
        if found is None:
            # Several who ask at once wait for the first, and take what it has learnt.
            with self._learning:
                found = self._held.get(key)
                if found is None:
                    found = foresight(known, positive)
                    self._held.put(key, found)
        return found


def _key(rows: RowColumns, positive: str | None) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    probabilities, features = rows.probabilities, rows.features
    digest.update(repr((len(rows), positive, probabilities.classes, [*features.numbers])).encode())
    numbers: list[NDArray[Any]] = [
        rows.correct,
        rows.score,
        rows.value,
        rows.truth,
        rows.weight,
        probabilities.table,
    ]
    for column in [*numbers, *features.numbers.values()]:
        digest.update(column.tobytes())
    for texts in (rows.task, rows.predicted, rows.actual):
        _add_texts(digest, texts)
    for name, texts in features.texts.items():
        digest.update(repr(name).encode())
        _add_texts(digest, texts)
    return digest.digest()


def _add_texts(digest: hashlib.blake2b, texts: NDArray[np.object_]) -> None:
    coded = Strings.of(texts)
    digest.update(repr(coded.values).encode())
    digest.update(coded.codes.tobytes())


LEARNT: Final = LearntOnce()
"""Those of this process."""
