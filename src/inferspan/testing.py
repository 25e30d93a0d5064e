"""For your tests: spans caught in memory, with ids and times that are the same in every run.

The pytest fixture `captured_spans` is there with `pytest -p inferspan.testing`, or where a
`conftest.py` says `from inferspan.testing import captured_spans`. It is no entry point: that would
import OpenTelemetry and numpy at the start of every pytest in the environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, overload

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from inferspan import providers, semconv
from inferspan.containment import errors
from inferspan.identity import replace_record_ids
from inferspan.sampling import SettableIds
from inferspan.spans import replace_clock

START_TIME_NS: Final = 1_790_000_000_000_000_000
"""The manual clock's first time: September 2026."""
STEP_NS: Final = 1_000_000
"""What passes between two looks at the manual clock: a millisecond."""
_SHOWN_MAX: Final = 20
"""Spans in a representation."""
_SHOWN: Final = {
    semconv.PREDICTION_ID: "id",
    semconv.PREDICTION_COUNT: "count",
    semconv.OUTPUT_CLASS: "class",
    semconv.OUTPUT_SCORE: "score",
    semconv.OUTPUT_VALUE: "value",
    semconv.TARGET_NAME: "target",
    semconv.LABEL_CLASS: "label",
    semconv.LABEL_VALUE: "label",
    semconv.BATCH_SIZE: "batch_size",
    semconv.ERROR_TYPE: "error",
    semconv.CAPTURE_DROPPED: "dropped",
}
"""What of a span is shown, and as what."""


class ManualClock:
    """Unix time in nanoseconds that moves only when told, and by one step at each look.

    Args:
        now_ns: the first time.
        step_ns: what each look adds.
    """

    def __init__(self, now_ns: int = START_TIME_NS, step_ns: int = STEP_NS) -> None:
        self.now_ns = now_ns
        self._step_ns = step_ns

    def __call__(self) -> int:
        """Look at the clock, Unix ns."""
        now = self.now_ns
        self.now_ns += self._step_ns
        return now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1e9)


class SequentialIds(SettableIds):
    """Trace ids, span ids and record ids that count from 1."""

    def __init__(self) -> None:
        super().__init__()
        self._traces = self._spans = self._records = 0

    def new_trace_id(self) -> int:
        """The next trace id."""
        self._traces += 1
        return self._traces

    def new_span_id(self) -> int:
        """The next span id."""
        self._spans += 1
        return self._spans

    def is_trace_id_random(self) -> bool:
        """They are not."""
        return False

    def record_id(self) -> str:
        """The next id of a prediction or label, 32 hex digits."""
        self._records += 1
        return f"{self._records:032x}"


_captures: Final[list[tuple[Callable[[], str], Callable[[], int]]]] = []
"""Ids and clock of each that has not ended, in the order of their beginnings."""


class CapturedSpans(SpanExporter, Sequence[ReadableSpan]):
    """Spans in the order in which they ended; its representation says what each is about."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    @property
    def predictions(self) -> list[ReadableSpan]:
        """Prediction spans."""
        return [
            s
            for s in self._spans
            if semconv.OPERATION_NAME in (s.attributes or {})
            and semconv.RECORD_COUNT not in (s.attributes or {})
        ]

    @property
    def records(self) -> list[ReadableSpan]:
        """Slim records, of the predictions whose span was not sampled."""
        providers.flush(60.0)
        return [s for s in self._spans if semconv.RECORD_COUNT in (s.attributes or {})]

    @property
    def stages(self) -> list[ReadableSpan]:
        """Stage spans, without those of batches."""
        return [
            s
            for s in self._spans
            if semconv.STAGE_NAME in (s.attributes or {}) and not _of_batch(s)
        ]

    @property
    def batches(self) -> list[ReadableSpan]:
        """Spans of `inferspan.batch`."""
        return [s for s in self._spans if _of_batch(s)]

    @property
    def labels(self) -> list[ReadableSpan]:
        """Label records."""
        providers.flush(60.0)
        return [s for s in self._spans if semconv.LABEL_ID in (s.attributes or {})]

    def prediction(self, model: str | None = None) -> ReadableSpan:
        """The one prediction span.

        Args:
            model: only of the model of this name.

        Raises:
            AssertionError: there is none, or more than one; says what there is.
        """
        return self._one("prediction", self.predictions, model)

    def label(self, model: str | None = None) -> ReadableSpan:
        """The one label record.

        Args:
            model: only of the model of this name.

        Raises:
            AssertionError: there is none, or more than one; says what there is.
        """
        return self._one("label", self.labels, model)

    def _one(self, what: str, found: list[ReadableSpan], model: str | None) -> ReadableSpan:
        if model is not None:
            found = [s for s in found if (s.attributes or {}).get(semconv.MODEL_NAME) == model]
        if len(found) != 1:
            of = "" if model is None else f" of {model!r}"
            raise AssertionError(f"{len(found)} {what}s{of}, not one, among {self!r}")
        return found[0]

    def __repr__(self) -> str:
        lines = [f"\n  {_shown(span)}" for span in self._spans[:_SHOWN_MAX]]
        if (more := len(self._spans) - _SHOWN_MAX) > 0:
            lines.append(f"\n  and {more} more")
        return f"<{len(self._spans)} spans{':' if lines else ''}{''.join(lines)}>"

    def clear(self) -> None:
        """Forget what was caught."""
        self._spans.clear()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Catch spans."""
        self._spans.extend(spans)
        return SpanExportResult.SUCCESS

    @overload
    def __getitem__(self, index: int) -> ReadableSpan: ...
    @overload
    def __getitem__(self, index: slice) -> list[ReadableSpan]: ...
    def __getitem__(self, index: int | slice) -> ReadableSpan | list[ReadableSpan]:
        return self._spans[index]

    def __len__(self) -> int:
        return len(self._spans)


def _shown(span: ReadableSpan) -> str:
    attributes = span.attributes or {}
    facts = [f" {name}={attributes[key]!r}" for key, name in _SHOWN.items() if key in attributes]
    return span.name + "".join(facts)


def _of_batch(span: ReadableSpan) -> bool:
    attributes = span.attributes or {}
    # A request's span knows its batch's size too.
    return semconv.BATCH_SIZE in attributes and semconv.STAGE_NAME in attributes


@contextmanager
def capture_spans(
    *, clock: Callable[[], int] | None = None, sampler: Sampler | None = None
) -> Iterator[CapturedSpans]:
    """Catch predictions, stages and labels instead of sending them.

    Ids count from 1; times come from `clock`. Only inferspan's own spans are caught: the global
    TracerProvider is neither used nor changed.

    Args:
        clock: Unix time in nanoseconds; absent = a `ManualClock`.
        sampler: absent = every span is sampled.
    """
    caught, ids = CapturedSpans(), SequentialIds()
    provider = TracerProvider(
        sampler or ALWAYS_ON, resource=Resource({}), id_generator=ids, shutdown_on_exit=False
    )
    provider.add_span_processor(SimpleSpanProcessor(caught))
    restore = providers.divert(provider, lambda: caught)
    mine = (ids.record_id, clock or ManualClock())
    _captures.append(mine)
    _count_in_latest()
    try:
        yield caught
    finally:
        # Captures of several threads overlap: the latest that has not ended is in force.
        _captures[:] = [capture for capture in _captures if capture is not mine]
        _count_in_latest()
        restore()
        provider.shutdown()


def _count_in_latest() -> None:
    ids, clock = _captures[-1] if _captures else (None, None)
    replace_record_ids(ids)
    replace_clock(clock)


@contextmanager
def record_contained_errors() -> Iterator[list[BaseException]]:
    """Collect the errors that inferspan keeps to itself, so that a test can fail on them."""
    collected: list[BaseException] = []
    stop = errors.observe(collected.append)
    try:
        yield collected
    finally:
        stop()


try:
    import pytest
except ImportError:  # pytest is your choice, not our dependency
    pass
else:

    @pytest.fixture
    def captured_spans() -> Iterator[CapturedSpans]:
        """Spans of this test, caught in memory."""
        with capture_spans() as caught:
            yield caught
