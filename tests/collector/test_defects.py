"""Requests at which our own code fails: read in another way, or refused for what is to blame.

The decoder is made to fail where it is plugged in: by a signal that raises, and by a mapper that
does, which the slow way asks of every span of others.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from receiving import serving
from starlette.applications import Starlette

from inferspan import semconv
from inferspan_collector import telemetry as counters
from inferspan_collector.batches import Decoded
from inferspan_collector.config import Limits
from inferspan_collector.decode import (
    UNDECODABLE,
    Content,
    Mapper,
    decode_logs_in_parts,
    decode_traces,
    decode_traces_in_parts,
    found,
)
from inferspan_collector.decode.in_parts import BLAMED_MAX, read_in_parts
from inferspan_collector.decode.mapping import SpanView
from inferspan_collector.receivers import label_lines, labels, otlp_http
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.defects import SAID_SECONDS, Defects
from inferspan_collector.receivers.otlp import SIGNALS, Signal
from inferspan_collector.receivers.otlp_grpc import GrpcReceiver
from inferspan_collector.submission import Overloaded
from inferspan_collector.telemetry import Telemetry
from inferspan_collector.testing import (
    NOW_NS,
    RecordingSink,
    label_span,
    log_record,
    logs_request,
    otlp_json,
    otlp_span,
    prediction_span,
    traces_request,
)

POISON = "poison"
OTHERS = "their.library"
TRACES, LOGS = SIGNALS
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
PROTOBUF = "application/x-protobuf"


class Tripping(Mapper):
    """Takes no span, and fails at those of one name."""

    def __init__(self, error: type[Exception] = IndexError) -> None:
        super().__init__(())
        self._error = error

    def keys(self, scope: str) -> frozenset[str] | None:
        return None

    def prediction(self, view: SpanView) -> None:
        if view.span.name == POISON:
            raise self._error("out of bounds")


def failing(error: type[Exception] = IndexError) -> Callable[..., Decoded]:
    """`decode_traces`, that fails where the request names the poison."""

    def decode(body: Content, **options: Any) -> Decoded:
        if POISON.encode() in bytes(body):
            raise error("out of bounds")
        return decode_traces(body, **options)

    return decode


def tripping(error: type[Exception] = IndexError) -> Signal:
    """Fails at whole requests in which a poison is, and at each poison record by record."""
    in_parts = partial(decode_traces_in_parts, mapper=Tripping(error))
    return replace(TRACES, decode=failing(), in_parts=in_parts, together=None)


def poisoned(poisons: int) -> bytes:
    """Two predictions, a label, and spans of others at which the decoder fails."""
    request = traces_request([prediction_span("before")])
    spans = [otlp_span(POISON, {}) for _ in range(poisons)]
    request.MergeFrom(traces_request(spans, scope=OTHERS))
    label = label_span("before", {semconv.LABEL_CLASS: "legit"})
    request.MergeFrom(traces_request([label], scope=semconv.SCOPE_LABELS))
    request.MergeFrom(traces_request([prediction_span("after")]))
    return request.SerializeToString()


@dataclass
class Running:
    """A receiver that runs."""

    send: Callable[[bytes], tuple[str, bytes]]
    """Gives the code of the answer, and its body or the message of the error."""
    sink: RecordingSink
    telemetry: Telemetry
    transport: str

    def stored(self) -> tuple[list[str], int]:
        """Ids of predictions, and how many labels."""
        return self.sink.predictions.prediction_id.objects().tolist(), len(self.sink.labels)

    def count(self, counter: counters.Counter, **labels: str) -> int:
        return self.telemetry.get(counter, **labels)


@contextlib.contextmanager
def over_http(signal: Signal) -> Iterator[Running]:
    sink, telemetry, limits = RecordingSink(), Telemetry(), Limits()
    app = otlp_http.application(sink, telemetry, limits, Budget.of(limits), signals=[signal])
    with serving(app) as url, httpx.Client(base_url=url, timeout=20) as client:

        def send(body: bytes) -> tuple[str, bytes]:
            headers = {"content-type": PROTOBUF}
            answer = client.post(signal.path, content=body, headers=headers)
            if answer.status_code == 200:
                return "OK", answer.content
            return str(answer.status_code), Status.FromString(answer.content).message.encode()

        yield Running(send, sink, telemetry, "otlp_http")


@contextlib.contextmanager
def over_grpc(signal: Signal) -> Iterator[Running]:
    sink, telemetry, limits = RecordingSink(), Telemetry(), Limits()
    server = GrpcReceiver(
        sink, telemetry, limits, Budget.of(limits), "127.0.0.1:0", signals=[signal]
    )
    codes = {grpc.StatusCode.INVALID_ARGUMENT: "400", grpc.StatusCode.UNAVAILABLE: "503"}
    with grpc.insecure_channel(server.start()) as channel:

        def send(body: bytes) -> tuple[str, bytes]:
            try:
                return "OK", channel.unary_unary(METHOD)(body, timeout=20)
            except grpc.RpcError as error:
                return codes[error.code()], error.details().encode()

        yield Running(send, sink, telemetry, "otlp_grpc")
        server.stop(5)


Transport = Callable[[Signal], contextlib.AbstractContextManager[Running]]
both = pytest.mark.parametrize("transport", [over_http, over_grpc])


@both
def test_what_fails_as_a_whole_and_not_record_by_record_loses_nothing(transport: Transport) -> None:
    signal = replace(TRACES, decode=failing(), together=None)
    with transport(signal) as running:
        assert running.send(poisoned(1)) == ("OK", b"")
        assert running.stored() == (["before", "after"], 1)
        assert running.count(counters.CONTAINED, where=running.transport) == 1
        assert running.count(counters.REFUSED) == 0


@both
def test_the_record_that_is_to_blame_is_refused_alone(transport: Transport) -> None:
    with transport(tripping()) as running:
        code, body = running.send(poisoned(1))
        said = ExportTraceServiceResponse.FromString(body).partial_success
        assert (code, said.rejected_spans) == ("OK", 1)
        assert said.error_message.startswith(f"{UNDECODABLE}: record 1 of the request")
        assert "IndexError" in said.error_message
        assert running.stored() == (["before", "after"], 1)
        labels = {"signal": "predictions", "reason": UNDECODABLE, "transport": running.transport}
        assert running.count(counters.REFUSED, **labels) == 1
        assert running.count(counters.CONTAINED, where=running.transport) == 1


@both
def test_where_many_are_to_blame_the_request_is_refused_for_good(transport: Transport) -> None:
    with transport(tripping()) as running:
        code, body = running.send(poisoned(BLAMED_MAX))
        rejected = ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans
        assert (code, rejected) == ("OK", BLAMED_MAX)
        code, message = running.send(poisoned(BLAMED_MAX + 1))
        assert code == "400"
        assert b"IndexError" in message
        assert len(running.sink.submitted) == 1
        labels = {"transport": running.transport, "reason": UNDECODABLE}
        assert running.count(counters.REFUSED_REQUESTS, **labels) == 1
        assert running.count(counters.CONTAINED, where=running.transport) == 2


@both
@pytest.mark.parametrize("error", [MemoryError, OSError])
def test_what_may_pass_is_sent_again_and_nothing_of_it_is_lost(
    transport: Transport, error: type[Exception]
) -> None:
    for signal in (tripping(error), replace(TRACES, decode=failing(error), together=None)):
        with transport(signal) as running:
            code, message = running.send(poisoned(1))
            assert code == "503"
            assert error.__name__.encode() in message
            assert running.sink.submitted == []
            assert running.count(counters.REFUSED) == 0


@both
def test_want_of_room_for_its_rows_is_no_defect(transport: Transport) -> None:
    def full(body: Content, *, reserve: Callable[[int], None], **options: Any) -> Decoded:
        def told(rows: int) -> None:
            raise Overloaded("requests under way hold too much", reason="requests_under_way")

        return decode_traces_in_parts(body, reserve=told, **options)

    with transport(replace(TRACES, decode=failing(), in_parts=full, together=None)) as running:
        code, message = running.send(poisoned(1))
        assert (code, message) == ("503", b"requests under way hold too much")
        assert running.count(counters.CONTAINED) == 0


def test_requests_that_fail_together_are_read_one_by_one() -> None:
    def fail(*_: object, **options: object) -> None:
        raise IndexError

    with over_grpc(replace(tripping(), together=fail)) as running:
        assert running.send(poisoned(1))[0] == "OK"
        assert running.stored() == (["before", "after"], 1)


def test_json_is_read_in_parts_too() -> None:
    request = traces_request([prediction_span("before"), prediction_span("after")])
    request.MergeFrom(traces_request([otlp_span(POISON, {})], scope=OTHERS))
    options = {"json": True, "received_ns": NOW_NS, "mapper": Tripping()}
    decoded = decode_traces_in_parts(otlp_json(request), **options)
    assert decoded.predictions.prediction_id.objects().tolist() == ["before", "after"]
    assert [(r.signal, r.reason) for r in decoded.refused] == [("predictions", UNDECODABLE)]


def test_a_log_record_that_is_to_blame_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    read = found.read_label

    def fail(fields: dict[str, object], *arguments: Any, **options: Any) -> Any:
        if fields["prediction_id"] == POISON:
            raise IndexError
        return read(fields, *arguments, **options)

    monkeypatch.setattr(found, "read_label", fail)
    records = [
        log_record(
            semconv.EVENT_LABEL,
            {
                semconv.LABEL_ID: f"label of {prediction_id}",
                semconv.MODEL_NAME: "fraud",
                semconv.PREDICTION_ID: prediction_id,
                semconv.LABEL_CLASS: "fraud",
            },
        )
        for prediction_id in ("before", POISON, "after")
    ]
    body = logs_request(records).SerializeToString()
    decoded = decode_logs_in_parts(body, json=False, received_ns=NOW_NS)
    assert decoded.labels.prediction_id.objects().tolist() == ["before", "after"]
    assert [(r.signal, r.reason) for r in decoded.refused] == [("labels", UNDECODABLE)]


@pytest.mark.parametrize("seam", ["read_label", "label_batch"])
def test_a_line_that_is_to_blame_is_refused_alone(
    monkeypatch: pytest.MonkeyPatch, seam: str
) -> None:
    place = label_lines if seam == "read_label" else labels
    work = getattr(place, seam)

    def fail(given: Any, *arguments: Any) -> Any:
        read = given["prediction_id"] if seam == "read_label" else [r.prediction_id for r in given]
        if POISON in read:
            raise IndexError
        return work(given, *arguments)

    monkeypatch.setattr(place, seam, fail)
    sink, telemetry, limits = RecordingSink(), Telemetry(), Limits()
    app = Starlette(routes=labels.routes(sink, telemetry, limits, Budget.of(limits)))
    lines = "\n".join(
        json.dumps({"prediction_id": prediction_id, "model": "fraud", "class": "legit"})
        for prediction_id in ("before", POISON, "after")
    )
    with serving(app) as url:
        headers = {"content-type": "application/x-ndjson"}
        answer = httpx.post(f"{url}/v1/labels", content=lines, headers=headers)
    assert answer.status_code == 200
    said = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["result"] for line in said] == ["waiting", "invalid", "waiting"]
    assert "IndexError" in said[1]["error"]
    assert sink.labels.prediction_id.objects().tolist() == ["before", "after"]
    assert telemetry.get(counters.CONTAINED, where="labels") == 1
    refused = {"signal": "labels", "reason": UNDECODABLE, "transport": "labels"}
    assert telemetry.get(counters.REFUSED, **refused) == 1


# --- what is to blame -----------------------------------------------------------------------------


@given(st.integers(1, 300), st.data())
def test_exactly_those_that_fail_are_left_out(records: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(0, records - 1), max_size=BLAMED_MAX))
    reads = 0

    def read(some: Sequence[int]) -> list[int]:
        nonlocal reads
        reads += 1
        if bad.intersection(some):
            raise IndexError
        return list(some)

    kept, blamed = read_in_parts(range(records), read)
    assert kept == [record for record in range(records) if record not in bad]
    assert blamed.keys() == bad
    # Each costs two parts for every time that a request of so many records can be halved.
    assert reads <= 2 + 2 * max(1, len(bad)) * (records.bit_length() + 1)


def test_what_no_record_is_to_blame_for_is_raised() -> None:
    def read(some: Sequence[int]) -> None:
        if len(some) > 3:
            raise IndexError("only together")

    with pytest.raises(IndexError, match="only together"):
        read_in_parts(range(5), read)
    with pytest.raises(IndexError, match="of nothing"):
        read_in_parts([], lambda _: (_ for _ in ()).throw(IndexError("of nothing")))


def test_defects_are_said_once_a_minute_and_counted_always(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR, "inferspan_collector")
    now, telemetry = 0.0, Telemetry()
    defects = Defects(telemetry, "otlp_http", clock=lambda: now)
    for now in (0.0, 1.0, SAID_SECONDS - 1, SAID_SECONDS):
        defects.note(IndexError(f"at {now}"), "it was refused as a whole")
    assert telemetry.get(counters.CONTAINED, where="otlp_http") == 4
    first, last = (record.getMessage() for record in caplog.records)
    assert "it was refused as a whole. Report this" in first
    assert "2 more since the last such line" in last
    assert "IndexError: at 0.0" in caplog.text
