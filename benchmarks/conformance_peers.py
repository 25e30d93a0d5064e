"""The peers behind the protocol of the conformance cases: `conformance_peers:langfuse`, and so on.

What an SDK logs of its own troubles does not count against it, and what it does not offer does
not apply: only what happens to the user's call, and to the spans, is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from exporters import Dropping
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler, SamplingResult
from peers import PEERS, Peer

from sdk.conformance.adapter import Recorded, Wrap


class NotOffered(Exception):
    """The SDK does not claim to do what a case is about."""


class Undecorated:
    """In place of a decorated function where decorating raised: fails when it is used."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def _raise(self, *args: object, **kwargs: object) -> NoReturn:
        raise self._error

    __call__ = __reduce_ex__ = __get__ = _raise


class Tap(SpanProcessor, Sampler):
    """Sees every span that ends, and breaks where it is told to."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []
        self.broken = ""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        self._break("sampler")
        return ALWAYS_ON.should_sample(*args, **kwargs)

    def get_description(self) -> str:
        return "tap"

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._break("processor")

    def on_end(self, span: ReadableSpan) -> None:
        self._break("processor")
        self.ended.append(span)

    def _break(self, part: str) -> None:
        if self.broken == part:
            raise RuntimeError("broken telemetry")


class Breakable(Dropping):
    """The exporter at the end of the SDK's own pipeline."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        self._tap._break("exporter")
        return super().export(spans)


class PeerAdapter:
    """One peer, set up in this process."""

    def __init__(self, key: str, peer: Peer) -> None:
        self._tap = Tap()
        self._installed = peer.install(lambda: Breakable(self._tap), self._tap)
        self._installed.provider.add_span_processor(self._tap)
        self.decorators: Mapping[str, Wrap] = {
            name: _forgiving(decorate) for name, decorate in self._installed.decorators.items()
        }
        self.shapes = self.decorators
        self.program = (
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            f"from conformance_peers import {key} as adapter\n"
            "capture, trace = adapter.capture_ended, next(iter(adapter.decorators.values()))\n"
        )

    @contextmanager
    def capture_ended(self) -> Iterator[list[ReadableSpan]]:
        """Spans that end meanwhile."""
        self._tap.ended.clear()
        yield self._tap.ended

    @contextmanager
    def capture(self) -> Iterator[Callable[[], Sequence[Recorded]]]:
        with self.capture_ended() as ended:
            yield lambda: [_recorded(span) for span in ended]

    def child(self) -> AbstractContextManager[object]:
        return self._installed.child()

    def current(self) -> int | None:
        context = self._installed.current().get_span_context()
        return context.span_id if context.is_valid else None

    def wrap_model(self, model: Any) -> Any:
        raise NotOffered("it wraps functions, not model objects")

    def trace_all(self, function: Callable[..., Any], redactor: Any = None) -> Callable[..., Any]:
        if redactor is not None:
            raise NotOffered("it has no redaction hook at the decorator")
        return next(iter(self.decorators.values()))(function)

    @contextmanager
    def broken(self, part: str) -> Iterator[None]:
        self._tap.broken = part
        try:
            yield
        finally:
            self._tap.broken = ""

    def faults(self) -> list[BaseException]:
        return []


def _forgiving(decorate: Wrap) -> Wrap:
    def decorated(function: Callable[..., Any]) -> Any:
        try:
            return decorate(function)
        except Exception as error:
            return Undecorated(error)

    return decorated


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


_adapters: dict[str, PeerAdapter] = {}


def __getattr__(key: str) -> PeerAdapter:
    """Set up the peer of that name, once."""
    if key not in PEERS:
        raise AttributeError(key)
    if key not in _adapters:
        _adapters[key] = PeerAdapter(key, PEERS[key])
    return _adapters[key]
