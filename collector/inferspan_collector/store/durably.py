"""Files that are there after a power cut, or as they were before: fsync, rename, fsync."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path


class Gone(OSError):
    """A file was removed or replaced while it was open: what is written to it is nowhere."""

    def __init__(self, path: Path) -> None:
        super().__init__(errno.ENOENT, "removed or replaced while it was open", str(path))


def check_named(descriptor: int, path: Path) -> None:
    """Hold that an open file still has a name.

    Raises:
        Gone: it was removed, perhaps with its directory.
    """
    if os.fstat(descriptor).st_nlink == 0:
        raise Gone(path)


def sync_directory(directory: Path) -> None:
    """Put the names in a directory on disk: a new file's own fsync does not promise that."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Put a file's content on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(partial: Path, path: Path) -> None:
    """Give a finished file its name, replacing what has it: all of it is there, or nothing."""
    sync_file(partial)
    os.replace(partial, path)
    sync_directory(path.parent)


def copy(source: Path, target: Path) -> None:
    """Copy a file, durably and as a whole; what had the target's name is replaced."""
    partial = target.with_name(f"{target.name}.partial")
    try:
        shutil.copyfile(source, partial)
        publish(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
