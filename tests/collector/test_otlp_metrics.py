"""The series of `/metrics` as OTLP: the same numbers, cumulative, with exemplars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from asking import FilledStore, labelled_predictions
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE, Metric
from prometheus_client.core import GaugeMetricFamily
from pydantic import ValidationError
from records import MINUTE_NS, START_NS, Prediction

from inferspan_collector.config import Config, Publish
from inferspan_collector.publish import otlp_metrics
from inferspan_collector.publish.otlp_metrics import MetricsPublisher, NotDelivered
from inferspan_collector.publish.prometheus import Exposition
from inferspan_collector.telemetry import PUBLISHED_METRICS, Telemetry
from servers.recording import Answer, answering

NOW_NS = START_NS + 30 * MINUTE_NS
STARTED_NS = START_NS - MINUTE_NS


@pytest.fixture
def exposition(tmp_path: Path) -> Iterator[Exposition]:
    store = FilledStore(tmp_path)
    store.now = NOW_NS
    made = Exposition(store, store.telemetry, Config())
    store.add(*labelled_predictions([("fraud", "legit")] * 2 + [("legit", "legit")] * 3))
    store.add(Prediction("slow", trace=77, span=7, duration=7_000_000_000, received=NOW_NS - 5))
    yield made
    store.close()


def converted(exposition: Exposition) -> dict[str, Metric]:
    found = otlp_metrics.otlp_metrics(exposition.collect(), STARTED_NS, NOW_NS)
    return {metric.name: metric for metric, _ in found}


def test_every_number_is_there_once(exposition: Exposition) -> None:
    metrics = converted(exposition)
    for family in exposition.collect():
        if family.type == "histogram" or not family.samples:
            continue
        points = (metrics[family.name].sum or metrics[family.name].gauge).data_points
        points = points or metrics[family.name].gauge.data_points
        told = {
            frozenset((pair.key, pair.value.string_value) for pair in point.attributes): point
            for point in points
        }
        assert len(told) == len(points)
        for sample in family.samples:
            key = frozenset((k, v) for k, v in sample.labels.items() if v)
            if family.name != "inferspan_store_disk_free_bytes":
                assert told[key].as_double == sample.value


def test_counters_are_cumulative_and_say_since_when(exposition: Exposition) -> None:
    metrics = converted(exposition)
    for name, since in (
        ("inferspan_predictions", STARTED_NS),
        ("inferspan_store_commits", STARTED_NS),
        ("inferspan_evaluations", 0),
        ("inferspan_quality_outcomes", 0),
    ):
        total = metrics[name].sum
        assert total.is_monotonic
        assert total.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE
        assert {point.start_time_unix_nano for point in total.data_points} == {since}
        assert {point.time_unix_nano for point in total.data_points} == {NOW_NS}


def test_a_histogram_has_its_buckets_apart_and_leads_to_a_trace(exposition: Exposition) -> None:
    metric = converted(exposition)["inferspan_prediction_duration_seconds"]
    (point,) = metric.histogram.data_points
    assert metric.unit == "s"
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert sum(point.bucket_counts) == point.count == 6
    assert point.sum == pytest.approx(5 * 0.005 + 7)
    slow = max(point.exemplars, key=lambda exemplar: exemplar.as_double)
    assert slow.as_double == 7.0
    assert (slow.trace_id.hex(), slow.span_id.hex()) == (f"{77:032x}", f"{7:016x}")
    # A double holds today's nanoseconds to some hundred of them.
    assert slow.time_unix_nano == pytest.approx(NOW_NS, abs=1_000)


def test_a_mistake_is_an_exemplar_of_its_counter(exposition: Exposition) -> None:
    points = converted(exposition)["inferspan_evaluations"].sum.data_points
    traces = {exemplar.trace_id.hex() for point in points for exemplar in point.exemplars}
    assert traces <= {f"{1:032x}", f"{2:032x}"}
    assert traces


def test_requests_stay_small_and_hold_everything() -> None:
    family = GaugeMetricFamily("many", "Many.", labels=("n",))
    for n in range(12_345):
        family.add_metric((str(n),), n)
    few = GaugeMetricFamily("few", "Few.", value=1)
    sent = list(otlp_metrics.requests(otlp_metrics.otlp_metrics([family, few], 0, NOW_NS)))
    sizes = [
        sum(len(m.gauge.data_points) for m in request.resource_metrics[0].scope_metrics[0].metrics)
        for request in sent
    ]
    assert max(sizes) <= otlp_metrics.POINTS_PER_REQUEST
    assert sum(sizes) == 12_346


class Endpoint:
    """An OTLP/HTTP endpoint that answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.rejected = 0
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []


@pytest.fixture
def endpoint() -> Iterator[tuple[Endpoint, str]]:
    told = Endpoint()

    def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        told.headers.append({**headers, "path": path})
        told.bodies.append(body)
        said = ExportMetricsServiceResponse()
        said.partial_success.rejected_data_points = told.rejected
        return Answer(told.status, said.SerializeToString())

    with answering(answer) as url:
        yield told, url


def publisher(exposition: Exposition, url: str, token: Path | None = None) -> MetricsPublisher:
    return MetricsPublisher(exposition.collect, lambda: NOW_NS, Telemetry(), url, token)


@pytest.mark.parametrize("suffix", ["", "/", "/v1/metrics"])
def test_a_push_says_who_it_is(
    exposition: Exposition, endpoint: tuple[Endpoint, str], tmp_path: Path, suffix: str
) -> None:
    told, url = endpoint
    (token := tmp_path / "token").write_text("secret\n")
    assert publisher(exposition, url + suffix, token).publish_once() == 0
    assert told.headers[0]["path"] == "/v1/metrics"
    assert told.headers[0]["Authorization"] == "Bearer secret"
    (resource,) = ExportMetricsServiceRequest.FromString(told.bodies[0]).resource_metrics
    said = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert said["service.name"] == "inferspan_collector"
    assert said["service.version"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfe", "is no text in ASCII"),
        (b"first\nsecond\n", "more than one line"),
        (b"\n", "holds no token"),
    ],
)
def test_a_token_that_cannot_be_used_is_what_is_named(
    exposition: Exposition,
    endpoint: tuple[Endpoint, str],
    tmp_path: Path,
    content: bytes | None,
    says: str,
) -> None:
    told, url = endpoint
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with pytest.raises(NotDelivered, match=says) as raised:
        publisher(exposition, url, token).publish_once()
    assert "publish.otlp_token_file" in str(raised.value)
    assert told.bodies == []


def test_what_is_not_taken_is_said_and_counted(
    exposition: Exposition, endpoint: tuple[Endpoint, str]
) -> None:
    told, url = endpoint
    telemetry = Telemetry()
    pushing = MetricsPublisher(exposition.collect, lambda: NOW_NS, telemetry, url)
    told.status = 503
    with pytest.raises(NotDelivered, match=r"publish\.otlp"):
        pushing.publish_once()
    told.status, told.rejected = 200, 3
    pushing.publish_once()
    told.rejected = 0
    pushing.publish_once()
    counted = {r: telemetry.get(PUBLISHED_METRICS, result=r) for r in ("error", "rejected", "ok")}
    assert counted["error"] == 1
    assert counted["rejected"] == counted["ok"] > 0


@pytest.mark.parametrize(
    ("publish", "says"),
    [
        ({"otlp": "127.0.0.1:4318"}, "is no http:// or https:// URL"),
        ({"otlp_token_file": "/dev/null"}, "without otlp"),
        ({"otlp": "http://o:4318", "otlp_token_file": "nowhere"}, "cannot be read"),
        ({"otlp": "http://o:4318", "otlp_seconds": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_configuration_stops_the_start(publish: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Publish.model_validate(publish)
