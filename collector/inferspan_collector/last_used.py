"""What was used last, kept up to a number: for what is dear to make and asked for again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class LastUsed(Generic[_K, _V]):
    """At most so many values by their keys; the one that was used longest ago leaves first.

    Safe from any thread.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[_K, _V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: _K) -> _V | None:
        """The value of a key, which is used by that; None where it is not there."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: _K, value: _V) -> None:
        """Keep a value."""
        with self._lock:
            self._held[key] = value
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
