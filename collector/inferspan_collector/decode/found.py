"""What the records of one request give, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan import semconv
from inferspan_collector.batches import Decoded, PredictionBatch, Refusal
from inferspan_collector.decode.attributes import Attributes, RefusedRecord
from inferspan_collector.decode.columns import (
    NO_LINK,
    LabelRow,
    PredictionRows,
    label_batch,
    named_batch,
    prediction_batch,
)
from inferspan_collector.decode.features import with_record_features, with_span_features
from inferspan_collector.decode.label_records import ATTRIBUTES, Link, read_label, scored
from inferspan_collector.decode.mapping import Mapper, SpanView
from inferspan_collector.decode.mapping.labels import mapped_label
from inferspan_collector.decode.merging import Merging
from inferspan_collector.decode.ordinary import Ordinary
from inferspan_collector.decode.predictions import (
    read_origin,
    read_prediction,
    slice_keys,
    span_context,
)
from inferspan_collector.decode.row_limit import RECORD_ROW_BYTES_MIN, RowLimit
from inferspan_collector.decode.slim_records import SlimRecord, read_slim_record
from inferspan_collector.decode.stages import StageRow, read_phases, read_stage, stage_batch

_SURPLUS_SAID: Final = 8
"""Slices of one record that are named as left out; all are counted."""


class Found:
    """What a request has given so far.

    Args:
        received_ns: the time of receipt, Unix ns.
        size_bytes: of the request, decompressed.
        reserve: told how many more rows are about to be made; what it raises passes through.
        ordinary: what was read of it by the compiled way; None = nothing.
        mapper: takes spans of others, which without one are ignored.
    """

    def __init__(
        self,
        received_ns: int,
        size_bytes: int,
        reserve: Callable[[int], None],
        ordinary: Ordinary | None,
        mapper: Mapper | None = None,
    ) -> None:
        self._mapper = mapper
        self._mapped: Counter[str] = Counter()
        self._received_ns = received_ns
        self._size_bytes = size_bytes
        self._limit = RowLimit(size_bytes, reserve)
        self._predictions: list[PredictionRows] = []
        self._records: list[SlimRecord] = []
        self._labels: list[LabelRow] = []
        self._stages: list[StageRow] = []
        self._refused: list[Refusal] = []
        self._ignored = 0 if ordinary is None else ordinary.ignored
        self._merging = None if ordinary is None else Merging(ordinary, self._limit)

    def next_record(self) -> None:
        """Go on to the next record, before it is added."""
        if self._merging is not None:
            self._note(self._merging)
            self._refused += self._merging.next_record()

    def _note(self, merging: Merging) -> None:
        merging.note(len(self._predictions), len(self._labels), len(self._stages))

    def add_span(self, scope: str, span: Span, resource: Attributes) -> None:
        """Read a span."""
        attributes = Attributes(span.attributes)
        if scope == semconv.SCOPE_LABELS:
            self._add_label(lambda: self._label_of_span(span, attributes, resource))
        elif scope == semconv.SCOPE_RECORDS:
            self._add_slim_record(span, attributes, resource)
        elif semconv.STAGE_NAME in attributes and scope != semconv.SCOPE_PROCESSOR:
            rows = read_stage(span, attributes, self._refused)
            self._stages += rows
            self._ignored += not rows
        elif _is_prediction(scope, attributes):
            self._add_prediction(span, attributes, resource)
        elif self._mapper is None or not self._add_mapped(
            self._mapper, SpanView(span, attributes, scope, resource)
        ):
            self._ignored += 1

    def add_log(self, scope: str, record: LogRecord, resource: Attributes) -> None:
        """Read a log record."""
        attributes = Attributes(record.attributes)
        event = record.event_name or attributes.value(semconv.EVENT_NAME)
        if scope == semconv.SCOPE_PROCESSOR:
            self._ignored += 1
        elif event == semconv.EVENT_LABEL:
            self._add_label(lambda: self._label_of_log(record, attributes, resource))
        elif event == semconv.EVENT_EVALUATION_RESULT:
            self._add_label(lambda: self._evaluation(record, attributes, resource))
        else:
            self._ignored += 1

    def decoded(self) -> Decoded:
        """All of it."""
        skewed = sum(len(rows) for rows in self._predictions if rows.skewed)
        skewed += sum(record.skewed for record in self._records)
        skewed += sum(row.skewed for row in self._labels)
        predictions = prediction_batch(self._predictions, self._received_ns)
        labels = label_batch(self._labels, self._received_ns)
        stages = stage_batch(self._stages, self._received_ns)
        if (merging := self._merging) is not None:
            self._note(merging)
            self._refused += merging.end()
            predictions = merging.predictions(list(map(len, self._predictions)), predictions)
            labels = merging.labels(labels)
            stages = merging.stages(stages)
            skewed += merging.skewed
        if self._records:
            of_records = [record.batch for record in self._records]
            predictions = PredictionBatch.concat([predictions, *of_records])
        return Decoded(
            predictions=predictions,
            labels=labels,
            stages=stages,
            named=named_batch(self._predictions, self._received_ns),
            slim_records=len(self._records),
            refused=tuple(self._refused),
            ignored=self._ignored,
            clock_skewed=skewed,
            size_bytes=self._size_bytes,
            mapped=dict(self._mapped),
        )

    def _add_prediction(
        self, span: Span, attributes: Attributes, resource: Attributes, mapping: str | None = None
    ) -> None:
        try:
            rows = read_prediction(
                span, attributes, read_origin(resource), self._received_ns, self._limit.take
            )
        except RefusedRecord as refused:
            message = str(refused) if mapping is None else f"mapping {mapping!r}: {refused}"
            self._refused.append(Refusal("predictions", refused.reason, message))
            return
        if not rows:  # a batch call of nothing
            self._ignored += 1
            return
        if mapping is not None:
            self._mapped[mapping] += 1
        rows = with_span_features(rows, attributes, self._refused)
        self._predictions.append(rows)
        self._stages += read_phases(span, attributes, rows.start_time, self._refused)
        if rows.ends_early:
            message = (
                f"span {span.name!r:.80} of model {rows.model!r:.80} ended before it started: its "
                "duration counts as 0; its clock was set back"
            )
            self._refused.append(Refusal("durations", "negative_duration", message))
        self._say_surplus(slice_keys(attributes, semconv.SLICE_PREFIX)[1], attributes)

    def _add_mapped(self, mapper: Mapper, view: SpanView) -> bool:
        """Add what a foreign span is by a mapping; False where none takes it."""
        keys = mapper.keys(view.scope)
        if keys is not None and not any(key in view.attributes for key in keys):
            return False
        taken = False
        try:
            mapped = mapper.prediction(view)
        except RefusedRecord as refused:
            self._refused.append(Refusal("predictions", refused.reason, str(refused)))
            taken = True
        else:
            if mapped is not None:
                taken = True
                self._add_prediction(view.span, mapped.attributes, mapped.resource, mapped.rule)
        carried = mapper.labels(view)
        if carried is None:
            return taken
        self._mapped[carried.rule.name] += 1
        for item in carried.items:
            self._add_label(partial(mapped_label, carried.rule, item, self._received_ns))
        if carried.surplus:
            message = (
                f"mapping {carried.rule.name!r}: span {view.span.name!r:.80} carries "
                f"{carried.surplus} labels more than the {len(carried.items)} that are taken of one"
            )
            self._refused.append(Refusal("labels", "too_many_labels", message))
        return True

    def _add_slim_record(self, span: Span, attributes: Attributes, resource: Attributes) -> None:
        def reserve(count: int) -> None:
            self._limit.take(count, RECORD_ROW_BYTES_MIN)

        try:
            record = read_slim_record(
                span, attributes, read_origin(resource), self._received_ns, reserve
            )
        except RefusedRecord as refused:
            self._refused.append(Refusal("slim_records", refused.reason, str(refused)))
            return
        batch = with_record_features(record.batch, attributes, self._refused)
        if record.refused is not None:
            batch = batch.take(record.refused.kept)
            self._refused += record.refused.refusals()
        self._records.append(replace(record, batch=batch))
        self._say_surplus(record.surplus_slices, attributes)

    def _say_surplus(self, keys: Sequence[str], attributes: Attributes) -> None:
        said = [
            Refusal(
                "slices",
                "surplus_slice",
                f"slice {key!r:.80} of model {attributes.text(semconv.MODEL_NAME)!r:.80} was left "
                f"out: a prediction has at most {semconv.SLICE_KEYS_MAX} slices and their keys "
                "hold no dot",
            )
            for key in keys[:_SURPLUS_SAID]
        ]
        # Of millions, as a span may have, nobody reads more.
        self._refused += said + said[-1:] * (len(keys) - len(said))

    def _add_label(self, read: Callable[[], LabelRow]) -> None:
        try:
            self._labels.append(read())
        except RefusedRecord as refused:
            self._refused.append(Refusal("labels", refused.reason, str(refused)))

    def _label_of_span(self, span: Span, attributes: Attributes, resource: Attributes) -> LabelRow:
        if len(span.links) > 1:
            raise RefusedRecord(
                "ambiguous_link",
                f"a label links to one prediction; span {span.name!r:.80} has {len(span.links)} "
                "links: send a label for each",
            )
        link = (
            span_context(span.links[0].trace_id, span.links[0].span_id) if span.links else NO_LINK
        )
        return self._label(attributes, resource, link)

    def _label_of_log(
        self, record: LogRecord, attributes: Attributes, resource: Attributes
    ) -> LabelRow:
        return self._label(attributes, resource, _log_link(record))

    def _label(self, attributes: Attributes, resource: Attributes, link: Link) -> LabelRow:
        if attributes.value(semconv.LABEL_ID) in (None, ""):
            raise RefusedRecord(
                "missing_label_id",
                f"{semconv.LABEL_ID} is missing: a retry of this label could not be told from "
                "another one",
            )
        fields: dict[str, object] = {
            field: attributes.value(name) for field, name in ATTRIBUTES.items()
        }
        fields["environment"] = read_origin(resource).environment
        return read_label(fields, ATTRIBUTES, self._received_ns, link=link)

    def _evaluation(
        self, record: LogRecord, attributes: Attributes, resource: Attributes
    ) -> LabelRow:
        name = attributes.text(semconv.GEN_AI_EVALUATION_NAME)
        if name is None:
            raise RefusedRecord(
                "missing_target",
                f"{semconv.GEN_AI_EVALUATION_NAME} is missing: name what was evaluated",
            )
        link = _log_link(record)
        verdict = attributes.value(semconv.GEN_AI_EVALUATION_SCORE_LABEL)
        score = attributes.number(semconv.GEN_AI_EVALUATION_SCORE_VALUE)
        fields: dict[str, object] = {
            "model": attributes.value(semconv.MODEL_NAME),
            "prediction_id": attributes.value(semconv.PREDICTION_ID),
            "response_id": attributes.value(semconv.GEN_AI_RESPONSE_ID),
            "environment": read_origin(resource).environment,
            "target": name,
            "kind": "evaluation",
            "time": record.time_unix_nano or record.observed_time_unix_nano or None,
        }
        if verdict in (None, ""):
            fields["value"] = attributes.value(semconv.GEN_AI_EVALUATION_SCORE_VALUE)
            return read_label(fields, _EVALUATION_NAMES, self._received_ns, link=link)
        fields["class"] = verdict
        row = read_label(fields, _EVALUATION_NAMES, self._received_ns, link=link)
        return scored(row, score)


_EVALUATION_NAMES = {
    **ATTRIBUTES,
    "class": semconv.GEN_AI_EVALUATION_SCORE_LABEL,
    "value": semconv.GEN_AI_EVALUATION_SCORE_VALUE,
    "time": "time_unix_nano",
}


def _is_prediction(scope: str, attributes: Attributes) -> bool:
    if scope == semconv.SCOPE_PROCESSOR:
        return False
    if scope == semconv.SCOPE_PREDICTIONS:
        return semconv.OPERATION_NAME in attributes or semconv.MODEL_NAME in attributes
    return semconv.OPERATION_NAME in attributes and semconv.MODEL_NAME in attributes


def _log_link(record: LogRecord) -> Link:
    """The span a log record stands in; a record outside any, or with half a context, has none."""
    if not record.trace_id or not record.span_id:
        return NO_LINK
    return span_context(record.trace_id, record.span_id)
