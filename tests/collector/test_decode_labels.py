"""Label records, as spans and as log events, become rows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inferspan import semconv
from inferspan_collector.batches import Decoded
from inferspan_collector.decode import decode_logs, decode_traces
from inferspan_collector.testing import (
    NOW_NS,
    label_span,
    log_record,
    logs_request,
    span_ids,
    traces_request,
)

RESOURCE = {semconv.SERVICE_NAME: "back-office", semconv.DEPLOYMENT_ENVIRONMENT_NAME: "prod"}
FRAUD = {semconv.LABEL_CLASS: "fraud"}
TARGET = span_ids("the prediction")
TARGET_INTEGERS = (
    [int.from_bytes(TARGET[0][:8], "big"), int.from_bytes(TARGET[0][8:], "big")],
    int.from_bytes(TARGET[1], "big"),
)


def decode(*spans) -> Decoded:
    request = traces_request(spans, scope=semconv.SCOPE_LABELS, resource=RESOURCE)
    return decode_traces(request.SerializeToString(), json=False, received_ns=NOW_NS)


def decode_events(*records, scope="app") -> Decoded:
    request = logs_request(records, scope=scope, resource=RESOURCE)
    return decode_logs(request.SerializeToString(), json=False, received_ns=NOW_NS)


def row(decoded: Decoded) -> dict[str, object]:
    """The only label, texts decoded; NaN as None, for comparing."""
    assert decoded.refused == ()
    assert len(decoded.labels) == 1
    found = {}
    for name in type(decoded.labels).__slots__:
        column = getattr(decoded.labels, name)
        entry = (column if isinstance(column, np.ndarray) else column.objects()).tolist()[0]
        found[name] = None if isinstance(entry, float) and math.isnan(entry) else entry
    return found


def test_every_column_of_a_label_span() -> None:
    attributes = {
        semconv.LABEL_ID: "l-1",
        semconv.LABEL_REVISION: 2,
        semconv.MODEL_VERSION: "7",
        semconv.PREDICTION_INDEX: 3,
        semconv.TARGET_NAME: "chargeback",
        semconv.TARGET_KIND: "feedback",
        semconv.LABEL_CLASS: "fraud",
        semconv.LABEL_TIME_UNIX_NANO: NOW_NS - 5,
        semconv.LABEL_SOURCE: "bank",
        semconv.LABEL_ANNOTATOR_KIND: "HUMAN",
        semconv.LABEL_WEIGHT: 0.5,
        semconv.ENTITY_ID: "card-9",
    }
    assert row(decode(label_span("order-17", attributes, links=[TARGET]))) == {
        "label_id": "l-1",
        "revision": 2,
        "environment": "prod",
        "model": "fraud",
        "version": "7",
        "prediction_id": "order-17",
        "index": 3,
        "item_id": None,
        "link_trace": TARGET_INTEGERS[0],
        "link_span": TARGET_INTEGERS[1],
        "response_id": None,
        "entity_id": "card-9",
        "target": "chargeback",
        "kind": "feedback",
        "actual": "fraud",
        "value": None,
        "text": None,
        "time": NOW_NS - 5,
        "received": NOW_NS,
        "source": "bank",
        "annotator_kind": "HUMAN",
        "deleted": False,
        "weight": 0.5,
    }


def test_what_a_label_does_not_say_has_its_default() -> None:
    found = row(decode(label_span("order-17", FRAUD)))
    defaults = {"revision": 0, "index": 0, "target": "default", "kind": "ground_truth"}
    defaults |= {"time": NOW_NS, "weight": 1.0, "deleted": False, "annotator_kind": None}
    defaults |= {"link_trace": [0, 0], "link_span": 0, "source": None, "version": None}
    assert {name: found[name] for name in defaults} == defaults


@pytest.mark.parametrize(
    ("attributes", "actual", "value"),
    [
        ({semconv.LABEL_CLASS: "1"}, "1", 1.0),
        ({semconv.LABEL_CLASS: "1.50"}, "1.50", 1.5),
        ({semconv.LABEL_CLASS: "-2e3"}, "-2e3", -2000.0),
        ({semconv.LABEL_CLASS: "1_0"}, "1_0", None),
        ({semconv.LABEL_CLASS: "nan"}, "nan", None),
        ({semconv.LABEL_CLASS: "1e999"}, "1e999", None),
        ({semconv.LABEL_CLASS: True}, "true", None),
        ({semconv.LABEL_CLASS: 3}, "3", 3.0),
        ({semconv.LABEL_CLASS: 2.0}, "2", 2.0),
        ({semconv.LABEL_VALUE: 38.25}, "38.25", 38.25),
        ({semconv.LABEL_VALUE: 1.0}, "1", 1.0),
        ({semconv.LABEL_VALUE: 7}, "7", 7.0),
        ({semconv.LABEL_CLASSES: ["b", "a", "b"]}, '["a","b"]', None),
        ({semconv.LABEL_CLASSES: []}, "[]", None),
        ({semconv.LABEL_VALUES: [1.5, 2]}, "[1.5,2.0]", None),
    ],
)
def test_the_truth_as_text_and_as_number(
    attributes: dict[str, object], actual: str, value: float | None
) -> None:
    found = row(decode(label_span("p", attributes)))
    assert (found["actual"], found["value"], found["text"]) == (actual, value, None)


def test_ids_longer_than_the_limit_are_hashed_as_the_sdk_does() -> None:
    long = "x" * 129
    attributes = {**FRAUD, semconv.LABEL_ID: long, semconv.ENTITY_ID: long}
    found = row(decode(label_span(long, attributes)))
    hashed = semconv.prediction_id_text(long)
    assert [found[name] for name in ("label_id", "prediction_id", "entity_id")] == [hashed] * 3


def test_a_reference_answer_is_kept_as_text() -> None:
    found = row(decode(label_span("p", {semconv.LABEL_TEXT: "be\ncause"})))
    assert (found["actual"], found["value"], found["text"]) == (None, None, "be\ncause")


def test_a_reference_answer_may_stand_beside_a_class() -> None:
    found = row(decode(label_span("p", {semconv.LABEL_TEXT: "because", **FRAUD})))
    assert (found["actual"], found["text"]) == ("fraud", "because")


def test_a_deletion_needs_no_value() -> None:
    found = row(decode(label_span("p", {semconv.LABEL_ACTION: "delete"})))
    assert (found["deleted"], found["actual"]) == (True, None)


def test_a_link_stands_for_model_and_prediction_id() -> None:
    attributes = {semconv.MODEL_NAME: "", semconv.PREDICTION_ID: "", **FRAUD}
    found = row(decode(label_span("p", attributes, links=[TARGET])))
    assert (found["model"], found["prediction_id"]) == (None, None)
    assert found["link_span"] == TARGET_INTEGERS[1]


def test_a_time_ahead_of_us_is_clamped_and_counted() -> None:
    ahead = {semconv.LABEL_TIME_UNIX_NANO: NOW_NS + 601 * 10**9, **FRAUD}
    decoded = decode(label_span("p", ahead))
    assert (decoded.labels.time.tolist(), decoded.clock_skewed) == ([NOW_NS], 1)


REFUSED = [
    ({}, {}, "missing_value"),
    ({semconv.LABEL_CLASS: ""}, {}, "missing_value"),
    ({**FRAUD, semconv.LABEL_VALUE: 1.0}, {}, "ambiguous_value"),
    ({semconv.LABEL_VALUE: math.nan}, {}, "not_finite"),
    ({semconv.LABEL_VALUE: math.inf}, {}, "not_finite"),
    ({semconv.LABEL_CLASS: math.nan}, {}, "not_finite"),
    ({semconv.LABEL_VALUES: [1.0, math.nan]}, {}, "not_finite"),
    ({semconv.LABEL_VALUE: "1"}, {}, "bad_type"),
    ({semconv.LABEL_VALUE: True}, {}, "bad_type"),
    ({semconv.LABEL_CLASSES: "a"}, {}, "bad_type"),
    ({semconv.LABEL_CLASSES: ["a", None]}, {}, "bad_class"),
    ({semconv.LABEL_CLASS: b"x"}, {}, "bad_class"),
    ({**FRAUD, semconv.TARGET_NAME: "a\nb"}, {}, "bad_text"),
    ({semconv.LABEL_CLASS: "x" * 1025}, {}, "text_too_long"),
    ({semconv.LABEL_TEXT: "x" * 16_385}, {}, "text_too_long"),
    ({**FRAUD, semconv.LABEL_ID: ""}, {}, "missing_label_id"),
    ({**FRAUD, semconv.MODEL_NAME: ""}, {}, "missing_model"),
    ({**FRAUD, semconv.PREDICTION_ID: ""}, {}, "missing_prediction"),
    (
        {semconv.PREDICTION_ID: "", semconv.ENTITY_ID: "card-9", semconv.MODEL_NAME: ""},
        {},
        "missing_model",
    ),
    ({**FRAUD, semconv.PREDICTION_INDEX: -1}, {}, "bad_index"),
    ({**FRAUD, semconv.PREDICTION_INDEX: 2**31}, {}, "bad_index"),
    ({**FRAUD, semconv.PREDICTION_INDEX: 1.0}, {}, "bad_type"),
    ({**FRAUD, semconv.PREDICTION_ITEM_ID: "i"}, {}, "bad_relevance"),
    ({**FRAUD, semconv.LABEL_REVISION: -1}, {}, "bad_revision"),
    ({**FRAUD, semconv.LABEL_ACTION: "drop"}, {}, "unknown_action"),
    ({**FRAUD, semconv.TARGET_KIND: "truth"}, {}, "unknown_kind"),
    ({**FRAUD, semconv.LABEL_ANNOTATOR_KIND: "human"}, {}, "unknown_annotator_kind"),
    ({**FRAUD, semconv.LABEL_WEIGHT: 0.0}, {}, "bad_weight"),
    ({**FRAUD, semconv.LABEL_WEIGHT: math.nan}, {}, "not_finite"),
    ({**FRAUD, semconv.LABEL_TIME_UNIX_NANO: 0}, {}, "bad_time"),
    (FRAUD, {"links": [TARGET, TARGET]}, "ambiguous_link"),
    (FRAUD, {"links": [(b"1", TARGET[1])]}, "bad_trace_id"),
    (FRAUD, {"links": [(TARGET[0], bytes(8))]}, "bad_span_id"),
]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        (semconv.ENTITY_ID, "fraud"),
        (semconv.GEN_AI_RESPONSE_ID, "fraud"),
        (semconv.GEN_AI_RESPONSE_ID, ""),
    ],
)
def test_a_label_can_name_its_prediction_otherwise(name: str, model: str) -> None:
    named = {**FRAUD, semconv.PREDICTION_ID: "", semconv.MODEL_NAME: model, name: "card-9"}
    decoded = decode(label_span("x", named))

    assert decoded.refused == ()
    ids = {semconv.ENTITY_ID: "entity_id", semconv.GEN_AI_RESPONSE_ID: "response_id"}
    assert getattr(decoded.labels, ids[name]).objects().tolist() == ["card-9"]


@pytest.mark.parametrize(("attributes", "span", "reason"), REFUSED)
def test_what_breaks_a_rule_is_refused_alone(
    attributes: dict[str, object], span: dict[str, object], reason: str
) -> None:
    before, after = label_span("before", FRAUD), label_span("after", FRAUD)
    decoded = decode(before, label_span("bad", attributes, **span), after)
    assert [(r.signal, r.reason) for r in decoded.refused] == [("labels", reason)]
    assert decoded.labels.prediction_id.objects().tolist() == ["before", "after"]
    assert len(decoded.refused[0].message) < 300


# --- log events -----------------------------------------------------------------------------------

LABEL_EVENT = {
    semconv.LABEL_ID: "l",
    semconv.MODEL_NAME: "fraud",
    semconv.PREDICTION_ID: "order-17",
    **FRAUD,
}
EVALUATION = {
    semconv.GEN_AI_EVALUATION_NAME: "relevance",
    semconv.GEN_AI_EVALUATION_SCORE_LABEL: "relevant",
    semconv.GEN_AI_EVALUATION_SCORE_VALUE: 0.75,
}


def evaluation(context=TARGET, time_ns=NOW_NS - 9, **attributes) -> Decoded:
    event = semconv.EVENT_EVALUATION_RESULT
    record = log_record(event, {**EVALUATION, **attributes}, context=context, time_ns=time_ns)
    return decode_events(record)


def test_a_label_event_says_what_a_label_span_says() -> None:
    by_log = row(decode_events(log_record(semconv.EVENT_LABEL, LABEL_EVENT, context=TARGET)))
    by_span = row(decode(label_span("order-17", LABEL_EVENT, links=[TARGET])))
    assert by_log == by_span


def test_the_event_name_may_stand_in_an_attribute() -> None:
    record = log_record("", {**LABEL_EVENT, semconv.EVENT_NAME: semconv.EVENT_LABEL})
    assert row(decode_events(record))["label_id"] == "l"


def test_an_event_outside_any_span_has_no_link() -> None:
    found = row(decode_events(log_record(semconv.EVENT_LABEL, LABEL_EVENT)))
    assert (found["link_trace"], found["link_span"]) == ([0, 0], 0)


def test_an_evaluation_result_is_a_label_of_its_span() -> None:
    found = row(evaluation())
    expected = {"kind": "evaluation", "target": "relevance", "actual": "relevant", "value": 0.75}
    expected |= {"link_trace": TARGET_INTEGERS[0], "link_span": TARGET_INTEGERS[1]}
    expected |= {"time": NOW_NS - 9, "environment": "prod", "model": None}
    assert {name: found[name] for name in expected} == expected


def test_an_evaluation_with_a_number_alone() -> None:
    found = row(evaluation(**{semconv.GEN_AI_EVALUATION_SCORE_LABEL: ""}))
    assert (found["actual"], found["value"]) == ("0.75", 0.75)


def test_a_response_id_is_kept_beside_the_span_that_it_is_about() -> None:
    found = row(evaluation(**{semconv.GEN_AI_RESPONSE_ID: "chatcmpl-1"}))
    assert (found["response_id"], found["link_span"]) == ("chatcmpl-1", TARGET_INTEGERS[1])


def test_an_evaluation_sent_again_is_the_same_label_and_a_later_one_is_not() -> None:
    first, again, later = evaluation(), evaluation(), evaluation(time_ns=NOW_NS - 8)
    other = evaluation(**{semconv.GEN_AI_EVALUATION_SCORE_VALUE: 0.5})
    verdict = evaluation(**{semconv.GEN_AI_EVALUATION_SCORE_LABEL: "irrelevant"})
    elsewhere = evaluation(context=span_ids("another prediction"))
    found = (first, again, later, other, verdict, elsewhere)
    ids = [decoded.labels.label_id.objects()[0] for decoded in found]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 5


@pytest.mark.parametrize(
    ("context", "attributes", "reason"),
    [
        ((b"", b""), {}, "missing_model"),
        ((TARGET[0], b""), {}, "missing_model"),
        ((b"123", TARGET[1]), {}, "bad_trace_id"),
        (TARGET, {semconv.GEN_AI_EVALUATION_NAME: ""}, "missing_target"),
        (TARGET, {semconv.GEN_AI_EVALUATION_SCORE_VALUE: "0.5"}, "bad_type"),
    ],
)
def test_an_evaluation_that_breaks_a_rule(
    context: tuple[bytes, bytes], attributes: dict[str, object], reason: str
) -> None:
    assert [r.reason for r in evaluation(context, **attributes).refused] == [reason]


def test_an_evaluation_without_any_score_is_refused() -> None:
    attributes = {semconv.GEN_AI_EVALUATION_NAME: "relevance"}
    record = log_record(semconv.EVENT_EVALUATION_RESULT, attributes, context=TARGET)
    assert [r.reason for r in decode_events(record).refused] == ["missing_value"]


def test_other_events_and_our_own_are_ignored() -> None:
    ours = log_record(semconv.EVENT_EVALUATION_RESULT, EVALUATION, context=TARGET)
    assert decode_events(log_record("app.started", {})).ignored == 1
    assert decode_events(ours, scope=semconv.SCOPE_PROCESSOR).ignored == 1
