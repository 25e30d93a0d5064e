"""A decorated call is a span with identity, inputs by policy and typed outputs."""

from __future__ import annotations

import json
import logging
import math
import uuid

import numpy as np
import pandas as pd
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

import inferspan
from inferspan import semconv, settings
from inferspan.testing import CapturedSpans, ManualClock, capture_spans

BINARY = "binary_classification"


def test_one_call_is_one_span_that_says_it_all(spans: CapturedSpans) -> None:
    @inferspan.predict(
        model="fraud",
        version="7",
        task=BINARY,
        positive="fraud",
        prediction_id="order_id",
        slices=["country"],
        features=["amount", "channel"],
        variant="canary",
        framework="sklearn",
    )
    def score(order_id: str, amount: float, country: str, channel: str = "web") -> dict:
        return {"label": "fraud", "score": 0.93}

    assert score("order-17", 12.5, country="DE") == {"label": "fraud", "score": 0.93}
    (span,) = spans
    assert span.name == "predict fraud"
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == semconv.SCOPE_PREDICTIONS
    assert span.instrumentation_scope.schema_url == semconv.SCHEMA_URL
    assert span.start_time is not None
    assert span.end_time == span.start_time + 1_000_000
    assert dict(span.attributes or {}) == {
        semconv.OPERATION_NAME: "predict",
        semconv.MODEL_NAME: "fraud",
        semconv.MODEL_VERSION: "7",
        semconv.MODEL_VARIANT: "canary",
        semconv.MODEL_FRAMEWORK: "sklearn",
        semconv.TASK_TYPE: BINARY,
        semconv.OUTPUT_POSITIVE_CLASS: "fraud",
        semconv.OUTPUT_CLASS: "fraud",
        semconv.OUTPUT_SCORE: 0.93,
        semconv.SLICE_PREFIX + "country": "DE",
        semconv.FEATURE_NAMES: '["amount"]',
        semconv.FEATURE_DATA: np.array([12.5], "<f8").tobytes(),
        semconv.FEATURE_CATEGORY_NAMES: '["channel"]',
        semconv.FEATURE_CATEGORY_VALUES: ("web",),
        semconv.INPUT_VALUE: '{"amount":12.5,"channel":"web"}',
        semconv.INPUT_MIME_TYPE: semconv.MIME_JSON,
        semconv.OPENINFERENCE_SPAN_KIND: "CHAIN",
        semconv.PREDICTION_ID: "order-17",
    }
    # OpenTelemetry evicts the oldest attributes first; identity must be the youngest.
    assert list(span.attributes or {})[-1] == semconv.PREDICTION_ID


@pytest.mark.parametrize("declared", [{}, {"prediction_id": "x"}], ids=["usual", "declared"])
def test_a_clock_that_was_set_back_makes_no_negative_span(declared: dict[str, str]) -> None:
    clock = ManualClock()

    @inferspan.predict(model="m", task="binary_classification", **declared)
    def score(x: str) -> dict[str, object]:
        with inferspan.stage("features"):
            clock.advance(-60.0)
        return {"label": "a", "score": 0.5}

    with capture_spans(clock=clock) as spans:
        score("order-17")
    assert [(s.end_time or 0) - (s.start_time or 0) for s in spans] == [0, 0]


def test_bare_and_named_after_the_function(spans: CapturedSpans) -> None:
    @inferspan.predict
    def churn(x: float) -> str:
        return "stays"

    assert churn(1.0) == "stays"
    (span,) = spans
    assert span.name == "predict churn"
    assert span.attributes is not None
    assert span.attributes[semconv.OUTPUT_CLASS] == "stays"
    assert span.attributes[semconv.PREDICTION_ID] == f"{1:032x}"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (17, "17"),
        (np.int64(17), "17"),
        (17.0, "17"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("a\udc80b", "a?b"),
        ("x" * 128, "x" * 128),
        (["only-one"], "only-one"),
    ],
)
def test_ids_are_one_text(spans: CapturedSpans, given: object, sent: str) -> None:
    inferspan.predict(model="m", task=BINARY, prediction_id="key")(lambda key: "a")(given)
    assert (spans[0].attributes or {})[semconv.PREDICTION_ID] == sent


@pytest.mark.parametrize("given", [None, "", float("nan"), object(), b"17"])
def test_an_unusable_id_is_replaced_and_said(spans: CapturedSpans, given: object) -> None:
    inferspan.predict(model="m", task=BINARY, prediction_id="key")(lambda key: "a")(given)
    attributes = spans[0].attributes or {}
    assert attributes[semconv.PREDICTION_ID] == f"{1:032x}"
    assert attributes[semconv.CAPTURE_DROPPED] == (
        f"prediction_id:the argument 'key' holds a {type(given).__name__}: no usable id, so one "
        "was made up; give a string, int or UUID",
    )


def test_an_id_too_long_is_the_same_hash_for_prediction_and_label(
    spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERSPAN_ID_KEY", "secret")
    inferspan.predict(model="m", task=BINARY, prediction_id="key")(lambda key: "a")("k" * 500)
    inferspan.label("k" * 500, "b", model="m")
    sent = {(span.attributes or {})[semconv.PREDICTION_ID] for span in [*spans, *spans.labels]}
    assert len(sent) == 1
    assert len(str(sent.pop())) == 64


def test_the_policies(spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(text: str, vector: np.ndarray, numbers: list[float]) -> dict[str, object]:
        return {"label": "a", "why": "because"}

    arguments = ("hello", np.arange(100.0), [1.0, math.nan])
    for policy in ("none", "shapes", "values"):
        inferspan.predict(model="m", task=BINARY, capture=policy, features=["text"])(score)(
            *arguments
        )
    none, shapes, values = [dict(span.attributes or {}) for span in spans]
    # The default goes without saying, and so does `values` where answers are shown.
    said = [attributes.get(semconv.CAPTURE_POLICY) for attributes in (none, shapes, values)]
    assert said == ["none", None, None]
    assert all(a[semconv.OUTPUT_CLASS] == "a" for a in (none, shapes, values))
    assert not any("input" in name or "feature" in name for name in none)
    assert shapes[semconv.INPUT_SHAPE] == "100"
    assert shapes[semconv.INPUT_DTYPE] == "float64"
    assert shapes[semconv.INPUT_VALUE] == '{"text":"hello"}'
    assert semconv.OUTPUT_VALUE_JSON not in shapes
    assert json.loads(str(values[semconv.INPUT_VALUE])) == {
        "text": "hello",
        "vector": "<numpy.ndarray 100>",
        "numbers": [1.0, None],
    }
    assert json.loads(str(values[semconv.OUTPUT_VALUE_JSON])) == {"label": "a", "why": "because"}
    assert values["inferspan.input." + semconv.TENSOR_NAME] == "vector"
    assert values["inferspan.input." + semconv.TENSOR_DATA] == np.arange(100.0).tobytes()


def test_the_policy_of_the_environment_holds_unless_declared(
    spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERSPAN_CAPTURE", "none")
    inferspan.predict(model="m", task=BINARY)(lambda x: "a")("text")
    inferspan.predict(model="m", task=BINARY, capture="shapes")(lambda x: "a")("text")
    assert [(s.attributes or {}).get(semconv.CAPTURE_POLICY) for s in spans] == ["none", None]


def test_redaction_by_name_and_by_hook(spans: CapturedSpans) -> None:
    def score(card_number: str, person: dict[str, object]) -> str:
        raise ValueError(card_number)

    person = {"name": "J", "Card": "4000", "age": 3}
    for redact in (["*card*"], lambda name, value: "X" if name == "card_number" else value):
        traced = inferspan.predict(model="m", task=BINARY, capture="values", redact=redact)(score)
        with pytest.raises(ValueError, match="4000"):
            traced("4000", person)
    by_name, by_hook = [json.loads(str((s.attributes or {})[semconv.INPUT_VALUE])) for s in spans]
    assert by_name == {
        "card_number": "__REDACTED__",
        "person": {"name": "J", "Card": "__REDACTED__", "age": 3},
    }
    assert by_hook == {"card_number": "X", "person": {"name": "J", "Card": "4000", "age": 3}}
    assert [span.status.description for span in spans] == [None, None]
    assert person == {"name": "J", "Card": "4000", "age": 3}


def test_redaction_looks_into_lists_tuples_and_keys_of_any_type(spans: CapturedSpans) -> None:
    secret = {"Card": "4000", "age": 3}
    nested = [[secret], (secret, 1), {7: secret}]

    @inferspan.predict(task=BINARY, capture="values", redact=["*card*"])
    def score(rows: object) -> dict[str, object]:
        return {"label": "a", "why": nested}

    score(nested)
    judged = {"Card": "__REDACTED__", "age": 3}
    attributes = spans[0].attributes or {}
    expected = [[judged], [judged, 1], {"7": judged}]
    assert json.loads(str(attributes[semconv.INPUT_VALUE])) == {"rows": expected}
    assert json.loads(str(attributes[semconv.OUTPUT_VALUE_JSON]))["why"] == expected
    assert secret["Card"] == "4000"


def test_redaction_looks_into_a_series_of_features(spans: CapturedSpans) -> None:
    @inferspan.predict(task=BINARY, features=["people"], redact=["*card*"])
    def score(people: object) -> list[str]:
        return ["a", "b"]

    score(pd.Series([{"card": "4000"}, {"card": "4001"}]))
    assert "400" not in str(spans[0].attributes)
    assert "__REDACTED__" in str(spans[0].attributes)


def test_a_redacted_snapshot_is_only_its_name(spans: CapturedSpans) -> None:
    @inferspan.predict(task=BINARY, capture="values", redact=["*card*"])
    def score() -> str:
        inferspan.snapshot("card", np.arange(100.0))
        inferspan.snapshot("risk", np.arange(100.0))
        return "a"

    score()
    card, risk = spans[0].events
    assert dict(card.attributes or {}) == {semconv.STATE_NAME: "card"}
    assert (risk.attributes or {})[semconv.STATE_SHAPE] == "100"


def test_a_redaction_hook_that_raises_redacts(spans: CapturedSpans) -> None:
    def hook(name: str, value: object) -> object:
        raise RuntimeError

    inferspan.predict(model="m", task=BINARY, capture="values", redact=hook)(lambda x: "a")(
        "secret"
    )
    assert "secret" not in str(spans[0].attributes)


def test_what_callables_name_is_bounded(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    many = {f"{'n' * 200}{i}": object() for i in range(5000)} | {"last": 1}
    few = {f"f{i}": object() for i in range(256)}

    def score(x: int) -> str:
        return "a"

    inferspan.predict(model="many", task=BINARY, slices=lambda x: many)(score)(1)
    inferspan.predict(model="few", task=BINARY, features=lambda x: few | many)(score)(1)
    slices, features = [(s.attributes or {})[semconv.CAPTURE_DROPPED] for s in spans]
    assert isinstance(slices, tuple)
    assert isinstance(features, tuple)
    assert slices[0] == "slices:5001 names, at most 8 are recorded; name fewer"
    assert features[0] == "features:5257 names, at most 256 are recorded; name fewer"
    assert features[-1] == "more:226 further reasons"
    assert len(features) == 33
    assert max(map(len, (*slices, *features))) < 300
    assert len(caplog.records) < 20


def test_an_answer_that_is_no_class_is_not_carried_whole(spans: CapturedSpans) -> None:
    score = inferspan.predict(task=BINARY)(lambda answer: answer)
    score("x" * 10_000_000)
    score("x" * 1024)
    long, longest = [dict(span.attributes or {}) for span in spans]
    assert semconv.OUTPUT_CLASS not in long
    assert "10,000,000 characters is no class" in str(long[semconv.CAPTURE_DROPPED])
    assert longest[semconv.OUTPUT_CLASS] == "x" * 1024


def test_half_surrogate_pairs_in_names_are_replaced(spans: CapturedSpans) -> None:
    def score(x: float) -> str:
        return "a"

    for named in ({"a\ud800": "x"}, lambda x: {"a\ud800": x}):
        inferspan.predict(task=BINARY, slices=named, features=named)(score)(2.0)
    for span in spans:
        attributes = span.attributes or {}
        assert attributes[semconv.SLICE_PREFIX + "a?"] == "2"
        assert attributes[semconv.FEATURE_NAMES] == '["a?"]'


@pytest.mark.parametrize("missing", [None, math.nan, np.float32("nan"), pd.NA, pd.NaT])
def test_a_missing_value_costs_no_feature(spans: CapturedSpans, missing: object) -> None:
    @inferspan.predict(task=BINARY, features=["land", "amount"])
    def score(land: list[object], amount: list[object]) -> list[str]:
        return ["a", "b"]

    score(["NL", missing], [missing, 2.0])
    attributes = spans[0].attributes or {}
    assert attributes[semconv.FEATURE_CATEGORY_VALUES] == ("NL", "")
    amounts = np.frombuffer(attributes[semconv.FEATURE_DATA], "<f8")  # type: ignore[call-overload]
    np.testing.assert_array_equal(amounts, [math.nan, 2.0])
    assert semconv.CAPTURE_DROPPED not in attributes


def test_an_unsampled_call_without_a_record_captures_nothing_and_still_has_an_id() -> None:
    settings.install(settings.Settings.read({}, records="none"))
    read: list[str] = []

    def id_of(x: int, ask: bool) -> str:
        read.append("id")
        return f"k-{x}"

    def unread(*args: object) -> object:
        raise AssertionError("captured without need")

    @inferspan.predict(model="m", task=BINARY, prediction_id=id_of, slices=unread, output=unread)
    def score(x: int, ask: bool) -> str:
        if ask:
            ref = inferspan.current_prediction()
            assert ref is not None
            assert ref.id == f"k-{x}"
            assert not ref.span_context.trace_flags.sampled
        inferspan.snapshot("state", [1.0])
        return "a"

    with capture_spans(sampler=ALWAYS_OFF) as spans:
        assert score(1, False) == "a"
        assert read == []
        assert score(2, True) == "a"
        assert read == ["id"]
        assert list(spans) == []


def test_without_a_task_it_says_so_once(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "inferspan"):
        for _ in range(2):
            inferspan.predict(model="undeclared-task-model")(lambda x: 1)(2)
    assert [r.message for r in caplog.records] == [
        "inferspan: undeclared-task-model declares no task, so only equality or numeric error is "
        "computed of it; declare task='binary_classification', 'regression', …"
    ]
    assert [(s.attributes or {})[semconv.OUTPUT_VALUE] for s in spans] == [1.0, 1.0]


def test_what_does_not_fit_is_left_out_and_logged_once(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    traced = inferspan.predict(model="misfit-model", task="regression")(lambda x: object())
    with caplog.at_level(logging.WARNING, "inferspan"):
        traced(1)
        traced(2)
    assert len(caplog.records) == 1
    assert "output=lambda" in caplog.records[0].message
    for span in spans:
        assert span.status.status_code is StatusCode.UNSET
        assert (span.attributes or {})[semconv.CAPTURE_DROPPED] == (
            "output:object holds no class, score or number that is known; return a number or "
            "{'value': …}, or map it: @inferspan.predict(output=lambda returned: {'label': …})",
        )


def test_a_feature_that_does_not_fit_is_left_out_and_logged_once(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    @inferspan.predict(model="misfit-feature", task="regression", features=["amount", "when"])
    def score(amount: float, when: object) -> float:
        return amount

    with caplog.at_level(logging.WARNING, "inferspan"):
        score(1.0, object())
        score(2.0, object())
    reason = "neither number nor text; give one of them"
    assert caplog.messages == [
        f"inferspan: predict misfit-feature: feature when is not recorded: {reason}"
    ]
    for span in spans:
        assert (span.attributes or {})[semconv.CAPTURE_DROPPED] == (f"feature when:{reason}",)
        assert (span.attributes or {})[semconv.FEATURE_NAMES] == '["amount"]'


def test_names_with_lone_surrogates_do_not_reach_the_span(spans: CapturedSpans) -> None:
    inferspan.predict(model="a\udc80", task=BINARY)(lambda: "b\udc81")()
    (span,) = spans
    assert span.name == "predict a?"
    assert (span.attributes or {})[semconv.OUTPUT_CLASS] == "b?"
