"""Which keys may be older than the index remembers: a set that errs only on the safe side.

Four bytes a key, with open addressing: 64 bits of the key's hash say where, 32 others are kept, so
that a key which was never here is taken for one about once in a billion questions. It never
forgets; once it is full it says yes to everything, which is right and slow.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from inferspan_collector.batches import Bool, UInt64
from inferspan_collector.store.compiled import tags

_LOAD: Final = 0.8


class ColdKeys:
    """The set; its memory is taken when the first key comes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._tags = np.zeros(1, np.uint32)
        self._count = 0
        self._overflowed = False

    @property
    def empty(self) -> bool:
        """Whether no key is cold."""
        return self._count == 0 and not self._overflowed

    @property
    def held_bytes(self) -> int:
        """What it holds in memory."""
        return self._tags.nbytes

    def __len__(self) -> int:
        return self._count

    def add(self, lows: UInt64, highs: Any) -> None:
        """Take in keys."""
        if len(lows) == 0 or self._overflowed:
            return
        if self._count + len(lows) > self.limit:
            self._overflowed = True
            self._tags = np.zeros(1, np.uint32)
            return
        if self._count == 0:
            bits = max(4, int(np.ceil(np.log2(self.limit / _LOAD))))
            self._tags = np.zeros(1 << bits, np.uint32)
        self._count += tags.add(self._tags, lows, highs)

    def may_hold(self, lows: UInt64, highs: Any) -> Bool:
        """Which keys may be in it: bool[N]."""
        if self._overflowed or self._count == 0:
            return np.full(len(lows), self._overflowed, np.bool_)
        return tags.may_hold(self._tags, lows, highs)  # type: ignore[no-any-return]
