"""Bodies of HTTP requests that go by ASGI, chunk by chunk."""

from __future__ import annotations

from collections import deque
from typing import Final

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

WAITING_BYTES_MAX: Final = 256 * 1024
"""Of a body, until whoever answers takes them; the connection is not read meanwhile."""


class Body:
    """A request's body on its way to whoever answers: chunks are handed on, never copied.

    Args:
        cycle: of the request.

    uvicorn's own gathers them in one buffer, copies that at each turn, and stops reading at 64 KiB:
    half of what receiving a request costs.
    """

    __slots__ = ("_chunks", "_cycle", "_held", "_whole")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._whole = False
        """Whether all of it was handed on."""

    def add(self, chunk: bytes) -> None:
        """Keep what has come."""
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held > WAITING_BYTES_MAX:
            self._cycle.flow.pause_reading()
        self._cycle.message_event.set()

    async def receive(self) -> Message:
        """ASGI's `receive`: a chunk a message."""
        cycle = self._cycle
        if cycle.waiting_for_100_continue and not cycle.transport.is_closing():
            cycle.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            cycle.waiting_for_100_continue = False
        while not (cycle.disconnected or cycle.response_complete):
            if self._chunks:
                chunk = self._chunks.popleft()
                self._held -= len(chunk)
                self._whole = not (self._chunks or cycle.more_body)
                return {"type": "http.request", "body": chunk, "more_body": not self._whole}
            if not cycle.more_body and not self._whole:
                self._whole = True
                return {"type": "http.request", "body": b"", "more_body": False}
            cycle.flow.resume_reading()
            await cycle.message_event.wait()
            cycle.message_event.clear()
        return {"type": "http.disconnect"}
