"""What a caller keeps of a prediction: its id and its span, to label it later from any process."""

from __future__ import annotations

import base64
import json
import re
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, TraceFlags

from inferspan import semconv, settings
from inferspan.redaction import Redactor

if TYPE_CHECKING:
    from typing import Unpack

    from inferspan.labels import LabelOptions
    from inferspan.predictions import PredictionCall


class Taken(NamedTuple):
    """Of which call of this process a reference was taken, and when."""

    call: weakref.ref[Any]
    time_unix_nano: int
    policy: str
    """The call's capture policy."""
    redactor: Redactor | None


@dataclass(frozen=True, slots=True)
class PredictionRef:
    """What a caller keeps of a prediction, to label it later."""

    id: str
    """The prediction's id, as the caller gave it or as it was made."""
    model: str
    version: str | None = None
    # OpenTelemetry's trace state has no hash; references may be keys of a dict all the same.
    span_context: SpanContext = field(default=INVALID_SPAN_CONTEXT, hash=False)
    wire_id: str = ""
    """The id as it is sent: keyed where `INFERSPAN_ID_KEY` is set."""
    taken: Taken | None = field(default=None, repr=False, compare=False)
    """For `inferspan.batch`; lost where the reference is pickled."""

    @classmethod
    def of(
        cls,
        prediction_id: str,
        model: str,
        version: str | None,
        span: SpanContext,
        taken: Taken | None = None,
    ) -> Self:
        """Refer to a prediction of this process."""
        wire_id = semconv.prediction_id_text(prediction_id, settings.current().id_key)
        return cls(prediction_id, model, version, span, wire_id or prediction_id, taken)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.id, self.model, self.version, self.span_context, self.wire_id)
        return type(self), fields

    @classmethod
    def from_token(cls, token: str) -> Self:
        """Read what `to_token` wrote, in any process.

        Raises:
            ValueError: the text is no such token.
        """
        try:
            return cls._of_fields(*_unpacked(token))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"{token!r:.80} is no prediction token; give what PredictionRef.to_token() returned"
            ) from error

    @classmethod
    def _of_fields(
        cls,
        prediction_id: object,
        model: object,
        version: object,
        trace_id: object,
        span_id: object,
        flags: object,
    ) -> Self:
        if not isinstance(prediction_id, str):
            raise TypeError("a prediction id is a text")
        if (wire_id := semconv.prediction_id_text(prediction_id)) is None:
            raise ValueError("no prediction id")
        if not isinstance(model, str) or not model or not isinstance(version, str | None):
            raise ValueError("model and version are texts")
        for name in (model, version or ""):
            name.encode()  # half a surrogate pair could never be written again
        if type(flags) is not int or not 0 <= flags < 1 << 8:
            raise ValueError("no trace flags")
        span = SpanContext(
            _hexadecimal(trace_id, 32),
            _hexadecimal(span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(flags),
        )
        return cls(wire_id, model, version, span, wire_id)

    @property
    def traceparent(self) -> str:
        """The span's context in the form of W3C Trace Context, version 00."""
        span = self.span_context
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"

    def to_token(self) -> str:
        """Write the reference as one URL-safe text; a keyed id travels keyed."""
        span = self.span_context
        fields = (
            self.wire_id or self.id,
            self.model,
            self.version,
            f"{span.trace_id:x}",
            f"{span.span_id:x}",
            int(span.trace_flags),
        )
        packed = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    def keep(self) -> None:
        """Have a full span built of this call, while it runs, though it was not sampled.

        The span is built at the call's end, without input, stages and snapshots. Does nothing in
        another process, after the call's end, and under a provider that `configure()` did not make.
        """
        call = None if self.taken is None else self.taken.call()
        if call is not None:
            call.keep()

    def label(self, value: object = None, **options: Unpack[LabelOptions]) -> str | None:
        """Say what turned out to be true; see `inferspan.label` for value and options."""
        from inferspan.labels import label  # few processes label

        return label(self, value, **options)


def reference_to(call: PredictionCall, now_ns: int) -> PredictionRef:
    """What a caller keeps of a call that runs at this time, Unix ns."""
    taken = Taken(weakref.ref(call), now_ns, call.policy, call.plan.redactor)
    plan, span = call.plan, call.span.get_span_context()
    return PredictionRef.of(call.prediction_id, plan.model, plan.version, span, taken)


def _unpacked(token: str) -> list[object]:
    padded = token + "=" * (-len(token) % 4)
    fields = json.loads(base64.urlsafe_b64decode(padded))
    if not isinstance(fields, list):
        raise TypeError("the fields are a list")
    return fields


def _hexadecimal(written: object, digits: int) -> int:
    if not isinstance(written, str) or not re.fullmatch(rf"[0-9a-f]{{1,{digits}}}", written):
        raise ValueError("no trace or span id")
    return int(written, 16)
