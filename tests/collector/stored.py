"""A real store in a directory, as the publisher of evaluations sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from asking import FilledStore
from records import SECOND_NS, Label, Prediction

from inferspan_collector.config import Config
from inferspan_collector.publish.metrics.noticed import Noticed


class Stored(FilledStore):
    """A store with its outbox; each commit is a second after the one before.

    `refusing`, where set, is what an acknowledgement ends with.
    """

    def __init__(self, directory: Path, config: Config) -> None:
        super().__init__(directory, config)
        self.acknowledged: list[int] = []
        self.refusing: Exception | None = None

    def acknowledge(self, sequences: Sequence[int]) -> Future[None]:
        done: Future[None] = Future()
        if self.refusing is not None:
            done.set_exception(self.refusing)
            return done
        self._writer.delete_outbox(sequences)
        self.acknowledged += sequences
        done.set_result(None)
        return done

    def commit(self, *rows: Prediction | Label) -> None:
        """Commit records as one request."""
        self.now += SECOND_NS
        self.add(*rows)


@contextlib.contextmanager
def stored(directory: Path, config: Config) -> Iterator[Stored]:
    """Open a store; closed when the block ends."""
    store = Stored(directory, config)
    try:
        yield store
    finally:
        store.close()


def unnoticed(_: str) -> Noticed:
    """What is wrong with any model: nothing."""
    return Noticed()
