"""What is done to a store's files before DuckDB opens them: a torn log is cut where it is whole.

Whoever calls holds the directory's lock. Whatever is cut off is kept beside the log.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inferspan_collector.store import durably, write_ahead

TAILS_MAX: Final = 10
"""Pieces kept of one log; the last of them is replaced by what comes after."""
_LOGS: Final = (".wal", ".wal.checkpoint", ".wal.recovery")
"""The log, and those that DuckDB has beside it while a checkpoint runs."""

_logger = logging.getLogger(__name__)


class BrokenLog(RuntimeError):
    """A log is damaged in its middle: to cut it would lose transactions that were acknowledged."""

    def __init__(self, path: Path, log: write_ahead.Log) -> None:
        super().__init__(
            f"{path} is damaged at byte {log.valid} of {log.length}, and at least {log.beyond} "
            "whole transactions follow the damage"
        )
        self.path, self.log = path, log


@dataclass(frozen=True, slots=True)
class Cut:
    """A log that was cut."""

    path: Path
    kept_bytes: int
    cut_bytes: int
    tail: Path
    """Where the bytes are that were cut off."""
    lost: int
    """Whole transactions among them: 0, unless a repair was asked for."""


def logs_of(store: Path) -> dict[Path, write_ahead.Log]:
    """The logs beside a store's file, and what each holds."""
    paths = (store.with_name(store.name + suffix) for suffix in _LOGS)
    return {path: write_ahead.inspect(path.read_bytes()) for path in paths if path.exists()}


def mend_logs(store: Path, *, even_broken: bool = False) -> list[Cut]:
    """Cut the logs of a store behind their last whole transaction.

    Args:
        store: the DuckDB file.
        even_broken: cut a log that is damaged in its middle, too, at the damage.

    Raises:
        BrokenLog: one is damaged in its middle; nothing was changed.
        OSError: a file cannot be read or written.
    """
    found = logs_of(store)
    for path, log in found.items():
        if log.state == "broken" and not even_broken:
            raise BrokenLog(path, log)
    return [_cut(path, log) for path, log in found.items() if log.state in ("torn", "broken")]


def _cut(path: Path, log: write_ahead.Log) -> Cut:
    tail = _free_name(path)
    partial = tail.with_name(f"{tail.name}.partial")
    with path.open("r+b") as file:
        file.seek(log.valid)
        partial.write_bytes(file.read())
        durably.publish(partial, tail)
        file.truncate(log.valid)
        os.fsync(file.fileno())
    cut = Cut(path, log.valid, log.length - log.valid, tail, log.beyond)
    _logger.warning(
        "%s ended in %d bytes that are no whole transaction; cut at byte %d, and they are kept in "
        "%s. What was acknowledged lies before them%s",
        path,
        cut.cut_bytes,
        cut.kept_bytes,
        tail,
        "" if not log.beyond else f", but for {log.beyond} transactions or more that are lost",
    )
    return cut


def _free_name(path: Path) -> Path:
    names = [path.with_name(f"{path.name}.tail-{n}") for n in range(1, TAILS_MAX + 1)]
    return next((name for name in names if not name.exists()), names[-1])
