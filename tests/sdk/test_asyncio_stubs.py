"""Stubs of grpc.aio, and coroutine functions around them, ask a server as plain ones do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from opentelemetry.trace import SpanKind

from inferspan import open_inference, semconv
from inferspan.testing import CapturedSpans

METHOD = "/inference.GRPCInferenceService/ModelInfer"
REQUEST = SimpleNamespace(model_name="iris", model_version="3", id="order-17", inputs=[])
ANSWER = SimpleNamespace(
    outputs=[SimpleNamespace(name="predict", datatype="FP32", shape=[1])],
    raw_output_contents=[np.array([2.5], "<f4").tobytes()],
)


class Server(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers, or where it shall not, fails; keeps what it was sent along."""

    def __init__(self, refuses: bool) -> None:
        self.seen: list[dict[str, Any]] = []
        self.refuses = refuses

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.infer)

    async def infer(self, request: bytes, context: Any) -> bytes:
        self.seen.append(dict(context.invocation_metadata()))
        if self.refuses:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        return b""


def asked(
    ask: Callable[[Any], Awaitable[Any]], refuses: bool = False
) -> tuple[Any, list[dict[str, Any]]]:
    """What somebody gets who is given a stub's method, and what the server saw."""

    async def main() -> tuple[Any, list[dict[str, Any]]]:
        server, handler = grpc.aio.server(), Server(refuses)
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                infer = channel.unary_unary(METHOD, lambda _: b"", lambda _: ANSWER)
                return await ask(infer), handler.seen
        finally:
            await server.stop(None)

    return asyncio.run(main())


def of_stub(infer: Any) -> Any:
    return infer


def of_coroutine_function(infer: Any) -> Any:
    async def asking(request: Any, metadata: Any = None, timeout: Any = None) -> Any:
        return await infer(request, timeout=timeout, metadata=metadata)

    return asking


@pytest.mark.parametrize("made_of", [of_stub, of_coroutine_function])
def test_an_answer_is_a_prediction_that_the_server_knows(
    made_of: Callable[[Any], Any], spans: CapturedSpans
) -> None:
    async def ask(infer: Any) -> Any:
        traced = open_inference.traced_method(made_of(infer), task="regression")
        return await traced(REQUEST, timeout=20, metadata=(("own", "1"),))

    answer, (metadata,) = asked(ask)
    assert answer is ANSWER
    span = spans.prediction("iris")
    assert (span.kind, span.name) == (SpanKind.CLIENT, "predict iris")
    found = dict(span.attributes or {})
    assert (found[semconv.OUTPUT_VALUE], found[semconv.MODEL_VERSION]) == (2.5, "3")
    assert (metadata["own"], metadata["x-prediction-id"]) == ("1", "order-17")
    assert metadata["traceparent"].split("-")[2] == f"{span.context.span_id:016x}"


def test_what_a_server_refuses_has_failed(spans: CapturedSpans) -> None:
    async def ask(infer: Any) -> Any:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await open_inference.traced_method(infer)(REQUEST, timeout=20)
        return refused.value

    error, _ = asked(ask, refuses=True)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    said = (spans.prediction("iris").attributes or {})[semconv.ERROR_TYPE]
    assert str(said).endswith("AioRpcError")
