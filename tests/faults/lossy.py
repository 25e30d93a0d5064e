"""A network that loses answers: the request arrives and is stored, and its sender never knows."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Literal

Fate = Literal["passed", "dropped", "held"]
CHUNK_BYTES = 65_536


class Lossy:
    """A TCP proxy for one request at a time on each connection.

    Args:
        upstream: `http://HOST:PORT`.
        rng: decides each answer's fate.
        dropped: the share of answers at which the connection is closed instead.
        held: the share of answers that never come, on a connection that stays open.

    Attributes:
        fates: how many answers met which.
    """

    def __init__(self, upstream: str, rng: random.Random, dropped: float, held: float) -> None:
        host, _, port = upstream.removeprefix("http://").rpartition(":")
        self.fates: Counter[Fate] = Counter()
        self._upstream = (host, int(port))
        self._rng = rng
        self._weights = (1 - dropped - held, dropped, held)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close everything."""
        # Closing alone does not wake who accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(self._upstream) as server,
            self._noted(client, server),
        ):
            asking = threading.Thread(target=_pump, args=(client, server), daemon=True)
            asking.start()
            self._answer(client, server)
            # Whoever reads from it must not wait for ever.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            asking.join()

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        while answer := server.recv(CHUNK_BYTES):
            with self._lock:
                ways: tuple[Fate, ...] = ("passed", "dropped", "held")
                (fate,) = self._rng.choices(ways, self._weights)
                self.fates[fate] += 1
            if fate == "dropped":
                return
            if fate == "passed":
                client.sendall(answer)

    @contextlib.contextmanager
    def _noted(self, *connections: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.update(connections)
        try:
            yield
        finally:
            with self._lock:
                self._open.difference_update(connections)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK_BYTES):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
