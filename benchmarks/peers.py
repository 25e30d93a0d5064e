"""Other tracing SDKs, each set up as its users do, offline, on a provider of its own.

Every pipeline is the SDK's own down to the exporter, which is ours; none reads the network, the
global provider or the environment. Import this in the environment of `make peers` only.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

Decorate = Callable[[Callable[..., Any]], Callable[..., Any]]

os.environ.setdefault("TRACELOOP_TELEMETRY", "false")


@dataclass(frozen=True)
class Installed:
    """A peer that is set up in this process."""

    provider: Any
    """Where its spans go through; takes further span processors."""
    decorators: Mapping[str, Decorate]
    """Its decorators that take any function, by the name that users write."""
    child: Callable[[], contextlib.AbstractContextManager[object]]
    """A span of its own for a block."""
    current: Callable[[], Any] = field(default=trace.get_current_span)
    """The span that is current for it."""


@dataclass(frozen=True)
class Peer:
    """A tracing SDK.

    Args:
        name: as its makers write it.
        distribution: what is installed.
        install: sets it up with a factory of exporters and a sampler.
    """

    name: str
    distribution: str
    install: Callable[[Callable[[], SpanExporter], Sampler], Installed]

    @property
    def version(self) -> str:
        """Of what is installed."""
        return version(self.distribution)


def _langfuse(exporter: Callable[[], SpanExporter], sampler: Sampler) -> Installed:
    langfuse = import_module("langfuse")
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    client = langfuse.Langfuse(
        public_key="pk-lf-offline",
        secret_key="sk-lf-offline",
        base_url="http://127.0.0.1:9",
        tracer_provider=provider,
        span_exporter=exporter(),
    )
    return Installed(
        provider,
        {"@observe": langfuse.observe()},
        lambda: client.start_as_current_observation(name="child"),
    )


def _logfire(exporter: Callable[[], SpanExporter], sampler: Sampler) -> Installed:
    logfire = import_module("logfire")
    configured = logfire.configure(
        local=True,
        send_to_logfire=False,
        console=False,
        metrics=False,
        inspect_arguments=False,
        sampling=logfire.SamplingOptions(head=sampler),
        additional_span_processors=[BatchSpanProcessor(exporter())],
    )
    # `allow_generator` is what its documentation asks for before generators are decorated.
    instrument = configured.instrument(record_return=True, allow_generator=True)
    return Installed(
        configured.config.get_tracer_provider(),
        {"@instrument": instrument},
        lambda: configured.span("child"),
    )


def _mlflow(exporter: Callable[[], SpanExporter], sampler: Sampler) -> Installed:
    mlflow = import_module("mlflow")
    tracing: Any = import_module("mlflow.tracing.provider")
    mlflow.set_tracking_uri("http://127.0.0.1:9")  # else it looks for files of its own
    # As with OTEL_EXPORTER_OTLP_ENDPOINT set, but for the exporter.
    tracing.should_use_otlp_exporter = lambda: True
    tracing.get_otlp_exporter = exporter
    tracing._get_trace_sampler = lambda: sampler
    mlflow.tracing.reset()
    mlflow.trace(lambda: None)()  # builds the provider
    return Installed(
        tracing.provider.get(),
        {"@trace": mlflow.trace},
        lambda: mlflow.start_span("child"),
        lambda: tracing.get_current_otel_span() or trace.INVALID_SPAN,
    )


def _openinference(exporter: Callable[[], SpanExporter], sampler: Sampler) -> Installed:
    openinference = import_module("openinference.instrumentation")
    provider = openinference.TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter()))
    tracer = provider.get_tracer("bench")
    return Installed(
        provider,
        {"@chain": tracer.chain, "@llm": tracer.llm},
        lambda: tracer.start_as_current_span("child"),
    )


def _traceloop(exporter: Callable[[], SpanExporter], sampler: Sampler) -> Installed:
    sdk = import_module("traceloop.sdk")
    wrapper: Any = import_module("traceloop.sdk.tracing.tracing")
    decorators = import_module("traceloop.sdk.decorators")
    provider = TracerProvider(sampler, shutdown_on_exit=False)
    # It joins the global provider, where its processor would weigh on everybody else's spans.
    wrapper.get_tracer_provider = lambda: provider
    with contextlib.redirect_stdout(io.StringIO()):
        sdk.Traceloop.init(
            app_name="bench", exporter=exporter(), telemetry_enabled=False, instruments=set()
        )
    tracer = provider.get_tracer("bench")
    return Installed(
        provider,
        {
            "@task": decorators.task(name="predict"),
            "@workflow": decorators.workflow(name="predict"),
        },
        lambda: tracer.start_as_current_span("child"),
    )


PEERS: Final = {
    "langfuse": Peer("Langfuse", "langfuse", _langfuse),
    "logfire": Peer("Logfire", "logfire", _logfire),
    "mlflow": Peer("MLflow", "mlflow-tracing", _mlflow),
    "openinference": Peer("OpenInference", "openinference-instrumentation", _openinference),
    "traceloop": Peer("Traceloop", "traceloop-sdk", _traceloop),
}


def decorators(exporter: Callable[[], SpanExporter]) -> Iterator[tuple[str, Decorate]]:
    """The first decorator of every peer, all set up in this process, with name and version."""
    for peer in PEERS.values():
        installed = peer.install(exporter, ALWAYS_ON)
        name, decorate = next(iter(installed.decorators.items()))
        yield f"{peer.name} {peer.version} {name}", decorate
