"""Calls of language models, of which others may have a span, too: one prediction all the same.

Instrumentations of such models (OpenTelemetry's, OpenInference's, OpenLLMetry's) make a span of the
same call, around ours or within it. Theirs stays as it is, and says which prediction stands for the
call, so that no mapping counts it a second time. Ours leaves out the names of the GenAI
conventions, by which whoever reads those would.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.trace import TracerProvider, get_tracer_provider

from inferspan import semconv
from inferspan.arguments import Arguments, Keywords
from inferspan.attributes import Attributes
from inferspan.containment import Contained
from inferspan.current import CURRENT_KEY
from inferspan.plans import PredictionPlan
from inferspan.predictions import PredictionCall
from inferspan.providers import state
from inferspan.sampling import SPAN_KEY

_SUPPRESSED: Final = "suppress_language_model_instrumentation"
"""Where OpenLLMetry's instrumentations say in a context that another span tells of the call."""
_GEN_AI: Final = "gen_ai."
_OWN_NAMES: Final = (
    semconv.GEN_AI_OPERATION_NAME,
    semconv.GEN_AI_REQUEST_MODEL,
    semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK,
)
_NAME: Final = Contained("name the prediction on a span of others")
_lock: Final = threading.RLock()
_watched: Final[weakref.WeakSet[TracerProvider]] = weakref.WeakSet()


class LanguageCall(PredictionCall):
    """One call of a language model."""

    told = False
    """Whether a span of others tells of it by names of the GenAI conventions."""
    _around: Span | None = None
    """The span of others that it began in."""

    def __init__(
        self,
        plan: PredictionPlan,
        arguments: Arguments,
        keywords: Keywords,
        bound: int,
    ) -> None:
        super().__init__(plan, arguments, keywords, bound)
        with _NAME:
            if self.recording or self._buffer is not None:
                self._meet_others(self._parent)

    def _meet_others(self, parent: Context) -> None:
        _watch(state.predictions or get_tracer_provider())
        self.told = bool(parent.get(_SUPPRESSED))
        around = parent.get(SPAN_KEY)
        # What embeds may be a part of what generates, and be asked within its span.
        if self.generates and isinstance(around, Span) and _is_of_others(around):
            self._around = around
            self.name_on(around)

    def name_on(self, span: Span) -> None:
        """Say on a span of others which prediction stands for the call."""
        own = self._span_context.span_id
        span.set_attribute(semconv.PREDICTION_SPAN_ID, f"{own:016x}")

    def complete(self, attributes: Attributes) -> None:
        """As `PredictionCall.complete`; names of the GenAI conventions stand on one span."""
        super().complete(attributes)
        if self.told or (self._around is not None and tells(self._around.attributes)):
            for name in _OWN_NAMES:
                attributes.pop(name, None)

    def release(self) -> None:
        """Let go of others' span, too."""
        super().release()
        self._around = None


class _Naming(SpanProcessor):
    """Names the prediction on spans of others that begin in a call of a language model."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Look where a span begins."""
        with _NAME:
            context = otel_context.get_current() if parent_context is None else parent_context
            call = context.get(CURRENT_KEY)
            if isinstance(call, LanguageCall) and not call.ended and _is_of_others(span):
                call.name_on(span)
                call.told = call.told or tells(span.attributes)


def _watch(provider: TracerProvider) -> None:
    """See the spans of a provider begin, once."""
    if provider in _watched:
        return
    with _lock:
        if provider not in _watched:
            _watched.add(provider)
            add = getattr(provider, "add_span_processor", None)
            if callable(add):
                add(_Naming())


def _is_of_others(span: Span) -> bool:
    scope = span.instrumentation_scope
    return scope is None or scope.name != semconv.SCOPE_PREDICTIONS


def tells(attributes: Mapping[str, object] | None) -> bool:
    """Whether a span says by its attributes that it is about a language model."""
    return any(
        name.startswith(_GEN_AI) or name == semconv.OPENINFERENCE_SPAN_KIND
        for name in attributes or ()
    )
