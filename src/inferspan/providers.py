"""Which tracers spans and labels go through, and the exporters that `configure()` builds."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from importlib.metadata import version
from typing import Final, Self

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from inferspan import semconv, settings
from inferspan.containment import Contained, errors
from inferspan.delivery import Tally
from inferspan.identity import RandomIds
from inferspan.settings import Settings

VERSION: Final = version("inferspan")
QUEUE_SPANS_MAX: Final = 16_384
"""Spans that wait for export: a burst of predictions must not push out its own beginning."""

_QUEUE_VARIABLE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
_CREDENTIALS_VARIABLES: Final = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
)
_PROTOCOL_VARIABLES: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
)


class _State:
    """What the process has built so far."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.predictions: trace.TracerProvider | None = None
        """Used in place of the global provider; tests set it."""
        self.label_exporter: Callable[[], SpanExporter] | None = None
        """Makes label exporters in place of OTLP ones; tests set it."""
        self.tracer: tuple[trace.TracerProvider | None, trace.Tracer] = (None, trace.NoOpTracer())
        self.labels: TracerProvider | None = None
        self.dropped = False
        """Something had nowhere to go since the last flush."""
        self.built: tuple[trace.TracerProvider | None, Settings] = (None, Settings())
        """The global provider that `configure()` installed, and what it was told then."""
        self.tallies: weakref.WeakSet[Tally] = weakref.WeakSet()


_state = _State()


def configure(
    *,
    service_name: str | None = None,
    service_version: str | None = None,
    environment: str | None = None,
    endpoint: str | None = None,
    capture: str | None = None,
) -> None:
    """Say where predictions and labels go, in one line.

    Without a global TracerProvider this builds and installs one that exports over OTLP, from these
    arguments and the `OTEL_*` variables. A provider that is already there is used as it is and
    never replaced; then the arguments decide about labels and capture only, and a warning says
    once which of them predictions do not follow. Called again, it keeps what an earlier call said
    and this one does not.

    Args:
        service_name: `service.name`; absent = `OTEL_SERVICE_NAME`.
        service_version: `service.version`.
        environment: `deployment.environment.name`, part of a prediction's key: `production`.
        endpoint: base URL of an OTLP/HTTP receiver, for spans and labels. Absent: labels go to
            `INFERSPAN_ENDPOINT`, else where spans go; spans where `OTEL_EXPORTER_OTLP_*` says,
            else to `INFERSPAN_ENDPOINT`, else to http://localhost:4318.
        capture: what of the inputs goes on spans: `shapes`, `values` or `none`. Absent =
            `INFERSPAN_CAPTURE`, else `shapes`. A decorator's own `capture=` wins.

    Raises:
        ValueError: a value breaks its rule; says which, and what to do.
    """
    told = Settings.read(
        os.environ,
        service_name=service_name,
        service_version=service_version,
        environment=environment,
        endpoint=endpoint,
        capture=capture,
        earlier=settings.in_force(),
        configured=True,
    )
    settings.install(told)
    with _state.lock:
        stale, _state.labels = _state.labels, None
    if stale is not None:
        stale.shutdown()
    installed = _state.predictions or trace.get_tracer_provider()
    if isinstance(installed, trace.ProxyTracerProvider):
        provider = _exporting_provider(
            Resource.create(_named(told)),
            _counted(_otlp_exporter(told.traces_url())),
            sampler=None,
            at_exit=True,
        )
        trace.set_tracer_provider(provider)
        _state.built = (provider, told)
        return
    built, with_settings = _state.built
    given = {
        "service_name": service_name,
        "service_version": service_version,
        "environment": environment,
        "endpoint": endpoint,
    }
    _say_what_is_ignored(given, with_settings if installed is built else Settings())


def _say_what_is_ignored(given: dict[str, str | None], followed: Settings) -> None:
    ignored = [
        name
        for name, value in given.items()
        if value is not None and value != getattr(followed, name)
    ]
    if ignored:
        errors.warn_once(
            "configure ignored",
            f"inferspan: configure({', '.join(f'{name}=…' for name in ignored)}): a TracerProvider "
            "is installed already and stays as it is, so this applies to labels only; predictions "
            "go where that provider sends them, under its service and environment. Call "
            "configure() once, at the start.",
        )


def prediction_tracer() -> trace.Tracer:
    """The tracer of prediction and stage spans, of whichever provider is installed now."""
    provider = _state.predictions or trace.get_tracer_provider()
    known, tracer = _state.tracer
    if provider is not known:
        tracer = provider.get_tracer(semconv.SCOPE_PREDICTIONS, VERSION, semconv.SCHEMA_URL)
        _state.tracer = (provider, tracer)
        if isinstance(provider, trace.ProxyTracerProvider):
            errors.warn_once(
                "no provider",
                "inferspan: no TracerProvider is installed, so predictions are not recorded. Call "
                "inferspan.configure(service_name=…), or install a TracerProvider.",
            )
    if isinstance(provider, trace.ProxyTracerProvider):
        _state.dropped = True
    return tracer


def label_tracer() -> trace.Tracer | None:
    """The tracer of label spans, of a private provider that always samples.

    Returns:
        None where nothing says where labels go; that is warned about once.
    """
    with _state.lock:
        if _state.labels is None and (exporter := label_exporter()) is not None:
            _state.labels = label_provider(_counted(exporter), at_exit=True)
        provider = _state.labels
    if provider is None:
        _state.dropped = True
        errors.warn_once(
            "no endpoint",
            "inferspan: nothing says where labels go, so they are dropped. Set INFERSPAN_ENDPOINT="
            "http://HOST:4318 or OTEL_EXPORTER_OTLP_ENDPOINT, or call inferspan.configure().",
        )
        return None
    return _labels_of(provider)


def label_exporter() -> SpanExporter | None:
    """A new exporter of label spans; None where nothing says where labels go."""
    if _state.label_exporter is not None:
        return _state.label_exporter()
    told = settings.current()
    return _otlp_exporter(told.labels_url()) if told.labels_have_a_way else None


def label_provider(exporter: SpanExporter, *, at_exit: bool) -> TracerProvider:
    """A private provider of label spans around one exporter; samples every span."""
    named = _named(settings.current())
    installed = trace.get_tracer_provider()
    # Labels of a process come from the service that its predictions come from.
    if isinstance(installed, TracerProvider):
        resource = installed.resource.merge(Resource(named))
    else:
        resource = Resource.create(named)
    return _exporting_provider(resource, exporter, ALWAYS_ON, at_exit=at_exit)


class LabelBatchSender:
    """A private way for many labels at once, that waits for their delivery.

    Args:
        exporter: its own exporter, ended with it.
        chunk: labels after which delivery is waited for; they never overflow the queue.
    """

    def __init__(self, exporter: SpanExporter, chunk: int) -> None:
        self._tally = Tally(exporter)
        self._provider = label_provider(self._tally, at_exit=False)
        self._chunk = chunk
        self._begun = 0
        self.tracer = _labels_of(self._provider)

    @property
    def sent(self) -> int:
        """Labels that were accepted so far."""
        return self._tally.sent

    @property
    def failed(self) -> int:
        """Labels that could not be delivered."""
        return self._begun - self._tally.sent

    def sent_one(self) -> None:
        """One more label was emitted."""
        self._begun += 1
        if self._begun % self._chunk == 0:
            self._provider.force_flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._provider.force_flush()
        self._provider.shutdown()


def flush(timeout: float = 5.0) -> bool:
    """Send what waits, spans and labels, and wait for it.

    Args:
        timeout: seconds to wait at most.

    Returns:
        Whether everything since the last flush was handed over, in time. False also where
        predictions or labels were dropped since then, because no provider was installed or nothing
        said where labels go, and where an exporter of ours reported a failure. Labels that were
        refused do not count here: `label` answers None. Never raises.
    """
    providers = [_state.predictions or trace.get_tracer_provider(), _state.labels]
    flushes = [f for p in providers if callable(f := getattr(p, "force_flush", None))]
    done: list[bool] = []

    def run() -> None:
        for force_flush in flushes:
            # What the flush answers is left to the provider's own timeout, which it may ignore.
            with Contained("flush"):
                done.append(bool(force_flush(max(1, int(timeout * 1000)))))

    # The thread of its own is what keeps the promise: OpenTelemetry's flush outlives its timeout.
    thread = threading.Thread(target=run, name="inferspan-flush", daemon=True)
    deadline = time.monotonic() + timeout
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    if thread.is_alive():
        return False
    dropped, _state.dropped = _state.dropped, False
    failed = [tally for tally in list(_state.tallies) if tally.failed_since_asked()]
    return not dropped and not failed and len(done) == len(flushes) and all(done)


def divert(
    predictions: trace.TracerProvider | None, label_exporter: Callable[[], SpanExporter] | None
) -> Callable[[], None]:
    """Send predictions and labels elsewhere, for a test; the answer ends that."""
    with _state.lock:
        before = (_state.predictions, _state.label_exporter, _state.labels)
        _state.predictions, _state.label_exporter = predictions, label_exporter
        _state.labels = None

    def restore() -> None:
        with _state.lock:
            diverted = _state.labels
            _state.predictions, _state.label_exporter, _state.labels = before
            # Its cached tracer would keep the test's provider alive.
            _state.tracer = (None, trace.NoOpTracer())
        if diverted is not None:
            diverted.shutdown()

    return restore


def _exporting_provider(
    resource: Resource, exporter: SpanExporter, sampler: Sampler | None, *, at_exit: bool
) -> TracerProvider:
    provider = TracerProvider(
        sampler, resource=resource, id_generator=RandomIds(), shutdown_on_exit=at_exit
    )
    queue_size = None if os.environ.get(_QUEUE_VARIABLE) else QUEUE_SPANS_MAX
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=queue_size))
    return provider


def _counted(exporter: SpanExporter) -> Tally:
    tally = Tally(exporter)
    _state.tallies.add(tally)
    return tally


def _labels_of(provider: TracerProvider) -> trace.Tracer:
    return provider.get_tracer(semconv.SCOPE_LABELS, VERSION, semconv.SCHEMA_URL)


def _named(told: Settings) -> dict[str, str]:
    named = {
        semconv.SERVICE_NAME: told.service_name,
        semconv.SERVICE_VERSION: told.service_version,
        semconv.DEPLOYMENT_ENVIRONMENT_NAME: told.environment,
    }
    return {name: text for name, text in named.items() if text is not None}


def labels_receiver() -> str:
    """The URL that labels go to, as far as it can be known; for messages."""
    told = settings.current().labels_url()
    if told is not None:
        return told
    if traces := os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return traces
    default = "http://localhost:4317" if _speaks_grpc() else "http://localhost:4318"
    return os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or default


def _speaks_grpc() -> bool:
    protocol = next(filter(None, map(os.environ.get, _PROTOCOL_VARIABLES)), "http/protobuf")
    return protocol == "grpc"


def _otlp_exporter(url: str | None) -> SpanExporter:
    if url is None and _speaks_grpc():
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
            OTLPSpanExporter as GrpcSpanExporter,
        )

        return GrpcSpanExporter()
    from inferspan.http_session import TellingSession

    # A session that OpenTelemetry is told to load carries credentials, so it goes before ours.
    loads_session = any(os.environ.get(name) for name in _CREDENTIALS_VARIABLES)
    return OTLPSpanExporter(endpoint=url, session=None if loads_session else TellingSession())
