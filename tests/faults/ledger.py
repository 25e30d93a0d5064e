"""What was acknowledged, kept outside of the process that is killed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from truth import Key, Record, Row, Truth


class Ledger:
    """Records whose sender was told that they are stored. Thread-safe.

    Attributes:
        watcher: called after each acknowledgement.
    """

    def __init__(self) -> None:
        self._truth = Truth()
        self.watcher: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def acknowledge(self, records: Iterable[Record]) -> None:
        """Note that a request that holds these was answered with success."""
        with self._lock:
            for record in records:
                self._truth.add(record)
        self.watcher()

    def rows(self, version: str) -> dict[Key, Row]:
        """What must be there of one version, once nothing of it is under way."""
        with self._lock:
            return self._truth.rows(version=version)

    def stages(self, version: str) -> dict[str, tuple[int, int]]:
        """What must be counted of the steps of one version's predictions."""
        with self._lock:
            return self._truth.stages(version)

    def trace_ids(self) -> dict[Key, bytes]:
        """The trace of every prediction."""
        with self._lock:
            return self._truth.trace_ids()
