"""Answers that are handed out while the call runs: to a streamer that the caller gave with it.

The streamer is the user's, and so are the thread and the queue behind it. The call is given one
that passes everything on to it and counts what is put: the prompt first, then piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import wrapt

from inferspan.arguments import Arguments
from inferspan.containment import Contained
from inferspan.predictions import current_call
from inferspan.streams import Stream

if TYPE_CHECKING:
    from inferspan.calls import Wrapper

_COUNT: Final = Contained("count what is streamed")


def streaming_to(wrapper: Wrapper, keyword: str) -> Wrapper:
    """Make what runs calls whose spans say how their answers streamed.

    Args:
        wrapper: what runs the calls; those without a streamer it runs as it is.
        keyword: of the streamer.
    """

    def streaming_wrapper(
        wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        if kwargs.get(keyword) is None:
            return wrapper(wrapped, instance, args, kwargs)

        def call(*arguments: Any, **keywords: Any) -> Any:
            # Runs within the span, in the call's own thread.
            stream = Stream(current_call())
            given = {**keywords, keyword: _Watched(keywords[keyword], stream)}
            completed = False
            try:
                returned = wrapped(*arguments, **given)
                completed = True
            finally:
                with _COUNT:
                    stream.note(completed=completed)
            return returned

        return wrapper(call, instance, args, kwargs)

    return streaming_wrapper


class _Watched(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A streamer that counts what is put; everything else is the user's own."""

    def __init__(self, streamer: object, stream: Stream) -> None:
        super().__init__(streamer)
        self._self_stream = stream
        self._self_prompted = False

    def put(self, value: Any) -> Any:
        """Count, and pass on; what the user's streamer takes for it is not in the intervals."""
        prompted, self._self_prompted = self._self_prompted, True
        if prompted:
            with _COUNT:
                self._self_stream.yielded()
        returned = self.__wrapped__.put(value)
        if prompted:
            with _COUNT:
                self._self_stream.asked()
        return returned
