"""The body of an HTTP request: read under one limit, and held within one budget."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Self

from starlette.types import Receive, Scope

from inferspan_collector.config import Limits
from inferspan_collector.submission import Overloaded, Stopping

ENCODINGS: Final = ("identity", "gzip", "deflate", "zstd")
"""What the stock exporters and the stock Collector can be set to, and we can bound."""
CHUNK_SECONDS_MAX: Final = 10.0
"""How long a sender may fall silent within a body: what it has sent so far is held meanwhile."""
BODY_SECONDS_MAX: Final = 60.0
"""How long a whole body may take."""
LATE_SECONDS: Final = 2.0
"""Who is found too slow so much later than that could be seen was not: this process stood still,
stopped or on a machine that slept, and what was sent waits to be read."""
ROW_BYTES: Final = 512
"""What a row takes while it is made."""
ROWS_SHARE: Final = 4
"""The rows of one request are counted up to this fraction of all."""
_REASONS: Final = {
    400: "unreadable",
    404: "unknown_path",
    405: "method",
    408: "too_slow",
    413: "too_large",
    415: "unsupported_type",
}


class RefusedBody(Exception):
    """The request cannot be read.

    `status` is the HTTP status that says so; `value` is what was found, `rule` what is allowed,
    `remedy` what to do; `headers` go with the answer.
    """

    def __init__(
        self,
        status: int,
        value: str,
        rule: str,
        remedy: str,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{value}: {rule}; {remedy}")
        self.status = status
        self.value = value
        self.rule = rule
        self.remedy = remedy
        self.headers = headers

    @property
    def reason(self) -> str:
        """A short code, by which refusals are counted."""
        return _REASONS[self.status]


class ClientDisconnected(Exception):
    """The client went away before its request was whole: there is nobody to answer."""


class Budget:
    """What unfinished requests of all transports may hold together, and how long.

    Args:
        limit_bytes: of all together.
        chunk_seconds: the longest silence within a body.
        body_seconds: the longest time for a whole body.

    Thread-safe, but for what says when bodies are read, which belongs to one event loop.
    """

    def __init__(
        self,
        limit_bytes: int,
        chunk_seconds: float = CHUNK_SECONDS_MAX,
        body_seconds: float = BODY_SECONDS_MAX,
    ) -> None:
        self._limit = limit_bytes
        self._chunk_seconds = chunk_seconds
        self._body_seconds = body_seconds
        self._held = self._requests = 0
        self._lock = threading.Lock()
        self._reading: set[asyncio.Timeout] = set()
        self._uploads: set[Callable[[], None]] = set()
        self._stopping = False

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """As much as may wait for the store, and in any case one request."""
        return cls(max(limits.queue_bytes, limits.request_bytes))

    def take(self, count: int, requests: int = 0) -> None:
        """Hold `count` bytes more, of so many requests that held none before.

        Raises:
            Overloaded: that would be over the limit.
        """
        with self._lock:
            if self._held + count > self._limit:
                raise Overloaded(
                    f"requests under way hold {self._held} bytes; {self._limit} is the limit",
                    reason="requests_under_way",
                )
            self._held += count
            self._requests += requests

    def give(self, count: int, requests: int = 0) -> None:
        """Let go of bytes that were taken, and of so many requests."""
        with self._lock:
            self._held -= count
            self._requests -= requests

    @contextmanager
    def holding(self, count: int) -> Iterator[None]:
        """Hold `count` bytes of a request as long as the block lasts; raises as `take`."""
        self.take(count, 1)
        try:
            yield
        finally:
            self.give(count, 1)

    @contextmanager
    def making_rows(self, body_bytes: int) -> Iterator[Callable[[int], None]]:
        """Hold what the rows of a body take while they are made.

        However many they are, one request may always pass while there is no other.

        Args:
            body_bytes: what is held for the body itself.

        Yields:
            To be called with a number of rows before they are made; raises as `take`.
        """
        most = max(0, min(self._limit // ROWS_SHARE, self._limit - body_bytes))
        held = wanted = 0

        def reserve(rows: int) -> None:
            nonlocal held, wanted
            wanted += rows * ROW_BYTES
            more = min(wanted, most) - held
            self.take(more)
            held += more

        try:
            yield reserve
        finally:
            self.give(held)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Callable[[], None]]:
        """Bound the time that reading a body takes.

        Yields:
            To be called after each chunk: the sender is not silent.

        Raises:
            RefusedBody: 408, the sender was too slow.
            Overloaded: the collector is stopping, or stood still.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._body_seconds

        def next_deadline() -> float:
            return min(loop.time() + self._chunk_seconds, end)

        until = loop.time() if self._stopping else next_deadline()
        deadline = asyncio.timeout_at(until)

        def heard() -> None:
            nonlocal until
            later = next_deadline()
            # Not for every chunk: most bodies are whole within a millisecond.
            if later - until > self._chunk_seconds / 16:
                until = later
                deadline.reschedule(until)

        self._reading.add(deadline)
        try:
            async with deadline:
                yield heard
        except TimeoutError:
            if self._stopping:
                raise Stopping() from None
            raise self._too_slow(loop.time() - until) from None
        finally:
            self._reading.discard(deadline)

    def begin(self, count: int, give_up: Callable[[], None]) -> None:
        """Hold a body that is about to be read, until it is whole and given back.

        Args:
            count: its bytes, all of them.
            give_up: called if the collector stops before it is `whole`.

        Raises:
            Overloaded: as `take`, or the collector is stopping.
        """
        if self._stopping:
            raise Stopping()
        self.take(count, 1)
        self._uploads.add(give_up)

    def whole(self, give_up: Callable[[], None]) -> None:
        """A body has come, or never will."""
        self._uploads.discard(give_up)

    def check_pace(self, seconds: float, silent: float) -> None:
        """Raise 408 for a body that is read for so long, or whose sender is silent for so long.

        To be called every second, or it raises `Overloaded`: this process stood still.
        """
        late = max(seconds - self._body_seconds, silent - self._chunk_seconds)
        if late > 0:
            raise self._too_slow(late)

    def _too_slow(self, late: float) -> Exception:
        if late > LATE_SECONDS:
            # Most exporters drop what is answered 408.
            return Overloaded(
                "the collector stood still while the body came; send this again",
                reason="stood_still",
            )
        return RefusedBody(
            408,
            "the body did not come whole in time",
            f"{self._chunk_seconds:g} s may pass without a byte, {self._body_seconds:g} s in all",
            "send the request again, in smaller batches where the line is slow",
        )

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    @property
    def requests(self) -> int:
        """Requests that are being received or decoded."""
        return self._requests

    @property
    def limit(self) -> int:
        """What may be held."""
        return self._limit

    @property
    def bodies_under_way(self) -> int:
        """Bodies that are not whole yet."""
        return len(self._reading) + len(self._uploads)

    def stop(self) -> None:
        """Wait no longer for bodies that are not whole: their senders are told to come again."""
        self._stopping = True
        now = asyncio.get_running_loop().time()
        for deadline in self._reading:
            if not deadline.expired():
                deadline.reschedule(now)
        for give_up in tuple(self._uploads):
            give_up()


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers of a request say about its body; names and values in lower case."""

    media_type: str
    """Without parameters; empty where there is none."""
    encoding: str
    length: int | None
    authorization: tuple[str, ...] = ()
    """The values of all `Authorization` headers, as they came."""

    @classmethod
    def of(cls, scope: Scope) -> Headers:
        """Read an ASGI scope's headers.

        Raises:
            RefusedBody: 400 for a length that is no number.
        """
        media_type = encoding = ""
        length: bytes | None = None
        authorization: tuple[str, ...] = ()
        for name, value in scope["headers"]:
            if name == b"content-type":
                media_type = value.decode("latin-1").partition(";")[0]
            elif name == b"content-encoding":
                encoding = value.decode("latin-1").strip().lower()
            elif name == b"content-length":
                length = value
            elif name == b"authorization":
                authorization = (*authorization, value.decode("utf-8", "surrogateescape"))
        if length is not None and not length.isdigit():
            value = f"Content-Length {length!r:.40}"
            raise RefusedBody(400, value, "it is a number of bytes", "send one, or none")
        return cls(
            media_type.strip().lower(),
            encoding or "identity",
            int(length) if length else None,
            authorization,
        )


@asynccontextmanager
async def received(
    headers: Headers, receive: Receive, limit: int, budget: Budget
) -> AsyncIterator[bytes]:
    """The body as it came, still compressed; the budget holds it as long as the context lasts.

    Raises:
        RefusedBody: 415 for an unknown encoding; 413 over `limit` bytes, before reading where
            the length is announced.
            408 where the sender is too slow.
        Overloaded: requests under way hold too much, or the collector is stopping.
        ClientDisconnected: it will never be whole.
    """
    if headers.encoding not in ENCODINGS:
        raise RefusedBody(
            415,
            f"Content-Encoding {headers.encoding!r:.40}",
            f"{', '.join(ENCODINGS)} are read",
            "compress with one of these, or not at all",
        )
    if headers.length is not None and headers.length > limit:
        raise too_large(f"{headers.length} bytes", limit)
    chunks: list[bytes] = []
    held = 0
    budget.take(0, 1)
    try:
        async with budget.reading() as heard:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnected
                chunk = message.get("body", b"")
                more = message.get("more_body", False)
                if held + len(chunk) > limit:
                    raise too_large("more", limit)
                budget.take(len(chunk))
                held += len(chunk)
                chunks.append(chunk)
                if more:
                    heard()
        body = b"".join(chunks)
        chunks.clear()
        yield body
    finally:
        budget.give(held, 1)


def too_large(size: str, limit: int) -> RefusedBody:
    """The refusal of a body of that size, which is text: `70 bytes`, `more`."""
    rule = f"at most {limit} bytes are read, after decompression"
    return RefusedBody(413, f"the body has {size}", rule, "send smaller batches")
