"""The OTLP exporters that spans and labels leave through."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.util.re import parse_env_headers

from inferspan import settings
from inferspan.containment import Contained, errors
from inferspan.sampling import SettableIds
from inferspan.settings import HEADERS_VARIABLE, OTLP_ENDPOINTS

if TYPE_CHECKING:
    from inferspan.span_queue import SpanQueue

_CREDENTIALS_VARIABLES: Final = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)
_PROTOCOL_VARIABLES: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
)
_LOAD: Final = Contained("load an exporter")
_OTLP_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")


def load() -> None:
    """Load what labels and slim records leave through, where anything says that they leave.

    For `configure()` and whoever declares a model: a first call does not wait for it then, and no
    child is forked while a thread imports, which would wait for that import for ever. A process
    that has a provider of its own, and nowhere to send labels, needs none of it: 2 MiB, and a
    fifth of what importing OpenTelemetry, its exporter and numpy takes.
    """
    if not settings.current().labels_have_a_way:
        return
    with _LOAD:
        # What the first queue asks for, and OpenTelemetry where it finds out its resource.
        import concurrent.futures.thread  # noqa: F401
        import multiprocessing.util  # noqa: F401

        import inferspan.span_queue

        if labels_go_over_grpc():
            import inferspan.grpc_exporter
        else:
            import inferspan.http_exporter  # noqa: F401


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
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

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
