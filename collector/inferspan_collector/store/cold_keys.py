"""Which keys may be older than the index remembers: a set that errs only on the safe side.

Its memory is fixed. What it takes wrongly for one of its keys is looked up among the sealed rows
(`sealed_rows`), so that more keys than it was made for cost time, and not much.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inferspan_collector.batches import Bool, UInt64
from inferspan_collector.config.memory import COLD_KEY_BYTES
from inferspan_collector.store.compiled import bloom


class ColdKeys:
    """The set; its memory is reserved at once, and taken when the first key comes.

    Args:
        limit: for how many keys it has room, `COLD_KEY_BYTES` each: of other keys it then takes
            about one in 40,000 for its own, with five times as many keys one in 70. With 0 it
            takes every key for its own once it has one.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        blocks = max(1, limit * COLD_KEY_BYTES // (8 * bloom.WORDS)) if limit else 0
        # Not later: keys that could not be taken in would have left memory, and count as new.
        self._words = np.zeros(blocks * bloom.WORDS, np.uint64)
        self._count = 0

    @property
    def empty(self) -> bool:
        """Whether no key is cold."""
        return self._count == 0

    @property
    def held_bytes(self) -> int:
        """What it holds in memory."""
        return 0 if self.empty else self._words.nbytes

    def __len__(self) -> int:
        return self._count

    def add(self, lows: UInt64, highs: Any) -> None:
        """Take in keys."""
        self._count += len(lows)
        if self.limit > 0:
            bloom.add(self._words, lows, highs)

    def may_hold(self, lows: UInt64, highs: Any) -> Bool:
        """Which keys may be in it: bool[N]."""
        if self._count == 0 or self.limit == 0:
            return np.full(len(lows), self._count > 0, np.bool_)
        return bloom.may_hold(self._words, lows, highs)  # type: ignore[no-any-return]
