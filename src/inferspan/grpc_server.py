"""gRPC servers: calls whose callers know their predictions; as `inferspan.asgi`, in metadata.

    grpc.server(pool, interceptors=[inferspan.grpc_server.PredictionInterceptor()])
    grpc.aio.server(interceptors=[inferspan.grpc_server.AsyncPredictionInterceptor()])
    server.add_generic_rpc_handlers([inferspan.grpc_server.feedback_handler("fraud")])

Put it after an instrumentation of OpenTelemetry: its span is then the predictions' parent.
"""

from __future__ import annotations

import contextvars
import inspect
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import grpc
import grpc.aio
from opentelemetry import context as otel_context

from inferspan import request_headers
from inferspan.containment import Contained
from inferspan.feedback import BODY_BYTES_MAX, NOWHERE, FeedbackRules, RefusedFeedback
from inferspan.served_requests import PREDICTION_ID_HEADER, sent_ids

FEEDBACK_SERVICE: Final = "inferspan.Feedback"
FEEDBACK_METHOD: Final = "Send"
_BEGIN: Final = Contained("begin a call of a gRPC server")
_ANSWER: Final = Contained("tell a gRPC caller its predictions")
_END: Final = object()


class _Call:
    """One call, with what its caller sent along."""

    def __init__(self, metadata: Any, trusts: bool) -> None:
        # gRPC's pairs are named tuples of its own.
        pairs = [(str(pair[0]), pair[1]) for pair in metadata or ()]
        self.request, self.context = request_headers.begun(pairs, trusts=trusts)

    def answer(self, servicer_context: Any) -> None:
        """Add the ids to what the servicer sends after its answer; its own stay as they are."""
        with _ANSWER:
            found = tuple(servicer_context.trailing_metadata() or ())
            if all(pair[0] != PREDICTION_ID_HEADER for pair in found):
                own = tuple((PREDICTION_ID_HEADER, sent) for sent in sent_ids(self.request))
                if own:
                    servicer_context.set_trailing_metadata(found + own)


class PredictionInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """Go on with the caller's trace and prediction id, and send the ids of predictions back.

    The caller's metadata `x-prediction-id` becomes the id of the call's first prediction of each
    model that declares no `prediction_id`; the ids of the call's predictions, 8 at most, go back
    as trailing metadata of this name, also where the call fails.

    Args:
        trust_callers: False where anybody can call: only the trace is then taken from metadata.
    """

    def __init__(self, *, trust_callers: bool = True) -> None:
        self._trusts = trust_callers

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Put the caller's context around the method that will be called."""
        handler = continuation(details)
        call = None
        with _BEGIN:
            call = None if handler is None else _Call(details.invocation_metadata, self._trusts)
        if call is None:
            return handler
        around = _streaming if handler.response_streaming else _answering
        return _replaced(handler, lambda behavior: around(call, behavior))


def _entered(call: _Call) -> contextvars.Context:
    """Context variables of now in which the call's context is current, for steps of any thread."""
    entered = contextvars.copy_context()
    entered.run(otel_context.attach, call.context)
    return entered


def _answering(call: _Call, behavior: Callable[..., Any]) -> Callable[..., Any]:
    def answer(given: Any, servicer_context: Any) -> Any:
        try:
            return _entered(call).run(behavior, given, servicer_context)
        finally:
            call.answer(servicer_context)

    return answer


def _streaming(call: _Call, behavior: Callable[..., Any]) -> Callable[..., Any]:
    def answer(given: Any, servicer_context: Any) -> Iterator[Any]:
        entered = _entered(call)
        try:
            items = iter(entered.run(behavior, given, servicer_context))
            while (item := entered.run(next, items, _END)) is not _END:
                yield item
        finally:
            call.answer(servicer_context)

    return answer


class AsyncPredictionInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """As `PredictionInterceptor`, for servers of `grpc.aio`."""

    def __init__(self, *, trust_callers: bool = True) -> None:
        self._trusts = trust_callers

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """Put the caller's context around the method that will be called."""
        handler = await continuation(details)
        call = None
        with _BEGIN:
            call = None if handler is None else _Call(details.invocation_metadata, self._trusts)
        if call is None:
            return handler

        def around(behavior: Callable[..., Any]) -> Callable[..., Any]:
            if inspect.isasyncgenfunction(behavior):
                return _streaming_later(call, behavior)
            if inspect.iscoroutinefunction(behavior):
                return _answering_later(call, behavior)
            plain = (_streaming if handler.response_streaming else _answering)(call, behavior)
            return lambda given, context: plain(given, _PlainContext(call, context))

        return _replaced(handler, around)


class _PlainContext:
    """What a server of asyncio gives a plain method, which cannot say what was set on it."""

    def __init__(self, call: _Call, context: Any) -> None:
        self._call = call
        self._context = context
        self._trailing: tuple[Any, ...] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def trailing_metadata(self) -> tuple[Any, ...]:
        return self._trailing

    def set_trailing_metadata(self, metadata: Any) -> None:
        self._context.set_trailing_metadata(metadata)
        self._trailing = metadata

    def abort(self, *arguments: Any, **keywords: Any) -> None:
        self._call.answer(self)  # the metadata leaves as the call is aborted
        self._context.abort(*arguments, **keywords)


class _LaterContext:
    """What a server of asyncio gives a coroutine; metadata leaves as the call is aborted."""

    def __init__(self, call: _Call, context: Any) -> None:
        self._call = call
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        if trailing_metadata:
            # What is given here goes in place of what was set before.
            self._context.set_trailing_metadata(tuple(trailing_metadata))
        self._call.answer(self._context)
        await self._context.abort(code, details, tuple(self._context.trailing_metadata() or ()))


def _answering_later(call: _Call, behavior: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(given: Any, servicer_context: Any) -> Any:
        try:
            with call.context:
                return await behavior(given, _LaterContext(call, servicer_context))
        finally:
            call.answer(servicer_context)

    return answer


def _streaming_later(call: _Call, behavior: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(given: Any, servicer_context: Any) -> AsyncIterator[Any]:
        try:
            with call.context:
                async for item in behavior(given, _LaterContext(call, servicer_context)):
                    yield item
        finally:
            call.answer(servicer_context)

    return answer


def feedback_handler(
    *models: str,
    target: str | None = None,
    source: str = "feedback",
    kind: str = "feedback",
) -> grpc.GenericRpcHandler:
    """The method `/inferspan.Feedback/Send`: what a caller says becomes labels.

    For `server.add_generic_rpc_handlers([feedback_handler("fraud")])`, of plain servers and those
    of asyncio. Requests and answers are JSON in bytes, as of the route `inferspan.asgi.Feedback`,
    so that nobody needs generated code:

        send = channel.unary_unary("/inferspan.Feedback/Send")
        send(b'{"prediction_id": "…", "label": "fraud"}')  # {"accepted": 1, "ids": […]}

    It fails with INVALID_ARGUMENT where something cannot count, of which nothing is sent;
    RESOURCE_EXHAUSTED beyond 256 KiB; UNAVAILABLE where nothing says where labels go. Who may call
    it is for your server to decide.

    Args:
        models: names of the models whose predictions may be judged.
        target: which truth it is.
        source: where labels come from.
        kind: `feedback`, `ground_truth` or `evaluation`.

    Raises:
        ValueError: no model, or an option that breaks its rule.
    """
    rules = FeedbackRules.of(models, target=target, source=source, kind=kind)

    def send(body: bytes, servicer_context: Any) -> bytes:
        if len(body) > BODY_BYTES_MAX:
            rule = f"{len(body):,} bytes: at most {BODY_BYTES_MAX:,}; send fewer at a time"
            servicer_context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, rule)
        try:
            ids = rules.label_all(body)
        except RefusedFeedback as refusal:
            servicer_context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(refusal))
        if ids is None:
            servicer_context.abort(grpc.StatusCode.UNAVAILABLE, NOWHERE)
        assert ids is not None  # to abort is to raise
        return json.dumps({"accepted": len(ids), "ids": ids}).encode()

    return grpc.method_handlers_generic_handler(
        FEEDBACK_SERVICE, {FEEDBACK_METHOD: grpc.unary_unary_rpc_method_handler(send)}
    )


def _replaced(handler: Any, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Any:
    """A handler with another behaviour, and everything else as it was."""
    given = "stream" if handler.request_streaming else "unary"
    answered = "stream" if handler.response_streaming else "unary"
    kind = f"{given}_{answered}"
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        around(getattr(handler, kind)),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
