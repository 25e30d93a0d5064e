"""What receivers and publishers need of the pipeline, without what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    # Whoever only hands requests on does not load the database for it.
    from pathlib import Path

    import duckdb

    from inferspan_collector.batches import Decoded, LabelBatch
    from inferspan_collector.store.backup import Backup
    from inferspan_collector.store.cells import Committed
    from inferspan_collector.store.forgetting import Forgotten, ToForget
    from inferspan_collector.store.reader import Reader

Changed = TypeVar("Changed")


_NEXT_PROCESS_SECONDS: Final = 5
"""In which most often another process has started."""


class Overloaded(Exception):
    """The queue is full, or the store cannot write now: the sender should come again.

    `retry_after_seconds` says when. Receivers answer 503 + Retry-After, or UNAVAILABLE. `reason`
    is a short code of a fixed set, by which refusals are counted.
    """

    def __init__(
        self, message: str, retry_after_seconds: int = 1, *, reason: str = "store"
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.reason = reason


class Stopping(Overloaded):
    """This process takes nothing more: whoever sends is to come again, to the next one."""

    def __init__(self) -> None:
        message = "the collector is shutting down; send this again"
        super().__init__(message, _NEXT_PROCESS_SECONDS, reason="stopping")


class Unstorable(Exception):
    """This one request can never be stored, however often it is sent: 400."""


class Sink(Protocol):
    """What a receiver needs of the pipeline."""

    def submit(self, decoded: Decoded, transport: str) -> Future[Committed]:
        """Queue a request's batches; the future is done once they are on disk.

        A request without any row is answered at once.

        Raises at once, and the future may end with, `Overloaded` (passing) or `Unstorable`
        (this request's own fault).
        """

    def keep(self, decoded: Decoded, transport: str, waited: float = 0.0) -> Future[Any]:
        """Queue a request's batches; the future is done once they are on disk, for good.

        Cheaper than `submit`, for who does not ask what became of single rows; otherwise as it.
        `waited` says how long it has waited for others already, in seconds.
        """

    def rehearse(self, labels: LabelBatch) -> Future[tuple[str, ...]]:
        """What would become of each label now, in the words of `Committed.labels`; none is stored.

        The future may end as that of `submit`.
        """

    def check_room(self, size: int, transport: str) -> None:
        """Raise `Overloaded` where `submit` would, for want of room for so many bytes.

        Asked before a request is decoded: under overload most of that would be in vain.
        """

    def now_ns(self) -> int:
        """The time of receipt, Unix ns."""


class Keeping(Protocol):
    """What whoever runs the collector may ask of the pipeline."""

    def forget(self, asked: ToForget, *, dry_run: bool = False) -> Future[Forgotten]:
        """Erase the rows of an id for good; done once that is on disk.

        The future may end with `Overloaded`: nothing was erased, ask again.
        """

    def change(self, run: Callable[[duckdb.DuckDBPyConnection], Changed]) -> Future[Changed]:
        """Change what no row counts, in a transaction of its own; done once that is on disk.

        The future may end with `Overloaded`: nothing was changed, ask again.
        """

    def backup(self, directory: Path) -> Backup:
        """Copy the store into a directory; returns when the copy is whole. One at a time.

        Raises:
            Overloaded: another one runs.
            StoreError: the directory is unusable, or the copy failed.
        """


class Queries(Protocol):
    """What publishers need of the pipeline."""

    @property
    def reader(self) -> Reader:
        """Questions to the store, answered once it has all that was acknowledged before."""

    @property
    def stored(self) -> Reader:
        """Questions to the store as the last transaction left it; they hasten nothing."""

    def now_ns(self) -> int:
        """The current time, Unix ns."""

    def acknowledge(self, sequences: Sequence[int]) -> Future[None]:
        """Delete outbox entries that were delivered."""

    @property
    def alive(self) -> bool:
        """Whether the writer runs: without it nothing is ever answered."""

    @property
    def failure(self) -> Future[str]:
        """Done, and says why, once the store can never be used again by this process."""
