"""What a server takes of a request's headers, or of a call's metadata, before it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import get_current_span

from inferspan import attaching
from inferspan.arguments import Arguments, Keywords
from inferspan.containment import Contained
from inferspan.current import CURRENT_KEY
from inferspan.propagation import PREDICTION_HEADER, ExtractedContext, extract
from inferspan.served_requests import (
    PREDICTION_ID_HEADER,
    REQUEST_KEY,
    ServedRequest,
    header_text,
    in_request,
    offered_id,
    sent_ids,
)

if TYPE_CHECKING:
    from inferspan.calls import Wrapper

_CARRIED: Final = (PREDICTION_ID_HEADER, PREDICTION_HEADER)
"""What only callers who are trusted may say; the trace anybody may."""
_BEGIN: Final = Contained("begin the request of a call")
_TELL: Final = Contained("tell who asked the id of a prediction")


def begun(
    pairs: Iterable[tuple[str | bytes, str | bytes]], *, trusts: bool
) -> tuple[ServedRequest, ExtractedContext]:
    """The request that headers begin, and the context in which it is answered.

    Args:
        pairs: names, whatever their case, and values.
        trusts: whether the caller's prediction id, and a prediction that goes on here, are taken.
    """
    headers = [(header_text(name).lower(), value) for name, value in pairs]
    if not trusts:
        headers = [header for header in headers if header[0] not in _CARRIED]
    given = next((value for name, value in headers if name == PREDICTION_ID_HEADER), None)
    context = extract(headers)
    request = ServedRequest(offered_id(given), get_current_span(context).get_span_context())
    return request, ExtractedContext(in_request(request, context))


def in_request_of(
    traced: Wrapper,
    carried: Callable[[Arguments, Keywords], Iterable[tuple[str, str]]],
    returned: Callable[[Any, str], None] | None = None,
) -> Wrapper:
    """Have calls of a coroutine function answer the request that their arguments carry.

    A call that is part of what goes on here, a batch for one, is no prediction of its own.

    Args:
        traced: runs a call.
        carried: the call's arguments → headers. They count where no request is answered already.
        returned: puts the id of the call's prediction among the headers of its answer.
    """

    def call(
        wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        begun_here = None
        if REQUEST_KEY not in attaching.current():
            with _BEGIN:
                if pairs := list(carried(args, kwargs)):
                    begun_here = begun(pairs, trusts=True)
        if begun_here is None:
            return traced(wrapped, instance, args, kwargs)
        request, context = begun_here
        around = context.get(CURRENT_KEY)
        if around is not None and not around.ended:  # type: ignore[attr-defined]
            return _within(context, partial(wrapped, *args, **kwargs))
        answer = partial(traced, wrapped, instance, args, kwargs)
        return _within(context, answer, partial(_tell, request, returned))

    return call


async def _within(
    context: ExtractedContext,
    call: Callable[[], Awaitable[Any]],
    tell: Callable[[Any], None] | None = None,
) -> Any:
    with context:
        answer = await call()
    if tell is not None:
        tell(answer)
    return answer


def _tell(
    request: ServedRequest, returned: Callable[[Any, str], None] | None, answer: object
) -> None:
    """Tell who asked the id of the prediction, which is the first of the request."""
    if returned is not None:
        with _TELL:
            for prediction_id in sent_ids(request)[:1]:
                returned(answer, prediction_id)
