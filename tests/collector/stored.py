"""A real store in a directory, as publishers see it: `Queries` with a clock that a test sets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from records import START_NS, Label, Prediction, decoded

from inferspan_collector.config import Config
from inferspan_collector.store.database import Database
from inferspan_collector.store.reader import Reader, StoreReader
from inferspan_collector.store.writer import Writer
from inferspan_collector.telemetry import Telemetry


class Stored:
    """A store, its reader, and what was acknowledged."""

    def __init__(self, database: Database, config: Config) -> None:
        self.config = config
        self.telemetry = Telemetry()
        self.acknowledged: list[int] = []
        self.now = START_NS
        self._reader = StoreReader(database)
        self._writer = Writer(database, config, self.telemetry)

    @property
    def reader(self) -> Reader:
        return self._reader

    def now_ns(self) -> int:
        return self.now

    def acknowledge(self, sequences: Sequence[int]) -> Future[None]:
        self._writer.delete_outbox(sequences)
        self.acknowledged += sequences
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def commit(self, *rows: Prediction | Label) -> None:
        """Commit records as one request, a second after the one before."""
        self.now += 1_000_000_000
        self._writer.commit([decoded(*rows)], self.now)


@contextlib.contextmanager
def stored(directory: Path, config: Config) -> Iterator[Stored]:
    """Open a store; closed when the block ends."""
    database = Database.open(directory)
    try:
        yield Stored(database, config)
    finally:
        database.close()
