"""Generators and async generators under a span.

The span is attached only while the generator's body runs, step by step, and never across a
`yield`; what `send`, `throw` and `close` do reaches the body unchanged; no task is made.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Any

from inferspan import semconv
from inferspan.intervals import Intervals
from inferspan.spans import SpanScope
from inferspan.steps import Later, attached, thrown


class Stream:
    """The span of one generator, and how far it got.

    Args:
        scope: its span; None where it could not be started, then nothing is recorded.
    """

    __slots__ = ("_asked", "_chunks", "_first", "_intervals", "_left", "_scope")

    def __init__(self, scope: SpanScope | None) -> None:
        self._scope = scope
        self._asked = time.perf_counter()
        self._chunks = 0
        self._first: float | None = None
        self._intervals = Intervals()
        self._left = False

    def asked(self) -> None:
        """The consumer asks for the next item."""
        self._asked = time.perf_counter()

    def yielded(self) -> None:
        """The body gave an item and waits."""
        took = time.perf_counter() - self._asked
        self._chunks += 1
        self._left = False
        if self._first is None:
            self._first = took
        else:
            self._intervals.add(took)

    def left(self, error: BaseException) -> None:
        """The consumer threw this into the body."""
        self._left = self._left or _leaves(error)

    def returned(self, value: object) -> None:
        """The body came to its end."""
        if self._scope is None:
            return
        self.note(completed=not self._left)
        # What a generator yields is its own affair; what it returns is its answer, if any.
        if value is None or self._left:
            self._scope.end()
        else:
            self._scope.succeed(value)

    def raised(self, error: BaseException) -> None:
        """The body raised: it failed, or it closed because the consumer left."""
        if self._scope is None or self._scope.ended:
            return
        self.note(completed=False)
        if self._left and _leaves(error):
            self._scope.end()
        else:
            self._scope.fail(error)

    def note(self, *, completed: bool) -> None:
        """Write on the span how far it got."""
        scope = self._scope
        if scope is None:
            return
        attributes = scope.attributes
        attributes[semconv.STREAM_CHUNKS] = self._chunks
        attributes[semconv.STREAM_COMPLETED] = completed
        if self._first is not None:
            attributes[semconv.STREAM_FIRST_CHUNK_DURATION] = self._first
            if scope.generates:
                attributes[semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] = self._first
        longest = self._intervals.maximum()
        if longest is not None:
            # The maximum is exact, an estimate may be above it.
            p50, p99 = self._intervals.percentiles(0.5, 0.99)
            attributes[semconv.STREAM_INTERVAL_P50] = min(p50, longest)
            attributes[semconv.STREAM_INTERVAL_P99] = min(p99, longest)
            attributes[semconv.STREAM_INTERVAL_MAX] = longest


def _leaves(error: BaseException) -> bool:
    """Whether nobody wants more of a stream that is given this where it waits for its consumer.

    A cancellation comes there only in place of closing, or of a block whose generator is a context
    manager: the consumer left in either case. A loop that ends closes what was left by tasks, and
    cancels those that have not begun. What a stream awaits is cancelled elsewhere.
    """
    if isinstance(error, GeneratorExit):
        return True
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def drive_generator(later: Later) -> Generator[Any, Any, Any]:
    """Run a generator's body under a span that starts with the first step."""
    scope, body = later.start()
    if scope is None:
        return (yield from body)
    stream = Stream(scope)
    step: Callable[[Any], Any] = body.send
    # What is on its way is not kept here: who gets it decides how long it lives, and an error that
    # was thrown in would hold the frame that holds it.
    passing: list[Any] = [None]
    while True:
        try:
            try:
                scope.attach()
                passing.append(step(passing.pop()))
            except StopIteration as stop:
                scope.detach()
                stream.returned(stop.value)
                return stop.value
            scope.pause()
            stream.yielded()
        except BaseException as error:
            # What interrupts `detach` or `pause` on the way comes here, too.
            scope.detach()
            stream.raised(error)
            raise
        step = body.send
        try:
            passing.append((yield passing.pop()))
        except BaseException as error:
            step = body.throw
            stream.left(error)
            passing.append(thrown(error))
        stream.asked()


async def drive_async_generator(later: Later) -> AsyncGenerator[Any, Any]:
    """Run an async generator's body under a span that starts with the first step."""
    scope, body = later.start()
    stream = Stream(scope)
    step: Callable[[Any], Any] = partial(_first_step, body)
    passing: list[Any] = [None]
    while True:
        try:
            if scope is None:
                passing.append(await step(passing.pop()))
            else:
                passing.append(await attached(scope, step(passing.pop())))
        except StopAsyncIteration:
            stream.returned(None)
            return
        except BaseException as error:
            stream.raised(error)
            raise
        stream.yielded()
        step = body.asend
        try:
            passing.append((yield passing.pop()))
        except BaseException as error:
            step = body.athrow
            stream.left(error)
            passing.append(thrown(error))
        stream.asked()


def _first_step(body: AsyncGenerator[Any, Any], given: None) -> Any:
    """`body.asend(given)`, unseen by the event loop.

    A loop closes at its end, and when they are forgotten, the async generators it has seen begin.
    It sees the driver, which closes the body; both at once would be one too many.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=None, finalizer=_leave_to_the_driver)
    try:
        return body.asend(given)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _leave_to_the_driver(body: AsyncGenerator[Any, Any]) -> None:
    """Do nothing about a body that is forgotten: so is its driver, which is about to be closed."""
