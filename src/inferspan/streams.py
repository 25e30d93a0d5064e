"""Generators and async generators under a span.

The span is attached only while the generator's body runs, step by step, and never across a
`yield`; what `send`, `throw` and `close` do reaches the body unchanged; no task is made.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from inferspan import semconv
from inferspan.spans import SpanScope


class Stream:
    """The span of one generator, and how far it got.

    Args:
        scope: its span; None where it could not be started, then nothing is recorded.
    """

    def __init__(self, scope: SpanScope | None) -> None:
        self._scope = scope
        self._asked = time.perf_counter()
        self._chunks = 0
        self._first: float | None = None

    def resume(self) -> None:
        """The body is about to run."""
        if self._scope is not None:
            self._scope.attach()

    def yielded(self) -> None:
        """The body gave an item and waits."""
        self._chunks += 1
        if self._first is None:
            self._first = time.perf_counter() - self._asked
        if self._scope is not None:
            self._scope.pause()

    def returned(self, value: object) -> None:
        """The body came to its end."""
        if self._scope is not None:
            self._scope.detach()
            self._note(self._scope, completed=True)
            # What a generator yields is its own affair; what it returns is its answer, if any.
            if value is None:
                self._scope.end()
            else:
                self._scope.succeed(value)

    def raised(self, error: BaseException) -> None:
        """The body failed."""
        if self._scope is not None:
            self._scope.detach()
            self._note(self._scope, completed=False)
            self._scope.fail(error)

    def abandoned(self) -> None:
        """The consumer left before the end, and the body closed without an error."""
        if self._scope is not None:
            self._scope.detach()
            self._note(self._scope, completed=False)
            self._scope.end()

    def _note(self, scope: SpanScope, *, completed: bool) -> None:
        scope.attributes[semconv.STREAM_CHUNKS] = self._chunks
        scope.attributes[semconv.STREAM_COMPLETED] = completed
        if self._first is not None:
            scope.attributes[semconv.STREAM_FIRST_CHUNK_DURATION] = self._first


def drive_generator(
    begin: Callable[[], SpanScope | None], body: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    """Run a generator's body under a span that starts with the first step."""
    stream = Stream(begin())
    step: Callable[[Any], Any] = body.send
    given: Any = None
    while True:
        stream.resume()
        try:
            item = step(given)
        except StopIteration as stop:
            stream.returned(stop.value)
            return stop.value
        except BaseException as error:
            stream.raised(error)
            raise
        stream.yielded()
        step, given, closing = body.send, None, None
        try:
            given = yield item
        except GeneratorExit as leaving:
            closing = leaving
        except BaseException as error:
            step, given = body.throw, error
        if closing is not None:
            break
    stream.resume()
    try:
        body.close()
    except BaseException as error:
        stream.raised(error)
        raise
    stream.abandoned()
    raise closing


async def drive_async_generator(
    begin: Callable[[], SpanScope | None], body: AsyncGenerator[Any, Any]
) -> AsyncGenerator[Any, Any]:
    """Run an async generator's body under a span that starts with the first step."""
    stream = Stream(begin())
    step: Callable[[Any], Any] = body.asend
    given: Any = None
    while True:
        stream.resume()
        try:
            item = await step(given)
        except StopAsyncIteration:
            stream.returned(None)
            return
        except BaseException as error:
            stream.raised(error)
            raise
        stream.yielded()
        step, given, closing = body.asend, None, None
        try:
            given = yield item
        except GeneratorExit as leaving:
            closing = leaving
        except BaseException as error:
            step, given = body.athrow, error
        if closing is not None:
            break
    stream.resume()
    try:
        await body.aclose()
    except BaseException as error:
        stream.raised(error)
        raise
    stream.abandoned()
    raise closing
