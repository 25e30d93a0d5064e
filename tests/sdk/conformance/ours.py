"""The adapter of inferspan: every shape of wrapper that it ships is in its lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

import inferspan
from inferspan import providers
from inferspan.containment import errors
from inferspan.testing import capture_spans
from sdk.conformance.adapter import Adapter, Recorded

OPTIONS: dict[str, Any] = {"model": "m", "task": "binary_classification"}


def _no_slices(*args: object, **kwargs: object) -> dict[str, str]:
    """Of whatever call: that it is asked is enough to leave the way of usual calls."""
    return {}


def _wrap(model: Any) -> Any:
    return inferspan.wrap(model, **OPTIONS)


def _wrapped_method(function: Callable[..., Any]) -> Callable[..., Any]:
    return _wrap(type("Model", (), {"predict": staticmethod(function)})()).predict  # type: ignore[no-any-return]


def _wrapped_object(function: Callable[..., Any]) -> Callable[..., Any]:
    return _wrap(type("Model", (), {"__call__": staticmethod(function)})())  # type: ignore[no-any-return]


class Raising(SpanProcessor, SpanExporter, Sampler):
    """Every part of a pipeline, broken."""

    def _raise(self, *args: object, **kwargs: object) -> Any:
        raise RuntimeError("broken telemetry")

    on_start = on_end = export = should_sample = _raise

    def shutdown(self) -> None:
        return None

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True

    def get_description(self) -> str:
        return "raising"


class Inferspan:
    decorators: ClassVar = {
        "@predict": inferspan.predict,
        "@predict(...)": inferspan.predict(**OPTIONS),
        "@predict(capture='values')": inferspan.predict(**OPTIONS, capture="values"),
        "@predict(slices=...)": inferspan.predict(**OPTIONS, slices=_no_slices),
        "@stage": inferspan.stage("step"),
    }
    shapes: ClassVar = {**decorators, "wrap().predict": _wrapped_method, "wrap()": _wrapped_object}
    program = (
        "import inferspan\n"
        "from inferspan.testing import capture_spans as capture\n"
        "trace = inferspan.predict(model='m', task='binary_classification')\n"
    )

    def __init__(self) -> None:
        self._faults: list[BaseException] = []
        errors.observe(self._faults.append)

    @contextmanager
    def capture(self) -> Iterator[Callable[[], Sequence[Recorded]]]:
        with capture_spans() as spans:
            yield lambda: [_recorded(span) for span in spans]

    def child(self) -> AbstractContextManager[object]:
        return inferspan.stage("child")

    def current(self) -> int | None:
        context = trace.get_current_span().get_span_context()
        return context.span_id if context.is_valid else None

    def wrap_model(self, model: Any) -> Any:
        return _wrap(model)

    @contextmanager
    def broken(self, part: str) -> Iterator[object]:
        raising = Raising()
        sampler = raising if part == "sampler" else None
        provider = TracerProvider(sampler, shutdown_on_exit=False)
        if part == "processor":
            provider.add_span_processor(raising)
        if part == "exporter":
            provider.add_span_processor(SimpleSpanProcessor(raising))
        restore = providers.divert(provider, None)
        try:
            yield None
        finally:
            restore()

    def trace_all(self, function: Callable[..., Any], redactor: Any = None) -> Callable[..., Any]:
        return inferspan.predict(**OPTIONS, capture="values", redact=redactor)(function)

    def faults(self) -> list[BaseException]:
        found = self._faults[:]
        self._faults.clear()
        return found


def _recorded(span: ReadableSpan) -> Recorded:
    return Recorded(
        name=span.name,
        id=span.context.span_id,
        parent=None if span.parent is None else span.parent.span_id,
        failed=span.status.status_code is trace.StatusCode.ERROR,
        attributes=dict(span.attributes or {}),
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
    )


ADAPTER: Adapter = Inferspan()
