"""Calls of gRPC servers: whose trace, whose prediction id, and what comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest

import inferspan
from inferspan import semconv
from inferspan.grpc_server import (
    BODY_BYTES_MAX,
    AsyncPredictionInterceptor,
    PredictionInterceptor,
    feedback_handler,
)
from inferspan.testing import CapturedSpans

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"), ("x-prediction-id", "order-17"))
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


@inferspan.predict(model="fraud", task="regression")
def score(amount: float) -> float:
    return amount / 1000


def answered(given: Any) -> bytes:
    amounts = [given] if isinstance(given, bytes) else list(given)
    return str(score(float(amounts[0]))).encode()


def one(given: Any, context: Any) -> bytes:
    if given == b"-1":
        score(1.0)
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "negative")
    if given == b"0":
        context.set_trailing_metadata((("x-prediction-id", "mine"), ("cost", "1")))
    return answered(given)


def several(given: Any, context: Any) -> Iterator[bytes]:
    yield b""
    yield answered(given)


async def one_later(given: Any, context: Any) -> bytes:
    amounts = [given] if isinstance(given, bytes) else [item async for item in given]
    if amounts[0] == b"-1":
        score(1.0)
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "negative")
    return answered(amounts[0])


async def several_later(given: Any, context: Any) -> AsyncIterator[bytes]:
    amounts = [given] if isinstance(given, bytes) else [item async for item in given]
    yield b""
    yield answered(amounts[0])
    if amounts[0] == b"-1":
        context.set_trailing_metadata((("cost", "0"),))
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "negative", (("cost", "1"),))


class Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The four kinds of methods, each under its name."""

    def __init__(self, single: Any, streamed: Any) -> None:
        self.behaviors = {"unary": single, "stream": streamed}

    def service(self, details: Any) -> Any:
        kind = details.method.rpartition("/")[2]
        if kind not in KINDS:
            return None
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(self.behaviors[kind.partition("_")[2]])


@contextmanager
def serving_plainly(*handlers: Any, interceptors: Any = ()) -> Iterator[grpc.Channel]:
    server = grpc.server(ThreadPoolExecutor(2), handlers, interceptors=interceptors)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        server.stop(None).wait()


def serving(**options: Any) -> AbstractContextManager[grpc.Channel]:
    return serving_plainly(Methods(one, several), interceptors=[PredictionInterceptor(**options)])


def asked_of_asyncio(
    asking: Callable[[grpc.Channel], Any], *handlers: Any, interceptors: Any = ()
) -> Any:
    """What somebody gets from a server of asyncio, asking it in a thread of his own."""

    def ask_by_a_channel(port: int) -> Any:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            return asking(channel)

    async def main() -> Any:
        server = grpc.aio.server(interceptors=interceptors)
        server.add_generic_rpc_handlers(handlers)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            return await asyncio.to_thread(ask_by_a_channel, port)
        finally:
            await server.stop(None)

    return asyncio.run(main())


def asked_of_interceptor(asking: Callable[[grpc.Channel], Any], *handlers: Any) -> Any:
    return asked_of_asyncio(asking, *handlers, interceptors=[AsyncPredictionInterceptor()])


def ask(channel: grpc.Channel, kind: str, amount: bytes = b"500", metadata: Any = SENT) -> Any:
    """The last item of the answer, and the ids that came back."""
    given = iter([amount]) if kind.startswith("stream") else amount
    method = getattr(channel, kind)(f"/fraud.Scores/{kind}")
    if kind.endswith("unary"):
        answer, call = method.with_call(given, metadata=metadata, timeout=20)
    else:
        call = method(given, metadata=metadata, timeout=20)
        answer = list(call)[-1]
    return answer, ids_of(call.trailing_metadata())


def ids_of(metadata: Any) -> list[str]:
    return [value for name, value in metadata if name == "x-prediction-id"]


def check(spans: CapturedSpans) -> None:
    span = spans.prediction("fraud")
    assert (span.attributes or {})[semconv.PREDICTION_ID] == "order-17"
    assert f"{span.context.trace_id:032x}" == TRACE


@pytest.mark.parametrize("kind", KINDS)
def test_trace_and_id_come_through_and_the_id_goes_back(kind: str, spans: CapturedSpans) -> None:
    with serving() as channel:
        assert ask(channel, kind) == (b"0.5", ["order-17"])
    check(spans)


@pytest.mark.parametrize("kind", KINDS)
def test_servers_of_asyncio_do_so_too(kind: str, spans: CapturedSpans) -> None:
    methods = Methods(one_later, several_later)
    assert asked_of_interceptor(partial(ask, kind=kind), methods) == (b"0.5", ["order-17"])
    check(spans)


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
def test_plain_methods_of_servers_of_asyncio_do_so_too(kind: str, spans: CapturedSpans) -> None:
    methods = Methods(one, several)
    assert asked_of_interceptor(partial(ask, kind=kind), methods) == (b"0.5", ["order-17"])
    check(spans)


def test_plain_methods_of_asyncio_fail_and_set_metadata_as_ever(spans: CapturedSpans) -> None:
    def ask_both(channel: grpc.Channel) -> Any:
        with pytest.raises(grpc.RpcError) as failed:
            ask(channel, "unary_unary", b"-1")
        return failed.value, ask(channel, "unary_unary", b"0")[1]

    failed, ids = asked_of_interceptor(ask_both, Methods(one, several))
    assert failed.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ids_of(failed.trailing_metadata()) == ["order-17"]
    assert ids == ["mine"]


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
def test_coroutines_that_abort_say_their_ids(kind: str, spans: CapturedSpans) -> None:
    def ask_in_vain(channel: grpc.Channel) -> Any:
        with pytest.raises(grpc.RpcError) as failed:
            ask(channel, kind, b"-1")
        return failed.value

    failed = asked_of_interceptor(ask_in_vain, Methods(one_later, several_later))
    assert (failed.code(), failed.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "negative")
    assert ids_of(failed.trailing_metadata()) == ["order-17"]
    own = [value for name, value in failed.trailing_metadata() if name == "cost"]
    assert own == (["1"] if kind == "unary_stream" else [])


def test_feedback_beside_the_interceptor_of_asyncio_logs_nothing(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({**VERDICT, "id": "verdict-1"}).encode()
    answer = asked_of_interceptor(partial(send, body=body), feedback_handler("fraud"))
    assert answer == {"accepted": 1, "ids": ["verdict-1"]}
    assert caplog.records == []


def test_the_id_that_was_made_up_goes_back(spans: CapturedSpans) -> None:
    with serving() as channel:
        _, ids = ask(channel, "unary_unary", metadata=())
    assert ids == [(spans.prediction("fraud").attributes or {})[semconv.PREDICTION_ID]]


def test_a_call_that_fails_says_its_ids(spans: CapturedSpans) -> None:
    with serving() as channel, pytest.raises(grpc.RpcError) as failed:
        ask(channel, "unary_unary", b"-1")
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ids_of(failed.value.trailing_metadata()) == ["order-17"]


def test_what_the_servicer_sends_stays(spans: CapturedSpans) -> None:
    with serving() as channel:
        assert ask(channel, "unary_unary", b"0")[1] == ["mine"]


def test_callers_that_are_not_trusted_give_no_id(spans: CapturedSpans) -> None:
    with serving(trust_callers=False) as channel:
        _, ids = ask(channel, "unary_unary")
    assert ids != ["order-17"]
    assert f"{spans.prediction('fraud').context.trace_id:032x}" == TRACE


def test_methods_that_do_not_exist_are_answered_as_before(spans: CapturedSpans) -> None:
    with serving() as channel, pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/fraud.Scores/other")(b"", timeout=20)
    assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED


VERDICT = {"prediction_id": "order-17", "label": 0.5}


def send(channel: grpc.Channel, body: bytes) -> Any:
    return json.loads(channel.unary_unary("/inferspan.Feedback/Send")(body, timeout=20))


def sent_to_plain(body: bytes) -> Any:
    with serving_plainly(feedback_handler("fraud")) as channel:
        return send(channel, body)


def sent_to_asyncio(body: bytes) -> Any:
    return asked_of_asyncio(partial(send, body=body), feedback_handler("fraud"))


each_server = pytest.mark.parametrize("ask_server", [sent_to_plain, sent_to_asyncio])


@each_server
def test_a_verdict_becomes_a_label(ask_server: Any, spans: CapturedSpans) -> None:
    answer = ask_server(json.dumps([{**VERDICT, "id": "verdict-1"}]).encode())
    assert answer == {"accepted": 1, "ids": ["verdict-1"]}
    (label,) = [dict(span.attributes or {}) for span in spans.labels]
    assert label[semconv.PREDICTION_ID] == "order-17"
    assert (label[semconv.LABEL_VALUE], label[semconv.TARGET_KIND]) == (0.5, "feedback")


@each_server
@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"{", grpc.StatusCode.INVALID_ARGUMENT, "the body is no JSON"),
        (
            json.dumps([VERDICT, {**VERDICT, "model": "other"}]).encode(),
            grpc.StatusCode.INVALID_ARGUMENT,
            "must be one of fraud",
        ),
        (b" " * (BODY_BYTES_MAX + 1), grpc.StatusCode.RESOURCE_EXHAUSTED, "at most 262,144"),
    ],
    ids=["no JSON", "another model", "too large"],
)
def test_what_cannot_count_is_refused_whole(
    ask_server: Any, body: bytes, code: grpc.StatusCode, said: str, spans: CapturedSpans
) -> None:
    with pytest.raises(grpc.RpcError, match=said) as refused:
        ask_server(body)
    assert refused.value.code() is code
    assert list(spans.labels) == []


def test_where_labels_go_nowhere_a_caller_is_told() -> None:
    with pytest.raises(grpc.RpcError, match="labels go nowhere") as refused:
        sent_to_plain(json.dumps(VERDICT).encode())
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
