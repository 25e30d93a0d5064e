"""Labels that foreign spans carry: evaluations and annotations."""

from __future__ import annotations

from inferspan import semconv
from inferspan_collector.decode.attributes import Attributes, RefusedRecord, Value, shown
from inferspan_collector.decode.columns import NO_LINK, LabelRow
from inferspan_collector.decode.label_records import ATTRIBUTES, Link, read_label, scored
from inferspan_collector.decode.mapping.rules import Rule
from inferspan_collector.decode.mapping.views import SpanView
from inferspan_collector.decode.mapping.wire_values import Type, attribute
from inferspan_collector.decode.predictions import span_context
from inferspan_collector.decode.stages import named_prediction

TYPES: dict[str, Type] = {"value": "number", "weight": "number", "time": "integer"}
"""Of the fields that are no texts."""


def mapped_label(rule: Rule, view: SpanView, received_ns: int) -> LabelRow:
    """Read one label of a span.

    Args:
        rule: the rule that takes the span.
        view: the span, at the label's place.
        received_ns: the time of receipt, Unix ns.

    Raises:
        RefusedRecord: it breaks a rule of the vocabulary, or lacks what the mapping requires.
    """
    values = rule.values(view)
    try:
        return _label(rule, _typed(values), view, received_ns)
    except RefusedRecord as refused:
        raise rule.refusal(refused) from None


def _label(rule: Rule, fields: dict[str, object], view: SpanView, received_ns: int) -> LabelRow:
    link = _link(rule, view)
    if "id" in fields:
        # Ids of foreign records tell the labels of one prediction and target apart, no more.
        place = f"{link[0][0]:016x}{link[0][1]:016x}-{link[1]:016x}"
        said = (fields.get("prediction_id"), fields.get("response_id"), fields.get("target"))
        parts = [place, *(str(part or "") for part in said), str(fields["id"])]
        fields["id"] = "/".join(parts)
    fields.setdefault("time", view.span.end_time_unix_nano or None)
    fields["environment"] = view.resource.text(semconv.DEPLOYMENT_ENVIRONMENT_NAME)
    names = {field: field for field in ATTRIBUTES}
    names |= {field: f"{field} (from {places})" for field, places in rule.sources.items()}
    if "class" not in fields:
        return read_label(fields, names, received_ns, link=link)
    score = fields.pop("value", None)
    row = read_label(fields, names, received_ns, link=link)
    if score is None:
        return row
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise RefusedRecord("bad_type", f"{names['value']} = {shown(score)} is not a number")
    return scored(row, float(score), own_id="id" in fields)


def _typed(values: dict[str, Value]) -> dict[str, object]:
    """Values as they would come in attributes of ours: numbers that were texts are numbers."""
    pairs = Attributes(
        attribute(field, value, TYPES.get(field, "text")) for field, value in values.items()
    )
    return {field: pairs.value(field) for field in values}


def _link(rule: Rule, view: SpanView) -> Link:
    span = view.span
    if rule.about_itself:
        # Where another span stands for the same call, the prediction is that one.
        trace, own = span_context(span.trace_id, span.span_id)
        return trace, named_prediction(view.attributes) or own
    if not span.links:
        return NO_LINK
    if len(span.links) > 1:
        raise RefusedRecord(
            "ambiguous_link",
            f"a label is about one prediction; span {span.name!r:.80} has {len(span.links)} "
            "links: send a span for each",
        )
    return span_context(span.links[0].trace_id, span.links[0].span_id)
