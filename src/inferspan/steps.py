"""One step of the user's code at a time: what drivers of coroutines and streams share.

The span is attached only while the body runs and never while it waits, so that whoever drives it
never sees our span: neither a consumer between two items, nor another task in the same context, nor
the garbage collector that closes what was forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import coroutine
from typing import Any, Final

from inferspan.containment import Contained
from inferspan.spans import SpanScope

_FORGET: Final = Contained("close what was never begun")


class Later:
    """What a call left to run later, and how its span begins.

    Only the driver that was handed out holds it. Where that is closed or forgotten before its first
    step, the body is closed in silence, as it would be in the driver's place, and a span that had
    begun before ends. The garbage collector finalizes the older first: make it before the body.

    Args:
        begin: begins the span; None where it cannot.
        begun: the span, where it has begun; `begin` then answers it.

    Attributes:
        body: what runs.
    """

    __slots__ = ("_begin", "_begun", "body")

    def __init__(
        self, begin: Callable[[], SpanScope | None], begun: SpanScope | None = None
    ) -> None:
        self._begin: Callable[[], SpanScope | None] | None = begin
        self._begun = begun
        self.body: Any = None

    def start(self) -> tuple[SpanScope | None, Any]:
        """Begin the span, let go of the arguments, and hand out the body."""
        begin, body = self._begin, self.body
        self._begin = self.body = None
        return None if begin is None else begin(), body

    def __del__(self) -> None:
        # Where a signal interrupted `__init__`, there is neither.
        body, begun = getattr(self, "body", None), getattr(self, "_begun", None)
        if body is not None:
            with _FORGET:
                # An async generator that was never begun has nothing to close, and no `close`.
                if hasattr(body, "close"):
                    body.close()
                if begun is not None:
                    begun.end()


def thrown(error: BaseException) -> BaseException:
    """An error as it was before it was thrown into our frame, to be thrown into the body.

    By way of the base class: an exception may be frozen, or have a `with_traceback` of its own.
    """
    traceback = error.__traceback__
    return BaseException.with_traceback(error, traceback and traceback.tb_next)


@coroutine
def attached(scope: SpanScope, body: Any) -> Generator[Any, Any, Any]:
    """Await a body, with the span attached in each of its steps, and not between them.

    Args:
        scope: its span; what the body makes current is so again in its next step.
        body: a coroutine, or one step of an async generator.

    Returns:
        What the body returns; raises what it raises.
    """
    step: Any = body.send
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
                return stop.value
            scope.pause()
        except BaseException:
            # What interrupts `detach` or `pause` on the way comes here, too.
            scope.detach()
            # The error holds this frame, and a step of `athrow` holds the error.
            body = step = None
            raise
        step = body.send
        try:
            passing.append((yield passing.pop()))
        except BaseException as error:
            step = body.throw
            passing.append(thrown(error))
