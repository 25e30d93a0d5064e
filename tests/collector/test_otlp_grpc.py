"""OTLP/gRPC as exporters see it: codes, RetryInfo, limits."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from inferspan import semconv
from inferspan_collector import telemetry as counters
from inferspan_collector.config import Limits, split_address
from inferspan_collector.listening import AddressTaken
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.otlp_grpc import GrpcReceiver
from inferspan_collector.submission import Overloaded, Unstorable
from inferspan_collector.telemetry import Telemetry
from inferspan_collector.testing import (
    RecordingSink,
    log_record,
    logs_request,
    prediction_span,
    traces_request,
)
from waiting import wait_until

LIMIT = 1024 * 1024
FREE = "127.0.0.1:0"
ONE = traces_request([prediction_span("order-17")])


class Receiver:
    """A receiver that runs, its sink, its counters and a channel to it."""

    def __init__(self, queue_bytes: int = 4 * LIMIT, **options: float) -> None:
        self.sink = RecordingSink()
        self.telemetry = Telemetry()
        limits = Limits(request_bytes=LIMIT, queue_bytes=queue_bytes)
        self.budget = Budget.of(limits)
        self.server = GrpcReceiver(self.sink, self.telemetry, limits, self.budget, FREE, **options)
        self.address = self.server.start()
        self.channel = grpc.insecure_channel(
            self.address, options=[("grpc.max_send_message_length", -1)]
        )

    def export(self, request=ONE, **call):
        return TraceServiceStub(self.channel).Export(request, timeout=20, **call)

    def failure(self, request=ONE, **call) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as caught:
            self.export(request, **call)
        return caught.value

    def raw(self, body: bytes, **call) -> bytes:
        path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        return self.channel.unary_unary(path)(body, timeout=20, **call)

    def count(self, counter: counters.Counter, **labels: str) -> int:
        return self.telemetry.get(counter, **labels)


@contextlib.contextmanager
def running(**options: float) -> Iterator[Receiver]:
    started = Receiver(**options)
    yield started
    started.channel.close()
    started.sink.release()
    started.server.stop(5)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running() as started:
        yield started


def retry_seconds(error: grpc.RpcError) -> int | None:
    """What RetryInfo says; None where there is none."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = Status.FromString(value)
            assert (status.code, status.message) == (error.code().value[0], error.details())
            info = RetryInfo()
            assert status.details[0].Unpack(info)
            return info.retry_delay.seconds
    return None


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_predictions_arrive(receiver: Receiver, compression: grpc.Compression) -> None:
    answer = receiver.export(compression=compression)
    assert not answer.HasField("partial_success")
    assert receiver.sink.predictions.prediction_id.objects().tolist() == ["order-17"]
    assert [transport for _, transport in receiver.sink.submitted] == ["otlp_grpc"]
    assert receiver.count(counters.REQUESTS, transport="otlp_grpc", code="OK") == 1
    assert receiver.count(counters.ACCEPTED, signal="predictions", transport="otlp_grpc") == 1


def test_label_events_arrive(receiver: Receiver) -> None:
    attributes = {
        semconv.LABEL_ID: "l",
        semconv.MODEL_NAME: "fraud",
        semconv.PREDICTION_ID: "order-17",
        semconv.LABEL_CLASS: "fraud",
    }
    bad = log_record(semconv.EVENT_LABEL, {**attributes, semconv.LABEL_CLASS: ""})
    request = logs_request([log_record(semconv.EVENT_LABEL, attributes), bad])
    answer = LogsServiceStub(receiver.channel).Export(request, timeout=20)
    assert answer.partial_success.rejected_log_records == 1
    assert receiver.sink.labels.prediction_id.objects().tolist() == ["order-17"]


def test_what_was_refused_is_said(receiver: Receiver) -> None:
    bad = prediction_span("bad", {semconv.MODEL_NAME: ""})
    answer = receiver.export(traces_request([prediction_span("good"), bad]))
    assert answer.partial_success.rejected_spans == 1
    assert answer.partial_success.error_message.startswith("missing_model: ")
    assert receiver.sink.predictions.prediction_id.objects().tolist() == ["good"]


def test_an_empty_request_is_a_success(receiver: Receiver) -> None:
    assert receiver.raw(b"") == b""
    assert receiver.sink.submitted == []


def test_the_answer_waits_for_the_commit(receiver: Receiver) -> None:
    receiver.sink.holding = True
    answer = TraceServiceStub(receiver.channel).Export.future(ONE, timeout=20)
    wait_until(lambda: receiver.sink.submitted, 20, "the request to be submitted")
    assert not answer.done()
    assert receiver.count(counters.ACCEPTED) == 0
    receiver.sink.release()
    assert answer.code() is grpc.StatusCode.OK


def test_many_senders_at_once(receiver: Receiver) -> None:
    requests = [traces_request([prediction_span(f"p{i}")]) for i in range(100)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(receiver.export, requests))
    assert sorted(receiver.sink.predictions.prediction_id.objects()) == sorted(
        f"p{i}" for i in range(100)
    )


def test_a_body_that_cannot_be_read_is_an_invalid_argument(receiver: Receiver) -> None:
    with pytest.raises(grpc.RpcError, match="not a protobuf ExportTraceServiceRequest") as caught:
        receiver.raw(b"\x01garbage")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert retry_seconds(caught.value) is None
    assert receiver.count(counters.REQUESTS, code="INVALID_ARGUMENT") == 1


def test_a_request_that_can_never_be_stored_is_an_invalid_argument(receiver: Receiver) -> None:
    receiver.sink.failing = Unstorable("a value the store cannot hold")
    error = receiver.failure()
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "a value the store cannot hold"


@pytest.mark.parametrize("where", ["refusing", "failing"])
def test_an_overload_says_when_to_come_again(receiver: Receiver, where: str) -> None:
    setattr(receiver.sink, where, Overloaded("the queue is full", retry_after_seconds=7))
    error = receiver.failure()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert (error.details(), retry_seconds(error)) == ("the queue is full", 7)


@pytest.mark.parametrize("where", ["refusing", "failing"])
def test_an_unexpected_error_is_unavailable_never_unknown(
    receiver: Receiver, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "inferspan_collector")
    setattr(receiver.sink, where, ZeroDivisionError("a defect"))
    error = receiver.failure()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_seconds(error) == 1
    assert "a defect" in caplog.text
    assert receiver.count(counters.CONTAINED, where="otlp_grpc") == 1


def test_a_commit_given_up_is_unavailable(receiver: Receiver) -> None:
    receiver.sink.holding = True
    answer = TraceServiceStub(receiver.channel).Export.future(ONE, timeout=20)
    wait_until(lambda: receiver.sink.held, 20, "the request to be submitted")
    assert receiver.sink.held[0].cancel()
    assert answer.code() is grpc.StatusCode.UNAVAILABLE

    assert receiver.count(counters.CONTAINED) == 0


def test_a_commit_that_takes_too_long_is_unavailable() -> None:
    with running(commit_seconds=0.05) as receiver:
        receiver.sink.holding = True
        error = receiver.failure()
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert retry_seconds(error) == 1
        assert error.details() == "not stored within 0.05 s; send this again"
        receiver.sink.release()
        assert not receiver.export().HasField("partial_success")


def test_surplus_requests_come_again_and_never_wait() -> None:
    with running(calls_max=2) as receiver:
        receiver.sink.holding = True
        export = TraceServiceStub(receiver.channel).Export
        taken = [export.future(ONE, timeout=20) for _ in range(2)]
        wait_until(lambda: len(receiver.sink.predictions) == 2, 20, "two requests under way")
        for error in [receiver.failure() for _ in range(20)]:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert retry_seconds(error) == 1
        assert len(receiver.sink.predictions) == 2
        receiver.sink.release()
        assert [answer.code() for answer in taken] == [grpc.StatusCode.OK] * 2
        receiver.export()


def test_a_sender_that_waits_less_frees_its_place_by_then() -> None:
    with running(calls_max=1) as receiver:
        receiver.sink.holding = True
        with pytest.raises(grpc.RpcError) as caught:
            TraceServiceStub(receiver.channel).Export(ONE, timeout=0.2)
        # Both ends look at the same deadline; whichever is first, exporters come again.
        late = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
        assert caught.value.code() in late
        wait_until(lambda: receiver.count(counters.REQUESTS) == 1, 20, "the place to be free")
        assert len(receiver.sink.held) == 1
        receiver.sink.holding = False
        receiver.export()


def test_what_requests_hold_is_limited_over_all_transports(receiver: Receiver) -> None:
    with receiver.budget.holding(4 * LIMIT):
        error = receiver.failure()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_seconds(error) == 1
    receiver.export()
    with receiver.budget.holding(4 * LIMIT):
        pass


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_too_large_is_exhausted_and_not_to_be_sent_again(
    receiver: Receiver, compression: grpc.Compression
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        receiver.raw(bytes(LIMIT + 1), compression=compression)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert retry_seconds(caught.value) is None
    assert receiver.sink.submitted == []


def test_a_bomb_is_exhausted(receiver: Receiver) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        receiver.raw(bytes(256 * LIMIT), compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_other_methods_are_unimplemented(receiver: Receiver) -> None:
    path = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
    with pytest.raises(grpc.RpcError) as caught:
        receiver.channel.unary_unary(path)(b"", timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_taken_port_is_said(receiver: Receiver) -> None:
    second = GrpcReceiver(receiver.sink, Telemetry(), Limits(), receiver.budget, receiver.address)
    with pytest.raises(AddressTaken, match=f"{receiver.address} is taken"):
        second.start()


def test_a_port_is_free_again_after_stop(receiver: Receiver) -> None:
    first = GrpcReceiver(receiver.sink, Telemetry(), Limits(), receiver.budget, FREE)
    address = first.start()
    first.stop(1)
    second = GrpcReceiver(receiver.sink, Telemetry(), Limits(), receiver.budget, address)
    assert second.start() == address
    second.stop(1)


def test_stopping_finishes_what_is_under_way(receiver: Receiver) -> None:
    receiver.sink.holding = True
    answer = TraceServiceStub(receiver.channel).Export.future(ONE, timeout=20)
    wait_until(lambda: receiver.sink.submitted, 20, "the request to be submitted")
    with ThreadPoolExecutor() as pool:
        stopping = pool.submit(receiver.server.stop, 20)
        wait_until(lambda: not _listens(receiver.address), 20, "the port to be closed")
        assert not stopping.done()
        receiver.sink.release()
        stopping.result()
    assert answer.code() is grpc.StatusCode.OK


def _listens(address: str) -> bool:
    host, port = split_address(address)
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex((host, port)) == 0


def test_the_stock_exporter_is_understood_and_comes_again(receiver: Receiver) -> None:
    receiver.sink.refusing = Overloaded("full", 1)
    exporter = OTLPSpanExporter(receiver.address, insecure=True, timeout=20)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(semconv.SCOPE_PREDICTIONS)
    attributes = {
        semconv.MODEL_NAME: "m",
        semconv.OPERATION_NAME: "predict",
        semconv.PREDICTION_ID: "p",
    }
    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as stack:
        stack.callback(provider.shutdown)
        ended = pool.submit(lambda: tracer.start_span("predict m", attributes=attributes).end())
        wait_until(lambda: receiver.count(counters.REQUESTS, code="UNAVAILABLE") >= 1, 20)
        receiver.sink.refusing = None
        ended.result()
    assert receiver.sink.predictions.prediction_id.objects().tolist() == ["p"]


def test_of_calls_that_come_together_each_hears_of_its_own_faults(receiver: Receiver) -> None:
    """Eight senders at once; one sends what cannot be read, one a span of no model."""
    bodies = {f"p{n}": traces_request([prediction_span(f"p{n}")]) for n in range(100)}
    no_model = traces_request([prediction_span("bad", {semconv.MODEL_NAME: ""})])
    with ThreadPoolExecutor(8) as senders:
        good = [senders.submit(receiver.export, body) for body in bodies.values()]
        damaged = [senders.submit(receiver.raw, b"\xff") for _ in range(5)]
        refused = [senders.submit(receiver.export, no_model) for _ in range(5)]
    assert not any(one.result().HasField("partial_success") for one in good)
    for one in damaged:
        assert one.exception().code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [one.result().partial_success.rejected_spans for one in refused] == [1] * 5
    stored = receiver.sink.predictions.prediction_id.objects().tolist()
    assert sorted(stored) == sorted(bodies)
    assert receiver.count(counters.ACCEPTED, signal="predictions") == len(bodies)
    assert receiver.count(counters.REQUESTS, code="OK") == len(bodies) + 5
    assert (receiver.budget.held, receiver.budget.requests) == (0, 0)
