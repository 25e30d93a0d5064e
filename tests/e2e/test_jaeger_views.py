"""The unmodified Jaeger shows what our store knows: traces, and the Monitor tab's figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from records import START_NS, Label, Prediction
from starlette.applications import Starlette
from stored import Stored, stored

from inferspan import semconv
from inferspan_collector.config import Config, load
from inferspan_collector.publish import jaeger_monitor
from inferspan_collector.publish.jaeger_spans import EvaluationPublisher
from servers.running import Jaeger
from servers.serving import serving
from waiting import wait_until

pytestmark = pytest.mark.real

PREDICTIONS = 100
WRONG = 13
FAILED = 5
MS = 1_000_000
SECONDS = 30.0


@pytest.fixture
def config(jaeger: Jaeger) -> Config:
    return load(None, {"jaeger": {"otlp": jaeger.otlp_http, "evaluations_per_second": PREDICTIONS}})


@pytest.fixture
def store(tmp_path: Path, config: Config, jaeger: Jaeger) -> Iterator[Stored]:
    """A store whose answers stand where Jaeger asks for them."""
    with stored(tmp_path, config) as opened:
        application = Starlette(routes=jaeger_monitor.routes(opened, config, opened.telemetry))
        with serving(application, jaeger.api):
            yield opened


def predictions(service: str) -> list[Prediction]:
    """100 calls, 10 ms apart, all in one minute, 4 to 6 ms long; the last five raised."""
    return [
        Prediction(
            prediction_id=f"{service}-{number}",
            service=service,
            predicted=None if number >= PREDICTIONS - FAILED else "legit",
            error_type="ValueError" if number >= PREDICTIONS - FAILED else None,
            trace=(hash_of(service) << 64) + number + 1,
            span=number + 1,
            event_time=START_NS + 10 * MS * number,
            received=START_NS + 10 * MS * number,
            duration=(4 + number % 3) * MS,
        )
        for number in range(PREDICTIONS)
    ]


def hash_of(service: str) -> int:
    return int.from_bytes(service.encode()[-8:].rjust(8, b"x"), "big")


def labels(rows: list[Prediction]) -> list[Label]:
    return [
        Label(
            prediction_id=row.prediction_id,
            label_id=f"label-{row.prediction_id}",
            actual="fraud" if number < WRONG else "legit",
            time=row.event_time + 60_000 * MS,
            received=row.event_time + 60_000 * MS,
        )
        for number, row in enumerate(rows)
        if row.error_type is None
    ]


def otlp(rows: list[Prediction]) -> bytes:
    """What the application itself sends to Jaeger."""
    spans = [
        Span(
            trace_id=row.trace.to_bytes(16, "big"),
            span_id=row.span.to_bytes(8, "big"),
            name=f"{row.operation} {row.model}",
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=row.event_time,
            end_time_unix_nano=row.event_time + row.duration,
        )
        for row in rows
    ]
    service = KeyValue(key=semconv.SERVICE_NAME, value=AnyValue(string_value=rows[0].service))
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(attributes=[service]),
                scope_spans=[
                    ScopeSpans(
                        scope=InstrumentationScope(name=semconv.SCOPE_PREDICTIONS), spans=spans
                    )
                ],
            )
        ]
    ).SerializeToString()


def send(jaeger: Jaeger, rows: list[Prediction]) -> None:
    httpx.post(
        f"{jaeger.otlp_http}/v1/traces",
        content=otlp(rows),
        headers={"Content-Type": "application/x-protobuf"},
    ).raise_for_status()


def metrics(jaeger: Jaeger, measure: str, service: str, **more: Any) -> dict[str, Any]:
    """Values now, a minute and two minutes after the predictions, by operation ("" = all)."""
    answer = jaeger.get(
        f"/api/metrics/{measure}",
        service=service,
        endTs=START_NS // MS + 120_000,
        lookback=120_000,
        step=60_000,
        ratePer=600_000,
        **more,
    )
    return {
        next((label["value"] for label in one["labels"] if label["name"] == "operation"), ""): [
            point["gaugeValue"]["doubleValue"] for point in one["metricPoints"]
        ]
        for one in answer["metrics"]
    }


def test_a_wrong_prediction_is_a_red_span_in_its_own_trace(
    jaeger: Jaeger, store: Stored, config: Config
) -> None:
    rows = predictions("shop-spans")
    send(jaeger, rows)
    store.commit(*rows, *labels(rows))
    publisher = EvaluationPublisher(store, store.telemetry, str(config.jaeger.otlp))

    assert publisher.publish_once() == PREDICTIONS - FAILED
    assert store.reader.outbox(10) == []

    trace_id = f"{rows[0].trace:032x}"
    spans = wait_until(
        lambda: found if len(found := jaeger.trace(trace_id)) == 2 else None,
        SECONDS,
        "the evaluation to stand in the trace",
    )
    (prediction,) = [span for span in spans if span["operationName"] == "predict fraud"]
    (evaluation,) = [span for span in spans if span["operationName"] == "evaluate fraud"]
    tags = {tag["key"]: tag["value"] for tag in evaluation["tags"]}
    assert evaluation["service"] == f"{rows[0].service}-quality"
    assert tags[semconv.EVALUATION_OUTCOME] == "incorrect"
    assert (tags[semconv.EVALUATION_PREDICTED], tags[semconv.EVALUATION_EXPECTED]) == (
        "legit",
        "fraud",
    )
    assert tags["otel.status_code"] == "ERROR"
    assert tags["span.kind"] == "server"
    assert evaluation["references"] == [
        {"refType": "FOLLOWS_FROM", "traceID": trace_id, "spanID": prediction["spanID"]}
    ]
    assert [span.get("warnings") for span in spans] == [None, None]
    found = jaeger.get(
        "/api/traces",
        service=f"{rows[0].service}-quality",
        tags=f'{{"{semconv.EVALUATION_OUTCOME}":"incorrect"}}',
        limit=200,
        start=START_NS // 1000 - 1,
        end=START_NS // 1000 + 60_000_000,
    )
    assert len(found["data"]) == WRONG


def test_a_copy_sent_twice_stays_one_span_without_warning(
    jaeger: Jaeger, store: Stored, config: Config
) -> None:
    rows = predictions("shop-twice")[:1]
    store.commit(*rows, *labels(rows))
    send(jaeger, rows)
    publisher = EvaluationPublisher(store, store.telemetry, str(config.jaeger.otlp))
    entries = store.reader.outbox(10)

    for _ in range(2):
        request = publisher.request(entries)
        httpx.post(
            f"{jaeger.otlp_http}/v1/traces",
            content=request,
            headers={"Content-Type": "application/x-protobuf"},
        ).raise_for_status()
    publisher.publish_once()

    spans = wait_until(
        lambda: found if len(found := jaeger.trace(f"{rows[0].trace:032x}")) == 2 else None,
        SECONDS,
        "one evaluation beside the prediction",
    )
    assert [span.get("warnings") for span in spans] == [None, None]


def test_the_monitor_tab_is_answered_by_the_store(
    jaeger: Jaeger, store: Stored, config: Config
) -> None:
    service = "shop-monitor"
    rows = predictions(service)
    store.commit(*rows, *labels(rows))

    judged = PREDICTIONS - FAILED
    by_operation: dict[str, Any] = {"groupByOperation": True}
    quality = f"{service}-quality"
    assert metrics(jaeger, "errors", quality)[""][-1] == pytest.approx(WRONG / judged)
    assert metrics(jaeger, "errors", service)[""][-1] == pytest.approx(FAILED / PREDICTIONS)
    assert metrics(jaeger, "calls", service, **by_operation) == {
        "predict fraud": [0.0, *[pytest.approx(PREDICTIONS / 600)] * 2]
    }
    assert metrics(jaeger, "errors", quality, **by_operation)["evaluate fraud"][-1] == (
        pytest.approx(WRONG / judged)
    )
    p95 = metrics(jaeger, "latencies", service, quantile=0.95)[""][-1]
    assert p95 == pytest.approx(6.0, rel=0.01)
    recalls = metrics(jaeger, "errors", quality, spanKind="producer", **by_operation)
    assert recalls["recall fraud[fraud]"][-1] == 1.0
    assert recalls["recall fraud[legit]"][-1] == 0.0


def test_a_correction_changes_the_past_of_the_monitor_tab(
    jaeger: Jaeger, store: Stored, config: Config
) -> None:
    service = "shop-corrected"
    rows = predictions(service)
    given = labels(rows)
    store.commit(*rows, *given)
    right = [
        Label(
            prediction_id=label.prediction_id,
            label_id=label.label_id,
            revision=1,
            actual="legit",
            time=label.time,
            received=label.received,
        )
        for label in given[:WRONG]
    ]

    store.commit(*right)

    assert metrics(jaeger, "errors", f"{service}-quality")[""][-1] == 0.0


def test_names_that_jaeger_would_misread_work_all_the_same(
    jaeger: Jaeger, store: Stored, config: Config
) -> None:
    service = "shop.*(EU)/v2+"
    rows = predictions(service)
    store.commit(*rows, *labels(rows))
    EvaluationPublisher(store, store.telemetry, str(config.jaeger.otlp)).publish_once()

    safe = "shop___EU__v2_-quality"
    wait_until(lambda: safe in (jaeger.get("/api/services")["data"] or []), SECONDS, safe)
    judged = PREDICTIONS - FAILED
    assert metrics(jaeger, "errors", safe)[""][-1] == pytest.approx(WRONG / judged)
    assert metrics(jaeger, "errors", service)[""][-1] == pytest.approx(FAILED / PREDICTIONS)
    assert metrics(jaeger, "errors", "shop.*") == {}
