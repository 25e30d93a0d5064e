"""The request that a server is answering: the id its caller gave, and the ids that it gets back.

Kept in the context by a server's middleware, so that whichever code predicts in it finds it.
"""

from __future__ import annotations

import weakref
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext

from inferspan import semconv
from inferspan.containment import Contained, errors
from inferspan.current import CURRENT_KEY
from inferspan.identity import new_record_id

if TYPE_CHECKING:
    from inferspan.predictions import PredictionCall

REQUEST_KEY: Final = otel_context.create_key("inferspan-request")
"""Where a context keeps its `ServedRequest`."""
PREDICTION_ID_HEADER: Final = "x-prediction-id"
IDS_MAX: Final = 8
"""Predictions of one request whose ids go back to the caller."""
ID_LENGTH_MAX: Final = 128
LINKS_MAX: Final = 128
"""Requests that one prediction is linked to: OpenTelemetry's default limit."""
_ROWS_MAX: Final = 16_384
"""Rows of one prediction whose requests are looked for."""
_BEGIN: Final = Contained("give a prediction the id of its request")
_LINK: Final = Contained("link a prediction to the requests that wait for it")


class ServedRequest:
    """One request of a server.

    Args:
        offered: the prediction id that its caller gave; None = none. It becomes that of the first
            prediction of each model that declares no `prediction_id` of its own.
        span_context: of the span that stands for it, the server's or the caller's.
    """

    __slots__ = ("__weakref__", "_ids", "_models", "offered", "span_context")

    def __init__(self, offered: str | None, span_context: SpanContext) -> None:
        self.offered = offered
        self.span_context = span_context
        self._models: set[str] = set()
        self._ids: dict[str, None] = {}

    @property
    def ids(self) -> list[str]:
        """Ids of the predictions that began so far; where none did, the one that was offered."""
        return list(self._ids) or ([] if self.offered is None else [self.offered])

    def identify(self, call: PredictionCall) -> None:
        """Give a prediction its id, and keep it for the caller."""
        if call.plan.prediction_id is None:
            model = call.plan.model
            first = model not in self._models
            self._models.add(model)
            call._id = (self.offered if first else None) or new_record_id()
        if len(self._ids) < IDS_MAX:
            self._ids[call.prediction_id] = None


def identify_in_request(call: PredictionCall, parent: Context) -> None:
    """Give a prediction the id that its request has for it; parts of a prediction have none.

    Args:
        call: has begun.
        parent: the context it began in, which has a request.
    """
    with _BEGIN:
        around, request = parent.get(CURRENT_KEY), parent[REQUEST_KEY]
        part = hasattr(around, "admit_stage") and not around.ended  # type: ignore[attr-defined]
        if not part and isinstance(request, ServedRequest):
            request.identify(call)


_answered: Final[weakref.WeakValueDictionary[str, ServedRequest]] = weakref.WeakValueDictionary()
"""The requests that are being answered, by the ids that their callers gave; the latest of each."""


def link_to_requests(given: list[Any], span: Span, parent: Context) -> None:
    """Link a prediction to the requests whose callers gave its ids, where it began outside of them.

    That is known without a line where a service gathers rows that bring their ids along.

    Args:
        given: what the prediction was told as ids, one a row.
        span: its span.
        parent: the context it began in.
    """
    if not _answered:
        return
    with _LINK:
        own = parent.get(REQUEST_KEY)
        found: dict[tuple[int, int], SpanContext] = {}
        for value in islice(given, _ROWS_MAX):
            request = _answered.get(semconv.prediction_id_text(value) or "")
            if request is not None and request is not own and request.span_context.is_valid:
                context = request.span_context
                found[context.trace_id, context.span_id] = context
        for context in islice(found.values(), LINKS_MAX):
            span.add_link(context)


def in_request(request: ServedRequest, context: Context) -> Context:
    """The context `context`, in which a request is answered."""
    if request.offered is not None:
        _answered[request.offered] = request
    return otel_context.set_value(REQUEST_KEY, request, context)


def header_text(written: str | bytes) -> str:
    """A name or a value of a header as text: servers and clients may have bytes."""
    return written.decode("latin-1") if isinstance(written, bytes) else written


def is_sendable(prediction_id: str) -> bool:
    """Whether an id can stand in a header: visible ASCII, which no header is broken by."""
    return 0 < len(prediction_id) <= ID_LENGTH_MAX and all("!" <= c <= "~" for c in prediction_id)


def offered_id(header: str | bytes | None) -> str | None:
    """The prediction id that a caller gave; None where it gave none that can be one."""
    if header is None:
        return None
    written = header_text(header)
    if is_sendable(written):
        return written
    errors.warn_sometimes(
        "prediction id of a caller",
        f"inferspan: a caller's {PREDICTION_ID_HEADER} is passed over: it must be 1 to "
        f"{ID_LENGTH_MAX} visible ASCII characters",
    )
    return None


def sent_ids(request: ServedRequest) -> list[str]:
    """The ids that go back to the caller."""
    ids = request.ids
    sendable = [prediction_id for prediction_id in ids if is_sendable(prediction_id)]
    if len(sendable) < len(ids):
        errors.warn_sometimes(
            "prediction id for a caller",
            f"inferspan: a prediction's id does not go back as {PREDICTION_ID_HEADER}: it must be "
            f"1 to {ID_LENGTH_MAX} visible ASCII characters",
        )
    return sendable
