"""Evaluations of the outbox → spans in Jaeger, each beside the prediction it judges.

The outbox is the retry: an entry is deleted only after Jaeger has taken it, and a copy sent twice
is equal byte for byte, which Jaeger hides.
"""

from __future__ import annotations

import hashlib
import logging
import urllib.error
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Final, Literal

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from inferspan import semconv
from inferspan_collector import telemetry as counters
from inferspan_collector.publish.jaeger_names import (
    UNKNOWN_SERVICE,
    Names,
    quality_service,
    safe_name,
)
from inferspan_collector.publish.posting import post
from inferspan_collector.store.cells import Evaluation, RebuiltSpan
from inferspan_collector.submission import Queries
from inferspan_collector.telemetry import Telemetry

SPANS_PER_REQUEST: Final = 512
TIMEOUT_SECONDS: Final = 10.0
"""For the store to forget what was sent."""
ANSWER_BYTES_MAX: Final = 64 * 1024
LENGTH_NS: Final = 1_000
"""An evaluation span ends with its prediction: a start after its parent's end, or no length at
all, makes Jaeger warn about the clock."""
REFUSALS: Final = (400, 413)
"""Status codes that speak of the request itself. All others may pass: a service that is not there
yet (404), credentials (401), a limit (429), a failure (5xx)."""
SCORES: Final = {"correct": 1.0, "incorrect": 0.0}

_log = logging.getLogger(__name__)


class NotDelivered(RuntimeError):
    """Evaluation spans stay in the outbox; one line says why and what may help."""


class _Refused(Exception):
    """Jaeger cannot take this request, however often it is sent."""


class EvaluationPublisher:
    """Sends evaluation spans to Jaeger over OTLP/HTTP, at least once."""

    def __init__(
        self,
        queries: Queries,
        telemetry: Telemetry,
        endpoint: str,
        evaluation_status: Literal["error", "unset"] = "error",
        traces_kept_ns: int | None = None,
    ) -> None:
        """Connect the outbox with Jaeger; nothing is sent yet.

        Args:
            queries: the outbox, and what delivers acknowledgements to it.
            telemetry: counts what was sent.
            endpoint: Jaeger's OTLP/HTTP endpoint, with or without `/v1/traces`.
            evaluation_status: status of the span of a wrong prediction.
            traces_kept_ns: for how long Jaeger keeps a trace; None = nobody said.
        """
        endpoint = endpoint.rstrip("/")
        self._url = endpoint if endpoint.endswith("/v1/traces") else f"{endpoint}/v1/traces"
        self._queries = queries
        self._telemetry = telemetry
        # Shown from the start: that it is set, and that nothing went through it yet.
        telemetry.begin(counters.PUBLISHED, result="ok")
        for result in ("rebuilt", "rate"):
            telemetry.begin(counters.REBUILT_SPANS, result=result)
        self._status: Literal["error", "unset"] = evaluation_status
        self._traces_kept_ns = traces_kept_ns

    def publish_once(self) -> int:
        """Send what waits in the outbox, at most `SPANS_PER_REQUEST` entries.

        Returns:
            How many entries are done with: taken, or rejected for good, and deleted.

        Raises:
            NotDelivered: Jaeger did not take them now, or the store did not delete what was
                taken; the next call sends what is still there.
        """
        evaluations = self._queries.stored.outbox(SPANS_PER_REQUEST)
        if not evaluations:
            return 0
        rejected = self._deliver(evaluations)
        if rejected:
            _log.warning(
                "Jaeger at %s rejects %d of %d evaluation spans for good; they are not sent again",
                self._url,
                rejected,
                len(evaluations),
            )
        return len(evaluations)

    def _deliver(self, evaluations: Sequence[Evaluation]) -> int:
        """Send and acknowledge; returns how many of them Jaeger rejects for good."""
        try:
            # Rebuilt spans are among what Jaeger counts.
            rejected = min(self._send(self.request(evaluations)), len(evaluations))
        except _Refused:
            # Whatever Jaeger cannot read or finds too large must not hold up its neighbours.
            if half := len(evaluations) // 2:
                return self._deliver(evaluations[:half]) + self._deliver(evaluations[half:])
            rejected = 1
        except (OSError, HTTPException, DecodeError) as error:
            self._telemetry.add(counters.PUBLISHED, len(evaluations), result="error")
            raise NotDelivered(
                f"evaluation spans do not reach Jaeger at {self._url}: {error}; they wait in the "
                "outbox. Is jaeger.otlp the OTLP/HTTP endpoint of a running Jaeger?"
            ) from error
        self._acknowledge(evaluations)
        self._telemetry.add(counters.PUBLISHED, len(evaluations) - rejected, result="ok")
        self._telemetry.add(counters.PUBLISHED, rejected, result="rejected")
        return rejected

    def _acknowledge(self, evaluations: Sequence[Evaluation]) -> None:
        deleted = self._queries.acknowledge([evaluation.sequence for evaluation in evaluations])
        try:
            deleted.result(TIMEOUT_SECONDS)
        except Exception as error:
            # Full, closing, too slow or broken: it is the writer's to say and the same to us.
            self._telemetry.add(counters.PUBLISHED, len(evaluations), result="error")
            raise NotDelivered(
                f"evaluation spans that Jaeger took stay in the outbox ({error!r}); they are sent "
                "once more, and Jaeger hides the copies"
            ) from error

    def request(self, evaluations: Sequence[Evaluation]) -> bytes:
        """The OTLP request for these entries: the same bytes whenever they are sent."""
        names = self._names(evaluations)
        spans = evaluation_spans(evaluations, names, self._status, self._traces_kept_ns)
        return spans.SerializeToString(deterministic=True)

    def _names(self, evaluations: Sequence[Evaluation]) -> Names:
        # Only names that have to change can collide, with any other there is.
        originals = {(evaluation.service, evaluation.model) for evaluation in evaluations}
        if all(name and safe_name(name) == name for pair in originals for name in pair):
            return Names()
        return Names.of(self._queries.stored.models())

    def _send(self, body: bytes) -> int:
        """POST one OTLP request; returns how many of its spans Jaeger rejected for good."""
        try:
            answer = post(self._url, body, "application/x-protobuf", ANSWER_BYTES_MAX)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in REFUSALS:
                raise _Refused from error
            raise
        response = ExportTraceServiceResponse.FromString(answer)
        return response.partial_success.rejected_spans


def evaluation_spans(
    evaluations: Sequence[Evaluation],
    names: Names,
    evaluation_status: Literal["error", "unset"],
    traces_kept_ns: int | None = None,
) -> ExportTraceServiceRequest:
    """Make the OTLP request for evaluations; equal arguments give equal bytes.

    Args:
        evaluations: entries of the outbox.
        names: what Jaeger calls their services and models.
        evaluation_status: status of the span of a wrong prediction.
        traces_kept_ns: for how long Jaeger keeps a trace: the evaluation of an older prediction
            stands in one of its own, when its label came. None = beside its prediction, always.

    Returns:
        One request, one resource per (service, environment); before an evaluation stands the span
        that it judges, where that was rebuilt.
    """
    groups: dict[tuple[str, str | None], list[Span]] = {}
    for evaluation in evaluations:
        if evaluation.rebuilt is not None:
            # As the SDK would have sent it: the service's and the model's own names.
            own = (evaluation.service or UNKNOWN_SERVICE, evaluation.environment)
            groups.setdefault(own, []).append(_rebuilt(evaluation, evaluation.rebuilt))
        key = (quality_service(names.service(evaluation.service)), evaluation.environment)
        name = names.evaluation(evaluation.model)
        groups.setdefault(key, []).append(
            _span(evaluation, name, evaluation_status, traces_kept_ns)
        )
    # No scope version: a copy sent after an upgrade must equal the one sent before it.
    scope = InstrumentationScope(name=semconv.SCOPE_PROCESSOR)
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=Resource(
                    attributes=_attributes(
                        {
                            semconv.SERVICE_NAME: service,
                            semconv.DEPLOYMENT_ENVIRONMENT_NAME: environment,
                        }
                    )
                ),
                scope_spans=[ScopeSpans(scope=scope, spans=spans, schema_url=semconv.SCHEMA_URL)],
            )
            for (service, environment), spans in groups.items()
        ]
    )


def _rebuilt(evaluation: Evaluation, rebuilt: RebuiltSpan) -> Span:
    operation = rebuilt.attributes.get(semconv.OPERATION_NAME, "predict")
    return Span(
        name=f"{operation} {evaluation.model}",
        kind=Span.SPAN_KIND_INTERNAL,
        trace_id=bytes.fromhex(evaluation.trace_id),
        span_id=bytes.fromhex(evaluation.prediction_span_id),
        start_time_unix_nano=rebuilt.start,
        end_time_unix_nano=evaluation.prediction_end,
        attributes=_attributes(rebuilt.attributes),
    )


def _span(
    evaluation: Evaluation,
    name: str,
    evaluation_status: Literal["error", "unset"],
    traces_kept_ns: int | None,
) -> Span:
    span_id = evaluation.span_id.to_bytes(8, "big")
    trace_id = bytes.fromhex(evaluation.trace_id)
    prediction_id = bytes.fromhex(evaluation.prediction_span_id)
    known = any(trace_id) and any(prediction_id)
    gone = traces_kept_ns is not None and evaluation.label_delay_ns > traces_kept_ns
    # A prediction may claim to have ended with the epoch, and no time on the wire is negative.
    end = max(evaluation.label_time if gone else evaluation.prediction_end, LENGTH_NS + 1)
    span = Span(
        name=name,
        kind=Span.SPAN_KIND_SERVER,
        span_id=span_id,
        start_time_unix_nano=end - LENGTH_NS,
        end_time_unix_nano=end,
        attributes=_attributes(_describe(evaluation)),
        events=[
            Span.Event(
                name=semconv.EVENT_EVALUATION_RESULT,
                time_unix_nano=end,
                attributes=_attributes(
                    {
                        semconv.GEN_AI_EVALUATION_NAME: evaluation.target,
                        semconv.GEN_AI_EVALUATION_SCORE_LABEL: evaluation.outcome,
                        semconv.GEN_AI_EVALUATION_SCORE_VALUE: SCORES.get(evaluation.outcome),
                    }
                ),
            )
        ],
    )
    if known:
        # The parent nests it in the trace, the link is what OpenInference's readers follow.
        span.links.append(Span.Link(trace_id=trace_id, span_id=prediction_id))
    if known and not gone:
        span.trace_id, span.parent_span_id = trace_id, prediction_id
    else:
        span.trace_id = hashlib.blake2b(span_id, digest_size=16).digest()
    if evaluation.outcome == "incorrect" and evaluation_status == "error":
        verdict = f"predicted {evaluation.predicted}, expected {evaluation.expected}"
        span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message=verdict))
    return span


def _describe(evaluation: Evaluation) -> dict[str, str | int | float | None]:
    return {
        semconv.MODEL_NAME: evaluation.model,
        semconv.MODEL_VERSION: evaluation.version,
        semconv.MODEL_VARIANT: evaluation.variant,
        semconv.PREDICTION_ID: evaluation.prediction_id,
        semconv.PREDICTION_INDEX: evaluation.index,
        semconv.TARGET_NAME: evaluation.target,
        semconv.EVALUATION_OUTCOME: evaluation.outcome,
        semconv.EVALUATION_PREDICTED: evaluation.predicted,
        semconv.EVALUATION_EXPECTED: evaluation.expected,
        semconv.EVALUATION_ERROR: evaluation.error,
        semconv.LABEL_ID: evaluation.label_id,
        semconv.LABEL_REVISION: evaluation.revision,
        semconv.LABEL_TIME_UNIX_NANO: evaluation.label_time,
        semconv.LABEL_DELAY: evaluation.label_delay_ns / 1e9,
    }


def _attributes(values: Mapping[str, str | int | float | None]) -> list[KeyValue]:
    attributes = []
    for key, value in values.items():
        if isinstance(value, str):
            attributes.append(KeyValue(key=key, value=AnyValue(string_value=value)))
        elif isinstance(value, int):
            attributes.append(KeyValue(key=key, value=AnyValue(int_value=value)))
        elif value is not None:
            attributes.append(KeyValue(key=key, value=AnyValue(double_value=value)))
    return attributes
