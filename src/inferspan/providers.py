"""Which tracers spans and labels go through, and the exporters that `configure()` builds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from inferspan import delivery, exporters, semconv, settings
from inferspan.containment import Contained, errors
from inferspan.exporters import exporting_provider, otlp_exporter
from inferspan.sampling import RatioSampler
from inferspan.settings import Settings

if TYPE_CHECKING:
    from inferspan.span_queue import SpanQueue

FLUSH_SECONDS: Final = 5.0
FLUSH_SECONDS_MAX: Final = 86_400.0

Tracing = tuple[trace.TracerProvider | None, trace.Tracer, bool, bool]
"""A provider, its tracer of predictions, whether that is OpenTelemetry's own and leaves sampling to
another than us, and whether it is and leaves it to us."""
_NO_TRACING: Final[Tracing] = (None, trace.NoOpTracer(), False, False)


class _State:
    """What the process has built so far."""

    def __init__(self) -> None:
        # Reentrant: a signal handler or a finalizer may send a label while its thread does.
        self.lock = threading.RLock()
        self.configuring = threading.RLock()
        self.way: tuple[object, ...] = ()
        """How labels and records have gone since `configure()` was called last."""
        self.predictions: trace.TracerProvider | None = None
        """Used in place of the global provider; tests set it."""
        self.label_exporter: Callable[[], SpanExporter] | None = None
        """Makes label exporters in place of OTLP ones; tests set it."""
        self.tracing: Tracing = _NO_TRACING
        """Of the provider that was used last."""
        self.labels: TracerProvider | None = None
        self.records: TracerProvider | None = None
        self.label_queue: SpanQueue | None = None
        """What waits of the labels of `labels`."""
        self.dropped = False
        """Something had nowhere to go since the last flush."""
        self.built: tuple[trace.TracerProvider | None, Settings] = (None, Settings())
        """The global provider that `configure()` installed, and what it was told then."""
        self.diversions: list[dict[str, Any]] = []
        """Of each that has not ended, in the order of their beginnings, what it replaced."""


state = _State()


def _after_fork() -> None:
    # A thread that the child does not have may have held the lock.
    state.lock, state.configuring = threading.RLock(), threading.RLock()
    delivery.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@cache
def _version() -> str | None:
    # Read when a tracer is made: importing inferspan need not wait for the file.
    try:
        return version("inferspan")
    except PackageNotFoundError:  # frozen or copied into another package, without its metadata
        return None


def configure(
    *,
    service_name: str | None = None,
    service_version: str | None = None,
    environment: str | None = None,
    endpoint: str | None = None,
    capture: str | None = None,
    sample_ratio: float | None = None,
    records: str | None = None,
    record_classes: int | None = None,
    keep: Iterable[str] | None = None,
) -> None:
    """Say where predictions and labels go, in one line.

    Without a global TracerProvider this builds and installs one that exports over OTLP, from these
    arguments and the `OTEL_*` variables. A provider that is there already is used as it is; then
    the arguments decide about labels, slim records and capture only, and a warning says once what
    spans do not follow. Called again, it keeps what an earlier call said and this one does not.

    Args:
        service_name: `service.name`; absent = `OTEL_SERVICE_NAME`.
        service_version: `service.version`.
        environment: `deployment.environment.name`, part of a prediction's key: `production`.
        endpoint: base URL of an OTLP/HTTP receiver, for spans and labels. Absent: labels go to
            `INFERSPAN_ENDPOINT`, else where spans go; spans where `OTEL_EXPORTER_OTLP_*` says,
            else to `INFERSPAN_ENDPOINT`, else to http://localhost:4318.
        capture: what of the inputs goes on spans: `shapes`, `values` or `none`. Absent =
            `INFERSPAN_CAPTURE`, else `shapes`. A decorator's own `capture=` wins.
        sample_ratio: share of predictions without a parent that get full spans, 0 to 1. The others
            leave slim records, so figures stay exact. Absent = `INFERSPAN_SAMPLE_RATIO`, else as
            `OTEL_TRACES_SAMPLER` says. Like `keep`, not for a provider that is there already.
        records: which predictions leave slim records: `unsampled`, `all` (for traces that go
            elsewhere) or `none` (then figures know the sampled ones only). Absent =
            `INFERSPAN_RECORDS`, else `unsampled`.
        record_classes: slim records carry the probabilities of at most so many classes, 0 (none)
            to 256. Absent = `INFERSPAN_RECORD_CLASSES`, else 256.
        keep: why a call that was not sampled gets a full span all the same, decided at its end:
            `error`, `slow` (beyond the model's own latest p99), `low_confidence` (below its 1st
            percentile). Absent = `INFERSPAN_KEEP`, else error and slow.

    Raises:
        ValueError: a value breaks its rule; says which, and what to do.
    """
    # What spans do not follow under a provider that is there already is said.
    given: dict[str, Any] = {
        "service_name": service_name,
        "service_version": service_version,
        "environment": environment,
        "endpoint": endpoint,
        "sample_ratio": sample_ratio,
        "keep": keep,
    }
    # One at a time: of several providers one would be installed, and the others wait for nothing.
    with state.configuring:
        told = Settings.read(
            os.environ,
            **given,
            capture=capture,
            records=records,
            record_classes=record_classes,
            earlier=settings.latest,
            configured=True,
        )
        settings.install(told)
        exporters.load()
        _follow(told, given)


def _follow(told: Settings, given: Mapping[str, object]) -> None:
    """Send what was recorded where it is told to go, by a provider of ours where there is none."""
    installed = state.predictions or trace.get_tracer_provider()
    # Said again, what waits for a receiver that is away goes on waiting, and nobody for it.
    way = (told.way_of_labels(os.environ), installed)
    if way != state.way:
        _end_private_providers()
    if isinstance(installed, trace.ProxyTracerProvider):
        _install_provider(told)
        way = (way[0], trace.get_tracer_provider())
    elif not told.disabled:
        from inferspan import unfollowed  # only for who has a provider

        built, followed = state.built
        unfollowed.say(given, os.environ, followed if installed is built else None)
    state.way = way


def _end_private_providers() -> None:
    """Send what waits for where labels and records went until now."""
    delivery.gather()
    with state.lock:
        stale, state.labels, state.records = [state.labels, state.records], None, None
    for provider in stale:
        if provider is not None:
            provider.shutdown()


def _install_provider(told: Settings) -> None:
    if told.disabled:
        # Others may ask for the global provider; the tracers of this one do nothing.
        trace.set_tracer_provider(TracerProvider(resource=Resource({}), shutdown_on_exit=False))
        return
    provider = exporting_provider(
        Resource.create(told.resource_attributes()),
        delivery.exporting("predictions", partial(otlp_exporter, told.traces_url())),
        sampler=None if told.sample_ratio is None else RatioSampler(told.sample_ratio),
    )
    # After our own queue, which then is empty: others may have added processors of theirs.
    delivery.at_end(provider.shutdown)
    trace.set_tracer_provider(provider)
    state.built = (provider, told)


def prediction_tracer() -> trace.Tracer:
    """The tracer of prediction and stage spans, of whichever provider is installed now."""
    return tracing()[1]


def tracing() -> Tracing:
    """As `prediction_tracer`, with what is known of it: asking that anew costs every call."""
    provider = state.predictions or trace.get_tracer_provider()
    known = state.tracing
    if provider is not known[0]:
        tracer = provider.get_tracer(semconv.SCOPE_PREDICTIONS, _version(), semconv.SCHEMA_URL)
        # One that stands before OpenTelemetry's may want its arguments by name.
        ours = type(tracer) is Tracer and type(tracer.sampler) is RatioSampler
        state.tracing = known = (provider, tracer, type(tracer) is Tracer and not ours, ours)
    if type(provider) is trace.ProxyTracerProvider:
        _say_that_there_is_no_provider()
    return known


def _say_that_there_is_no_provider() -> None:
    told = settings.current()
    if told.disabled:
        return
    if told.records != "none" and records_have_a_way(told):
        left = "predictions leave slim records, and no spans"
    else:
        state.dropped = True
        left = "predictions are not recorded"
    errors.warn_once(
        "no provider",
        f"inferspan: no TracerProvider is installed, so {left}. Call "
        "inferspan.configure(service_name=…), or install a TracerProvider.",
    )


def label_tracer() -> trace.Tracer | None:
    """The tracer of label spans, of a private provider that always samples.

    Returns:
        None where nothing says where labels go, or as many wait as may: that is warned about,
        and `flush` knows of it. None without a word where OTEL_SDK_DISABLED is true.
    """
    if settings.current().disabled:
        return None
    with state.lock:
        if state.labels is None and (make := _label_exporters()) is not None:
            state.label_queue = delivery.exporting("labels", make)
            state.labels = label_provider(state.label_queue)
        provider, waiting = state.labels, state.label_queue
    if provider is None:
        state.dropped = True
        errors.warn_once(
            "no endpoint",
            "inferspan: nothing says where labels go, so they are dropped. Set INFERSPAN_ENDPOINT="
            "http://HOST:4318 or OTEL_EXPORTER_OTLP_ENDPOINT, or call inferspan.configure().",
        )
        return None
    if waiting is not None and not waiting.has_room():
        state.dropped = True
        errors.warn_sometimes(
            "labels wait",
            f"inferspan: {waiting.size} label{' waits' if waiting.size == 1 else 's wait'} for "
            "export, so more are not sent. Call "
            "inferspan.flush() now and then, or send many with inferspan.label_table().",
        )
        return None
    return labels_of(provider)


def records_have_a_way(told: Settings) -> bool:
    """Whether anything says where slim records go."""
    return state.label_exporter is not None or told.labels_have_a_way


def record_tracer() -> trace.Tracer | None:
    """The tracer of slim records, of a private provider that always samples.

    Returns:
        None where nothing says where they go.
    """
    with state.lock:
        if state.records is None and (make := _label_exporters()) is not None:
            waiting = delivery.exporting(
                "records", make, delivery.RECORDS_WAITING_MAX, delivery.RECORDS_PER_REQUEST
            )
            state.records = label_provider(waiting)
        provider = state.records
    if provider is None:
        return None
    return provider.get_tracer(semconv.SCOPE_RECORDS, _version(), semconv.SCHEMA_URL)


def note_loss() -> None:
    """Let the next flush know of a loss before any queue."""
    state.dropped = True


def label_exporter() -> SpanExporter | None:
    """A new exporter of label spans; None where nothing says where labels go."""
    make = _label_exporters()
    return None if make is None else make()


def _label_exporters() -> Callable[[], SpanExporter] | None:
    if state.label_exporter is not None:
        return state.label_exporter
    told = settings.current()
    return partial(otlp_exporter, told.labels_url()) if told.labels_have_a_way else None


def label_provider(waiting: SpanQueue) -> TracerProvider:
    """A private provider of labels or records in front of a queue; samples every span."""
    named = settings.current().resource_attributes()
    installed = state.predictions or trace.get_tracer_provider()
    # Labels of a process come from the service that its predictions come from.
    if isinstance(installed, TracerProvider):
        resource = installed.resource.merge(Resource(named))
    else:
        resource = Resource.create(named)
    return exporting_provider(resource, waiting, ALWAYS_ON)


def flush(timeout: float = FLUSH_SECONDS) -> bool:
    """Send what waits, spans and labels, and wait for it.

    Args:
        timeout: seconds to wait at most, 0 to a day; what is no number counts as 5.

    Returns:
        Whether everything since the last flush was handed over, in time. False also where
        predictions or labels were dropped since then, because no provider was installed, nothing
        said where labels go or too many waited, and where an exporter of ours failed. Labels that
        were refused do not count here: `label` answers None. Never raises.
    """
    delivery.gather()
    providers = [state.predictions or trace.get_tracer_provider(), state.labels, state.records]
    flushes = [f for p in providers if callable(f := getattr(p, "force_flush", None))]
    done: list[bool] = []
    seconds = _seconds(timeout)
    for waiting in delivery.queues():
        waiting.hurry()

    def run() -> None:
        for force_flush in flushes:
            # What the flush answers is left to the provider's own timeout, which it may ignore.
            with Contained("flush"):
                done.append(bool(force_flush(max(1, int(seconds * 1000)))))

    # The thread of its own is what keeps the promise: OpenTelemetry's flush outlives its timeout.
    thread = threading.Thread(target=run, name="inferspan-flush", daemon=True)
    with Contained("flush"):
        thread.start()
        thread.join(seconds)
    if thread.is_alive():
        return False
    dropped, state.dropped = state.dropped, False
    lost = [waiting for waiting in delivery.queues() if waiting.lost_since_asked()]
    return not dropped and not lost and len(done) == len(flushes) and all(done)


def _seconds(timeout: object) -> float:
    seconds = FLUSH_SECONDS
    with Contained("read a timeout"):
        seconds = float(timeout)  # type: ignore[arg-type]
    return min(max(0.0, seconds), FLUSH_SECONDS_MAX)


def divert(
    predictions: trace.TracerProvider | None, label_exporter: Callable[[], SpanExporter] | None
) -> Callable[[], None]:
    """Send predictions and labels elsewhere, for a test; the answer ends that.

    Several may overlap and end in any order: the latest that has not ended is in force.
    """
    names = ("predictions", "label_exporter", "labels", "label_queue", "records")
    delivery.gather()
    with state.lock:
        mine = {name: getattr(state, name) for name in names}
        state.diversions.append(mine)
        vars(state).update(
            dict.fromkeys(names), predictions=predictions, label_exporter=label_exporter
        )

    def restore() -> None:
        delivery.gather()
        with state.lock:
            place = next(i for i, each in enumerate(state.diversions) if each is mine)
            del state.diversions[place]
            # What holds what was diverted to: the state, or the diversion that replaced it.
            holder = (*state.diversions, vars(state))[place]
            diverted = [holder["labels"], holder["records"]]
            holder.update(mine)
            # Its cached tracer would keep the test's provider alive.
            state.tracing = _NO_TRACING
        for provider in diverted:
            if provider is not None:
                provider.shutdown()

    return restore


def labels_of(provider: TracerProvider) -> trace.Tracer:
    """The tracer of label spans of a `label_provider`."""
    return provider.get_tracer(semconv.SCOPE_LABELS, _version(), semconv.SCHEMA_URL)
