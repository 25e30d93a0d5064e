"""A label is a record of its own: the root of its trace, linked where the prediction is known."""

from __future__ import annotations

import base64
import json
import logging
import math
from datetime import UTC, datetime, timedelta, timezone, tzinfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

import inferspan
from inferspan import semconv
from inferspan.label_records import RefusedLabel, time_ns, value_attributes
from inferspan.testing import CapturedSpans, capture_spans

TIME = datetime(2026, 11, 21, 6, 0, 0, 123456, tzinfo=UTC)
TIME_NS = 1_795_240_800_123_456_000


def only(spans: CapturedSpans) -> dict[str, object]:
    (span,) = spans.labels
    return dict(span.attributes or {})


def test_a_label_says_what_and_of_which(spans: CapturedSpans) -> None:
    label_id = inferspan.label(
        "order-17",
        "legit",
        model="fraud",
        target="chargeback",
        time=TIME,
        source="ledger",
        kind="feedback",
        annotator_kind="HUMAN",
        revision=2,
        weight=0.5,
        index=3,
        version="7",
        text="a refund",
        id="l-1",
    )
    assert label_id == "l-1"
    (span,) = spans.labels
    assert span.name == "label fraud"
    assert span.kind is SpanKind.INTERNAL
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == semconv.SCOPE_LABELS
    assert span.instrumentation_scope.schema_url == semconv.SCHEMA_URL
    assert span.parent is None
    assert span.links == ()
    assert dict(span.attributes or {}) == {
        semconv.LABEL_ID: "l-1",
        semconv.MODEL_NAME: "fraud",
        semconv.MODEL_VERSION: "7",
        semconv.PREDICTION_ID: "order-17",
        semconv.PREDICTION_INDEX: 3,
        semconv.TARGET_NAME: "chargeback",
        semconv.TARGET_KIND: "feedback",
        semconv.LABEL_CLASS: "legit",
        semconv.LABEL_TEXT: "a refund",
        semconv.LABEL_TIME_UNIX_NANO: TIME_NS,
        semconv.LABEL_SOURCE: "ledger",
        semconv.LABEL_ANNOTATOR_KIND: "HUMAN",
        semconv.LABEL_REVISION: 2,
        semconv.LABEL_WEIGHT: 0.5,
    }


def test_the_least_a_label_needs(spans: CapturedSpans) -> None:
    label_id = inferspan.label("order-17", 1, model="fraud")
    assert only(spans) == {
        semconv.LABEL_ID: label_id,
        semconv.MODEL_NAME: "fraud",
        semconv.PREDICTION_ID: "order-17",
        semconv.TARGET_NAME: "default",
        semconv.TARGET_KIND: "ground_truth",
        semconv.LABEL_VALUE: 1.0,
    }


def test_a_label_inside_a_prediction_is_still_the_root_of_its_trace(spans: CapturedSpans) -> None:
    @inferspan.predict(model="m", version="2", task="regression")
    def score() -> float:
        ref = inferspan.current_prediction()
        assert ref is not None
        ref.label(2.5)
        inferspan.label(inferspan.PredictionRef.from_token(ref.to_token()), 2.5)
        return 2.0

    score()
    prediction = spans.predictions[0]
    for span in spans.labels:
        assert span.parent is None
        assert span.context.trace_id != prediction.context.trace_id
        (link,) = span.links
        assert link.context.span_id == prediction.context.span_id
        assert link.context.trace_id == prediction.context.trace_id
        assert (span.attributes or {})[semconv.PREDICTION_ID] == f"{1:032x}"
        assert (span.attributes or {})[semconv.MODEL_NAME] == "m"


def test_labels_are_never_sampled_out() -> None:
    with capture_spans(sampler=ALWAYS_OFF) as spans:
        inferspan.label("a", 1, model="m")
        assert len(spans.labels) == 1


def test_keyed_ids_are_the_same_everywhere(
    spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERSPAN_ID_KEY", "secret")
    refs: list[inferspan.PredictionRef | None] = []

    @inferspan.predict(model="m", task="regression", prediction_id="key")
    def score(key: str) -> float:
        refs.append(inferspan.current_prediction())
        return 1.0

    score("jane@example.org")
    (ref,) = refs
    assert ref is not None
    assert ref.id == "jane@example.org"
    ref.label(1.0)
    inferspan.label("jane@example.org", 1.0, model="m")
    inferspan.label(inferspan.PredictionRef.from_token(ref.to_token()), 1.0)
    inferspan.label_table({"prediction_id": ["jane@example.org"], "actual": [1.0]}, model="m")
    sent = {
        (s.attributes or {})[semconv.PREDICTION_ID] for s in [*spans.predictions, *spans.labels]
    }
    assert sent == {semconv.prediction_id_text("jane@example.org", b"secret")}
    assert "jane" not in str([s.attributes for s in spans])
    assert "jane" not in ref.to_token()


@given(
    st.text(min_size=1, max_size=40),
    st.text(min_size=1, max_size=40),
    st.none() | st.text(max_size=5),
)
def test_tokens_come_back_as_they_went(prediction_id: str, model: str, version: str | None) -> None:
    ref = inferspan.PredictionRef(prediction_id, model, version)
    token = ref.to_token()
    assert token.isascii()
    assert not set(token) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    back = inferspan.PredictionRef.from_token(token)
    assert (back.id, back.model, back.version) == (prediction_id, model, version)


def token_of(*fields: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        *("", "x", "e30", "W10", "WzEsMl0", "é", None, b"e30"),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
        token_of("", "m", None, "1", "1", 1),
        token_of(17, "m", None, "1", "1", 1),
        token_of("a", "", None, "1", "1", 1),
        token_of("a", "m", 7, "1", "1", 1),
        token_of("a", "m\ud800", None, "1", "1", 1),
        token_of("a", "m", None, "-1", "1", 1),
        token_of("a", "m", None, "1" * 33, "1", 1),
        token_of("a", "m", None, "1", "1" * 17, 1),
        token_of("a", "m", None, "1", "0x1", 1),
        token_of("a", "m", None, "1", "1", 256),
        token_of("a", "m", None, "1", "1", True),
        token_of("a", "m", None, "1", "1", 1e400),
    ],
    ids=lambda token: f"{token!r:.20}",
)
def test_what_is_no_token_is_said(token: str) -> None:
    with pytest.raises(ValueError, match="no prediction token"):
        inferspan.PredictionRef.from_token(token)


class Leaving:
    """Looks like a number of numpy, until it is looked at."""

    def __getattribute__(self, name: str) -> object:
        raise SystemExit(f"secret {name}")


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("secret")


class OddZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        raise RuntimeError("secret")


UNREADABLE: list[dict[str, object]] = [
    {"prediction": 10**5000},
    {"id": 10**5000},
    {"prediction": Leaving()},
    {"id": Leaving()},
    {"id": Unprintable()},
    {"value": [10**5000, "a"]},
    {"value": Leaving()},
    {"revision": math.inf},
    {"index": math.inf},
    {"weight": 10**5000},
    {"time": TIME.replace(tzinfo=OddZone())},
    {"value": "x" * 1025},
    {"value": ["a", "x" * 10_000_000]},
]


@pytest.mark.parametrize("row", UNREADABLE, ids=lambda row: next(iter(row)))
def test_data_that_cannot_be_read_is_refused_without_raising(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture, row: dict[str, object]
) -> None:
    options = {"prediction": "a", "value": 1, "model": f"m {id(row)}", **row}
    assert inferspan.label(**options) is None  # type: ignore[arg-type]
    assert "is refused" in caplog.text
    assert "secret" not in caplog.text
    assert len(caplog.text) < 1000
    assert spans.labels == []


def test_the_longest_class(spans: CapturedSpans) -> None:
    assert inferspan.label("a", "x" * 1024, model="m") is not None
    assert only(spans)[semconv.LABEL_CLASS] == "x" * 1024


VALUES = [
    ("fraud", {semconv.LABEL_CLASS: "fraud"}),
    ("", {semconv.LABEL_CLASS: ""}),
    (True, {semconv.LABEL_CLASS: "true"}),
    (np.bool_(False), {semconv.LABEL_CLASS: "false"}),
    (np.str_("a"), {semconv.LABEL_CLASS: "a"}),
    (1, {semconv.LABEL_VALUE: 1.0}),
    (np.int64(1), {semconv.LABEL_VALUE: 1.0}),
    (np.float32(0.5), {semconv.LABEL_VALUE: 0.5}),
    (np.array(2), {semconv.LABEL_VALUE: 2.0}),
    (["b", "a"], {semconv.LABEL_CLASSES: ["b", "a"]}),
    ({"b", "a"}, {semconv.LABEL_CLASSES: ["a", "b"]}),
    ([], {semconv.LABEL_CLASSES: []}),
    ([True], {semconv.LABEL_CLASSES: ["true"]}),
    ([1, "a"], {semconv.LABEL_CLASSES: ["1", "a"]}),
    ([1, 2.5], {semconv.LABEL_VALUES: [1.0, 2.5]}),
    (np.array([1, 2]), {semconv.LABEL_VALUES: [1.0, 2.0]}),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_values(value: object, expected: dict[str, object]) -> None:
    assert value_attributes(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        float("nan"),
        float("inf"),
        10**400,
        pd.NaT,
        pd.NA,
        b"fraud",
        object(),
        {"label": "a"},
        [None],
        [float("nan")],
        np.ones((2, 2)),
        np.datetime64("2026-01-01"),
        ["a"] * 5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_label_is_refused(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture, value: object
) -> None:
    with pytest.raises(RefusedLabel):
        value_attributes(value)
    with caplog.at_level(logging.WARNING, "inferspan"):
        assert inferspan.label("a", value, model=f"m {type(value)} {id(value)}") is None
    assert "is refused" in caplog.text
    assert spans.labels == []


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (None, None),
        (pd.NaT, None),
        (TIME, TIME_NS),
        (TIME.astimezone(timezone(timedelta(hours=-3))), TIME_NS),
        ("2026-11-21T06:00:00.123456Z", TIME_NS),
        ("2026-11-21T07:00:00.123456+01:00", TIME_NS),
        (TIME_NS + 7, TIME_NS + 7),
        (np.int64(TIME_NS + 7), TIME_NS + 7),
        (pd.Timestamp(TIME_NS + 7, tz="UTC"), TIME_NS + 7),
    ],
)
def test_times(time: object, expected: int | None) -> None:
    assert time_ns(time) == expected


@given(st.integers(946_684_800, 7_000_000_000), st.integers(0, 999_999))
def test_times_are_exact(seconds: int, microseconds: int) -> None:
    time = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)
    assert time_ns(time) == (seconds * 1_000_000 + microseconds) * 1000


@pytest.mark.parametrize(
    ("time", "rule"),
    [
        (TIME.replace(tzinfo=None), "no offset"),
        ("2026-11-21T06:00:00", "no offset"),
        ("yesterday", "not RFC 3339"),
        (1_795_240_800, "multiply seconds"),
        (1_795_240_800.5, "a float is no time"),
        (2**63, "not Unix time in nanoseconds"),
        (True, "a bool is no time"),
        (np.datetime64("2026-01-01"), "is no time"),
    ],
)
def test_times_that_name_no_moment_are_refused(time: object, rule: str) -> None:
    with pytest.raises(RefusedLabel, match=rule):
        time_ns(time)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, "a label names its model"),
        ({"model": "m", "kind": "truth"}, "kind is 'truth': must be one of ground_truth"),
        ({"model": "m", "action": "drop"}, "action is 'drop': must be one of upsert, delete"),
        ({"model": "m", "annotator_kind": "human"}, "must be one of HUMAN, LLM"),
        ({"model": "two\nlines"}, "holds a control character, such as a line break; leave it out"),
        ({"model": "k" * 129}, "has 129 characters; give at most 128"),
    ],
)
def test_wrong_options_raise(options: dict[str, object], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        inferspan.label("a", 1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"weight": 0},
        {"weight": float("inf")},
        {"weight": "1"},
        {"revision": -1},
        {"revision": 1.5},
        {"index": "first"},
        {"text": 3},
        {"source": ""},
        {"source": "two\nlines"},
        {"target": "t\n"},
        {"target": "t" * 129},
        {"version": "2\n"},
        {"id": ""},
        {"time": "soon"},
        {"item_id": ""},
        {"item_id": ["sku"]},
        {"item_id": "x" * 1025},
    ],
)
def test_data_that_cannot_count_is_refused_without_raising(
    spans: CapturedSpans, options: dict[str, object]
) -> None:
    assert inferspan.label("a", 1, model="m", **options) is None  # type: ignore[arg-type]
    assert inferspan.label(None, 1, model="m") is None
    assert spans.labels == []


def test_each_rule_is_said_whatever_else_was_refused(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    for value, time in ((None, None), (None, None), (b"x", None), (1, "soon"), (1, "later")):
        inferspan.label("a", value, model="says each rule", time=time)
    said = [line for line in caplog.messages if "says each rule" in line]
    assert len(said) == 3
    for rule, line in zip(("is None", "bytes is no label", "'soon' is not"), said, strict=True):
        assert rule in line


def test_deleting_and_reference_answers_need_no_value(spans: CapturedSpans) -> None:
    inferspan.label("a", model="m", action="delete")
    inferspan.label("a", model="m", text="the answer is 42")
    deleted, answered = [dict(s.attributes or {}) for s in spans.labels]
    assert deleted[semconv.LABEL_ACTION] == "delete"
    assert semconv.LABEL_VALUE not in deleted
    assert answered[semconv.LABEL_TEXT] == "the answer is 42"
