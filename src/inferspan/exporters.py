"""The OTLP exporters that spans and labels leave through, and what is said where nobody answers."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.util.re import parse_env_headers

from inferspan import settings
from inferspan.containment import errors
from inferspan.sampling import SettableIds
from inferspan.settings import HEADERS_VARIABLE, OTLP_ENDPOINTS
from inferspan.span_queue import Rejection, SpanQueue

_CREDENTIALS_VARIABLES: Final = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)
_PROTOCOL_VARIABLES: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
)
_OTLP_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_MESSAGE_LENGTH_MAX: Final = 500
"""Characters of a receiver's message that are passed on."""


def otlp_exporter(url: str | None) -> SpanExporter:
    """A new exporter.

    Args:
        url: of an OTLP/HTTP receiver, with its path; None = where and how OTEL_* says.
    """
    # Each loads a client that importing inferspan need not wait for.
    if url is None and _speaks_grpc():
        from inferspan.grpc_exporter import GrpcSpanExporter

        return GrpcSpanExporter()
    elsewhere = url is not None and _is_elsewhere(url)
    if not elsewhere and any(os.environ.get(name) for name in _CREDENTIALS_VARIABLES):
        # A session that OpenTelemetry is told to load carries credentials, so it goes before ours.
        return OTLPSpanExporter(endpoint=url)
    from inferspan.http_exporter import HttpSpanExporter

    own = {} if url is None else _headers_of(HEADERS_VARIABLE)
    withheld = _headers_of(*_OTLP_HEADERS) if elsewhere else {}
    if withheld and not own:
        errors.warn_once(
            f"headers:{url}",
            f"inferspan: {_origin(url or '')} is not where OTEL_EXPORTER_OTLP_* points, so it gets "
            f"none of {_OTLP_HEADERS[1]}; set {HEADERS_VARIABLE} where it needs headers.",
        )
    return HttpSpanExporter(url, own, frozenset(withheld))


def _is_elsewhere(url: str) -> bool:
    """Whether `OTEL_*` points to another server, whose headers and credentials are none of this."""
    named = next((found for name in OTLP_ENDPOINTS if (found := os.environ.get(name))), None)
    return named is not None and _origin(named) != _origin(url)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return f"{parts.scheme}://{parts.hostname}:{port}"
    except ValueError:  # a port that is none, of OTEL_*, which others read too
        return url


def _headers_of(*variables: str) -> dict[str, str]:
    """Headers as `OTEL_EXPORTER_OTLP_HEADERS` writes them, of the first variable that is set."""
    written = next((found for name in variables if (found := os.environ.get(name))), "")
    return dict(parse_env_headers(written, liberal=True))


def labels_receiver() -> str:
    """The URL that labels go to, as far as it can be known; for messages."""
    told = settings.current().labels_url()
    if told is not None:
        return told
    if traces := os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return traces
    default = "http://localhost:4317" if _speaks_grpc() else "http://localhost:4318"
    return os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or default


def labels_go_over_grpc() -> bool:
    """Whether OTEL_* says so, and nothing of ours says where labels go."""
    return settings.current().labels_url() is None and _speaks_grpc()


def undelivered(url: str, *, grpc: bool = False) -> str:
    """Say that nobody takes spans at `url`, and what the likely causes are.

    Args:
        url: of the receiver.
        grpc: whether they were sent over gRPC.
    """
    protocol = (
        ". You are sending gRPC; for an HTTP port set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    )
    return (
        f"could not deliver to {_without_credentials(url)}: is `inferspan serve` running there? "
        f"OTLP over HTTP is port 4318; 4317 is gRPC, 4319 the API{protocol if grpc else ''}"
    )


def warn_undelivered(url: str, why: str, *, grpc: bool = False) -> None:
    """Log it, at most once a minute for each URL."""
    place = f"deliver to {_without_credentials(url)}"
    errors.warn_sometimes(place, f"inferspan: {undelivered(url, grpc=grpc)} ({why})")


def rejection(url: str, response: ExportTraceServiceResponse) -> Rejection | None:
    """What a receiver left out of a request that it took; said, at most once a minute.

    Args:
        url: of the receiver.
        response: its answer.

    Returns:
        None where it took everything and has no more to say.
    """
    partial = response.partial_success
    spans = max(0, partial.rejected_spans)
    message = " ".join(partial.error_message.split())[:_MESSAGE_LENGTH_MAX]
    if not spans and not message:
        return None
    place = f"reject at {_without_credentials(url)}"
    said = f"{_without_credentials(url)} left out {spans:,} of a request's records"
    errors.warn_sometimes(place, f"inferspan: {said}: {message or 'it does not say why'}")
    return Rejection(spans, message)


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _speaks_grpc() -> bool:
    protocol = next(filter(None, map(os.environ.get, _PROTOCOL_VARIABLES)), "http/protobuf")
    return protocol == "grpc"


def exporting_provider(
    resource: Resource, waiting: SpanQueue, sampler: Sampler | None
) -> TracerProvider:
    """A provider of ours in front of a queue; one that samples every span loses no attribute."""
    provider = TracerProvider(
        sampler,
        resource=resource,
        id_generator=SettableIds(),
        shutdown_on_exit=False,  # `delivery` empties all queues in one time
        span_limits=SpanLimits(
            # A record that loses an attribute, or a part of an id, loses its meaning.
            max_span_attributes=SpanLimits.UNSET if sampler is ALWAYS_ON else None,
            max_attribute_length=SpanLimits.UNSET,
            max_span_attribute_length=SpanLimits.UNSET,
        ),
    )
    provider.add_span_processor(waiting)
    return provider
