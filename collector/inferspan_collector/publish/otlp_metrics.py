"""The series of `/metrics`, pushed over OTLP/HTTP for whoever does not scrape; exemplars with them.

Everything is cumulative, so nothing waits for an endpoint that does not answer: the next push says
it all. A counter that the store keeps has no start; all others start with the process.
"""

from __future__ import annotations

import urllib.error
from collections.abc import Callable, Iterable, Iterator, Mapping
from http.client import HTTPException
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Exemplar,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar as Shown
from prometheus_client.samples import Sample

from inferspan import semconv
from inferspan_collector.publish.posting import TokenUnusable, post
from inferspan_collector.telemetry import PUBLISHED_METRICS, Telemetry

SCOPE: Final = "inferspan_collector"
ANSWER_BYTES_MAX: Final = 64 * 1024
POINTS_PER_REQUEST: Final = 5_000
OF_THE_STORE: Final = frozenset(
    ("inferspan_evaluations", "inferspan_quality_outcomes", "inferspan_quality_retracted")
)
"""Counters that go on where the last process left them."""
_UNITS: Final = {"seconds": "s", "bytes": "By", "ratio": "1"}


class NotDelivered(RuntimeError):
    """The endpoint did not take the metrics; one line says why and what may help."""


class MetricsPublisher:
    """Pushes what a scrape would show.

    Args:
        collect: the families of this moment.
        now_ns: Unix ns.
        telemetry: counts pushes.
        endpoint: OTLP/HTTP, with or without `/v1/metrics`.
        token_file: holds the bearer token that it wants; read at every push.
    """

    def __init__(
        self,
        collect: Callable[[], Iterable[Family]],
        now_ns: Callable[[], int],
        telemetry: Telemetry,
        endpoint: str,
        token_file: Path | None = None,
    ) -> None:
        endpoint = endpoint.rstrip("/")
        self._url = endpoint if endpoint.endswith("/v1/metrics") else f"{endpoint}/v1/metrics"
        self._collect, self._now_ns, self._telemetry = collect, now_ns, telemetry
        self._token_file = token_file
        self._started_ns = now_ns()

    def publish_once(self) -> int:
        """Push all of it. Returns 0: until it is time again there is nothing to do.

        Raises:
            NotDelivered: a request was not taken; the next push says the same and more.
        """
        metrics = otlp_metrics(self._collect(), self._started_ns, self._now_ns())
        for request in requests(metrics):
            try:
                rejected = self._send(request.SerializeToString())
            except (OSError, HTTPException, DecodeError) as error:
                self._telemetry.add(PUBLISHED_METRICS, result="error")
                remedy = (
                    "It is publish.otlp_token_file: one line, readable by the collector."
                    if isinstance(error, TokenUnusable)
                    else "Is publish.otlp an OTLP/HTTP endpoint that takes metrics?"
                )
                raise NotDelivered(
                    f"metrics do not reach {self._url}: {error}. {remedy}"
                ) from error
            self._telemetry.add(PUBLISHED_METRICS, result="rejected" if rejected else "ok")
        return 0

    def _send(self, body: bytes) -> int:
        try:
            answer = post(
                self._url, body, "application/x-protobuf", ANSWER_BYTES_MAX, self._token_file
            )
        except urllib.error.HTTPError as error:
            error.close()
            raise
        response = ExportMetricsServiceResponse.FromString(answer)
        return response.partial_success.rejected_data_points


def requests(metrics: Iterable[tuple[Metric, int]]) -> Iterator[ExportMetricsServiceRequest]:
    """Requests of about `POINTS_PER_REQUEST` points: whole metrics, as they come."""
    held: list[Metric] = []
    points = 0
    for metric, n in metrics:
        if held and points + n > POINTS_PER_REQUEST:
            yield _request(held)
            held, points = [], 0
        held.append(metric)
        points += n
    if held:
        yield _request(held)


def otlp_metrics(
    families: Iterable[Family], started_ns: int, now_ns: int
) -> Iterator[tuple[Metric, int]]:
    """Each family as OTLP has it, in parts of at most `POINTS_PER_REQUEST` points, and how many.

    Args:
        families: as Prometheus' client has them.
        started_ns: since when counters count, Unix ns.
        now_ns: the moment.
    """
    for family in families:
        since = 0 if family.name in OF_THE_STORE else started_ns
        name, text, unit = family.name, family.documentation, _unit(family.name)
        if family.type == "histogram":
            points = _histogram_points(family, since, now_ns)
            while part := list(islice(points, POINTS_PER_REQUEST)):
                data = Histogram(
                    data_points=part, aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE
                )
                yield Metric(name=name, description=text, unit=unit, histogram=data), len(part)
            continue
        counts = family.type == "counter"
        numbers = (
            _number(sample, since if counts else 0, now_ns)
            for sample in family.samples
            if not sample.name.endswith("_created")
        )
        while part_of_numbers := list(islice(numbers, POINTS_PER_REQUEST)):
            n = len(part_of_numbers)
            if counts:
                total = Sum(
                    data_points=part_of_numbers,
                    aggregation_temporality=AGGREGATION_TEMPORALITY_CUMULATIVE,
                    is_monotonic=True,
                )
                yield Metric(name=name, description=text, unit=unit, sum=total), n
            else:
                gauge = Gauge(data_points=part_of_numbers)
                yield Metric(name=name, description=text, unit=unit, gauge=gauge), n


def _request(metrics: list[Metric]) -> ExportMetricsServiceRequest:
    ours = version("inferspan-collector")
    resource = Resource(
        attributes=_attributes({semconv.SERVICE_NAME: SCOPE, semconv.SERVICE_VERSION: ours})
    )
    scope = ScopeMetrics(scope=InstrumentationScope(name=SCOPE, version=ours), metrics=metrics)
    return ExportMetricsServiceRequest(
        resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[scope])]
    )


def _number(sample: Sample, since: int, now_ns: int) -> NumberDataPoint:
    return NumberDataPoint(
        attributes=_attributes(sample.labels),
        start_time_unix_nano=since,
        time_unix_nano=now_ns,
        as_double=sample.value,
        exemplars=_exemplars([sample.exemplar], now_ns),
    )


def _histogram_points(family: Family, since: int, now_ns: int) -> Iterator[HistogramDataPoint]:
    """A series' samples stand together: its buckets, its count, its sum."""
    bounds: list[float] = []
    cumulative: list[int] = []
    shown: list[Shown | None] = []
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            bounds.append(float(sample.labels["le"]))
            cumulative.append(int(sample.value))
            shown.append(sample.exemplar)
        elif sample.name.endswith("_sum"):
            yield HistogramDataPoint(
                attributes=_attributes(sample.labels),
                start_time_unix_nano=since,
                time_unix_nano=now_ns,
                count=cumulative[-1],
                sum=sample.value,
                # The last bucket has no upper end.
                explicit_bounds=bounds[:-1],
                bucket_counts=[
                    n - before for n, before in zip(cumulative, [0, *cumulative[:-1]], strict=True)
                ],
                exemplars=_exemplars(shown, now_ns),
            )
            bounds, cumulative, shown = [], [], []


def _exemplars(shown: Iterable[Shown | None], now_ns: int) -> list[Exemplar]:
    return [
        Exemplar(
            time_unix_nano=now_ns if each.timestamp is None else int(float(each.timestamp) * 1e9),
            as_double=each.value,
            trace_id=bytes.fromhex(each.labels["trace_id"]),
            span_id=bytes.fromhex(each.labels["span_id"]),
        )
        for each in shown
        if each is not None
    ]


def _unit(name: str) -> str:
    return _UNITS.get(name.rpartition("_")[2], "")


def _attributes(labels: Mapping[str, str]) -> list[KeyValue]:
    return [
        KeyValue(key=name, value=AnyValue(string_value=text))
        for name, text in labels.items()
        if text
    ]
