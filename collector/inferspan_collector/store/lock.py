"""One collector to a data directory: a lock that is held as long as the store is open."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final, Self

LOCK_NAME: Final = "inferspan.lock"


class DirectoryInUse(RuntimeError):
    """Another store is open there; `holder` is its process id, 0 where it is not known."""

    def __init__(self, holder: int) -> None:
        super().__init__(f"held by process {holder or 'unknown'}")
        self.holder = holder


class DirectoryLock:
    """An exclusive lock on a directory, let go of by `release` or by the end of the process.

    DuckDB locks its file, too, but only once it is open, and what the log needs is done before.
    The lock file stays: to remove it would let two processes lock two files of the same name.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, directory: Path) -> Self:
        """Lock a directory that exists.

        Raises:
            DirectoryInUse: another store is open there.
            OSError: the directory cannot be written to.
        """
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).strip()
            os.close(descriptor)
            raise DirectoryInUse(int(text) if text.isdigit() else 0) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let go. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
