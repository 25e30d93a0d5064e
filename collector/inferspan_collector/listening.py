"""Take the addresses we listen on; where one is taken, find out what holds it."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from inferspan_collector.config import split_address

LISTEN_STATE = "0A"
"""TCP_LISTEN, as Linux writes it in /proc/net/tcp."""
COMMAND_LENGTH_MAX = 80
PORTS_TRIED = 200
OPEN_FILES = 65_536
FILES_KEPT = 128
"""For the store, the journal and gRPC, of those that may be open."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that listens on a port."""

    pid: int
    command: str


class AddressTaken(OSError):
    """Something else listens there; `holder` is what seems to, None where it cannot be seen."""

    def __init__(self, address: str, holder: Holder | None) -> None:
        by = f"by process {holder.pid}: {holder.command}" if holder else "by another process"
        super().__init__(f"{address} is taken, it seems {by}")
        self.address = address
        self.holder = holder


def allow_open_files() -> None:
    """Let this process have as many files and sockets open as it may ask for.

    The usual 1,024 are fewer than connections and the store take together, and a store that cannot
    open its file has failed.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit.
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_max(configured: int) -> int:
    """How many connections of `limits.connections` this process can have open beside its files."""
    try:
        import resource
    except ImportError:
        return configured
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return configured
    most = max(files // 2, files - FILES_KEPT)
    if most < configured:
        _logger.warning(
            "%d connections are taken at most: limits.connections is %d, and this process may have "
            "%d files open; raise its limit (ulimit -n)",
            most,
            configured,
            files,
        )
    return min(configured, most)


def bind(address: str) -> socket.socket:
    """Take an address and hold it, not yet listening.

    Args:
        address: `HOST:PORT`; port 0 takes a free one.

    Returns:
        The bound socket, non-blocking; its `getsockname()` tells the port.

    Raises:
        AddressTaken: something listens there already.
        OSError: the address is not one of this machine, or needs a privilege.
    """
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Lets a restart take the port back while old connections linger in TIME_WAIT; on Linux
        # it never lets two listeners share one.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(address, holder(port)) from error
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    listener.setblocking(False)
    return listener


def free_address(address: str, avoid: Collection[int] = ()) -> str:
    """The next address upwards, on the same host, that nobody holds at this moment.

    Args:
        address: `HOST:PORT`.
        avoid: ports that are meant for something else.

    Returns:
        `HOST:PORT`; port 0 where none of the next 200 is free.
    """
    host, port = split_address(address)
    shown = f"[{host}]" if ":" in host else host
    for candidate in range(port + 1, min(port + PORTS_TRIED, 65536)):
        if candidate in avoid:
            continue
        try:
            bind(f"{shown}:{candidate}").close()
        except OSError:
            continue
        return f"{shown}:{candidate}"
    return f"{shown}:0"


def address_of(listener: socket.socket) -> str:
    """`HOST:PORT` of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def holder(port: int) -> Holder | None:
    """The process that listens on a TCP port of this machine.

    None where nothing does, where it is another user's, or where there is no Linux `/proc`.
    """
    inodes = set(_listening_inodes(port))
    if not inodes:
        return None
    sockets = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        if not sockets.isdisjoint(_descriptors(process)):
            return Holder(int(process.name), _command(process))
    return None


def _descriptors(process: Path) -> Iterator[str]:
    """What a process has open; nothing where it is another user's or has just ended."""
    try:
        descriptors = list((process / "fd").iterdir())
    except OSError:
        return
    for descriptor in descriptors:
        # Each may be closed while we look.
        with contextlib.suppress(OSError):
            yield str(descriptor.readlink())


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == LISTEN_STATE and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "(ended)"
    text = " ".join(word for word in words if word)
    return text if len(text) <= COMMAND_LENGTH_MAX else f"{text[:COMMAND_LENGTH_MAX]}…"
