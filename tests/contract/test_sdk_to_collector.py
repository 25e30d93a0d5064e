"""What the SDK writes is what the collector reads: through real OTLP bytes, in one process."""

from __future__ import annotations

import math
import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

import inferspan
from inferspan.testing import CapturedSpans, capture_spans
from inferspan_collector.batches import Decoded
from inferspan_collector.decode import decode_traces

RECEIVED_NS = 1_800_000_000_000_000_000
"""After any time that the SDK's manual clock gives."""


def decoded(spans: CapturedSpans) -> Decoded:
    """What the collector makes of all that was caught; nothing of it may be refused."""
    inferspan.flush()
    body = encode_spans(list(spans)).SerializeToString()
    found = decode_traces(body, json=False, received_ns=RECEIVED_NS)
    assert found.refused == ()
    assert found.clock_skewed == 0
    return found


def outputs_of(returned: object, **declared: object) -> tuple[list, list, list]:
    """Class, score and value per row, as the collector reads them of one call."""
    with capture_spans() as spans:
        inferspan.predict(model="m", **declared)(lambda: returned)()
        batch = decoded(spans).predictions
    numbers = (
        [None if math.isnan(n) else n for n in c.tolist()] for c in (batch.score, batch.value)
    )
    return (batch.predicted.objects().tolist(), *numbers)


def test_identity_slices_and_time() -> None:
    @inferspan.predict(
        model="fraud",
        version="7",
        task="binary_classification",
        positive="fraud",
        prediction_id="order_id",
        slices=["country"],
        features=["amount"],
    )
    def score(order_id: str, amount: float, country: str) -> dict[str, object]:
        with inferspan.stage("features"):
            inferspan.snapshot("embedding", np.array([1.0, 2.0]))
        return {"label": "fraud", "score": 0.93}

    with capture_spans() as spans:
        score("order-17", 12.5, "DE")
        found = decoded(spans)
        span = spans.predictions[0]
    batch = found.predictions
    assert found.stages.stage.objects().tolist() == ["features"]
    assert (found.stages.owner == batch.span).all()
    assert (found.stages.trace == batch.trace).all()
    assert found.ignored == 0
    texts = ("model", "version", "variant", "operation", "task", "positive_class", "predicted")
    assert [getattr(batch, name).objects().tolist() for name in texts] == [
        ["fraud"],
        ["7"],
        [None],
        ["predict"],
        ["binary_classification"],
        ["fraud"],
        ["fraud"],
    ]
    assert batch.prediction_id.objects().tolist() == ["order-17"]
    assert batch.score.tolist() == [0.93]
    assert batch.slices["country"].objects().tolist() == ["DE"]
    assert batch.error_type.objects().tolist() == [None]
    assert batch.span.tolist() == [span.context.span_id]
    trace_id = span.context.trace_id
    assert batch.trace.tolist() == [[trace_id >> 64, trace_id & (2**64 - 1)]]
    assert batch.start_time.tolist() == batch.event_time.tolist() == [span.start_time]
    assert batch.duration.tolist() == [span.end_time - span.start_time]


@pytest.mark.parametrize(
    ("returned", "declared", "expected"),
    [
        ("legit", {"task": "multiclass_classification"}, (["legit"], [None], [None])),
        (True, {"task": "binary_classification"}, (["true"], [None], [None])),
        (3, {"task": "multiclass_classification"}, (["3"], [None], [None])),
        (("cat", 0.75), {"task": "multiclass_classification"}, (["cat"], [0.75], [None])),
        (38.5, {"task": "regression"}, ([None], [None], [38.5])),
        (np.float32(0.5), {"task": "regression"}, ([None], [None], [0.5])),
        (np.array(["a", "b"]), {}, (["a", "b"], [None, None], [None, None])),
        (np.array([1.5, math.nan]), {"task": "regression"}, ([None] * 2, [None] * 2, [1.5, None])),
        ({"b", "a"}, {"task": "multilabel_classification"}, (['["a","b"]'], [None], [None])),
        (
            [["b", "a"], [], ["c"]],
            {"task": "multilabel_classification"},
            (['["a","b"]', "[]", '["c"]'], [None] * 3, [None] * 3),
        ),
    ],
)
def test_outputs(returned: object, declared: dict[str, str], expected: tuple[list, ...]) -> None:
    assert outputs_of(returned, **declared) == expected


class Estimator:
    """A classifier as scikit-learn's are, with fixed answers."""

    classes_ = np.array(["legit", "fraud"])

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        return np.column_stack([1 - x[:, 0], x[:, 0]])

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.classes_[(x[:, 0] >= 0.5).astype(int)]


def test_a_wrapped_model_in_batches() -> None:
    model = inferspan.wrap(
        Estimator(), model="fraud", task="binary_classification", positive="fraud"
    )
    with capture_spans() as spans:
        model.predict_proba(np.array([[0.25], [0.75], [0.5]]))
        model.predict(np.array([[0.25], [0.75]]))
        batch = decoded(spans).predictions
    assert batch.operation.objects().tolist() == ["predict_proba"] * 3 + ["predict"] * 2
    classes = ["legit", "fraud", "legit", "legit", "fraud"]
    assert batch.predicted.objects().tolist() == classes
    assert batch.score.tolist()[:3] == [0.25, 0.75, 0.5]
    assert batch.index.tolist() == [0, 1, 2, 0, 1]
    assert len(set(batch.prediction_id.objects().tolist())) == 2


def test_a_batch_whose_rows_have_ids_and_slices() -> None:
    @inferspan.predict(model="m", prediction_id="ids", slices=["site"])
    def classify(ids: list[str], site: list[str]) -> list[str]:
        return ["x"] * len(ids)

    with capture_spans() as spans:
        classify(["a", "b", "c"], ["n", "s", "n"])
        classify([], [])
        found = decoded(spans)
    assert found.predictions.prediction_id.objects().tolist() == ["a", "b", "c"]
    assert found.predictions.slices["site"].objects().tolist() == ["n", "s", "n"]
    assert found.ignored == 1  # the batch call of nothing


def test_a_call_that_failed() -> None:
    @inferspan.predict(model="m", prediction_id="key")
    def fail(key: str) -> str:
        raise TimeoutError("slow")

    with capture_spans() as spans:
        with pytest.raises(TimeoutError):
            fail("k")
        batch = decoded(spans).predictions
    assert batch.error_type.objects().tolist() == ["TimeoutError"]
    assert batch.predicted.objects().tolist() == [None]
    assert batch.prediction_id.objects().tolist() == ["k"]


CLASSES = st.one_of(
    st.text(min_size=1, max_size=20),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False).filter(float.is_integer),
)


@settings(max_examples=60)
@given(CLASSES, st.one_of(st.text(min_size=1, max_size=200), st.integers(), st.uuids()))
def test_a_right_answer_is_right_on_both_sides(
    answer: object, prediction_id: str | int | uuid.UUID
) -> None:
    @inferspan.predict(model="m", task="multiclass_classification", prediction_id="key")
    def classify(key: object) -> object:
        return answer

    with capture_spans() as spans:
        classify(prediction_id)
        inferspan.label(prediction_id, answer, model="m")
        found = decoded(spans)
    assert len(found.predictions) == len(found.labels) == 1
    assert found.predictions.predicted.objects().tolist() == found.labels.actual.objects().tolist()
    assert (
        found.predictions.prediction_id.objects().tolist()
        == found.labels.prediction_id.objects().tolist()
    )


@given(st.sets(st.text(min_size=1, max_size=9)), st.randoms())
@settings(max_examples=40)
def test_a_set_is_equal_in_any_order(classes: set[str], random) -> None:
    shuffled = list(classes)
    random.shuffle(shuffled)

    @inferspan.predict(model="m", task="multilabel_classification", prediction_id="key")
    def classify(key: str) -> set[str]:
        return classes

    with capture_spans() as spans:
        classify("k")
        inferspan.label("k", shuffled, model="m")
        found = decoded(spans)
    assert found.predictions.predicted.objects().tolist() == found.labels.actual.objects().tolist()


def test_a_label_by_reference_links_to_its_prediction() -> None:
    kept = []

    @inferspan.predict(model="m", version="7")
    def classify() -> str:
        kept.append(inferspan.current_prediction())
        return "x"

    with capture_spans() as spans:
        classify()
        kept[0].label("y")
        found = decoded(spans)
    labels, batch = found.labels, found.predictions
    assert labels.link_trace.tolist() == batch.trace.tolist()
    assert labels.link_span.tolist() == batch.span.tolist()
    assert labels.prediction_id.objects().tolist() == batch.prediction_id.objects().tolist()


def test_every_option_of_a_label() -> None:
    with capture_spans() as spans:
        inferspan.label(
            "order-17",
            38.5,
            model="m",
            version="7",
            target="chargeback",
            time="2026-09-18T06:00:00.000001Z",
            id="l-1",
            source="bank",
            kind="feedback",
            annotator_kind="HUMAN",
            revision=2,
            weight=0.5,
            index=3,
            text="because",
        )
        labels = decoded(spans).labels
    texts = ("label_id", "text", "model", "version", "target", "source", "kind")
    texts += ("annotator_kind", "actual")
    assert [getattr(labels, name).objects().tolist()[0] for name in texts] == [
        *("l-1", "because", "m", "7", "chargeback", "bank", "feedback", "HUMAN", "38.5")
    ]
    rest = ("revision", "weight", "index", "value", "deleted")
    assert [getattr(labels, name).tolist()[0] for name in rest] == [*(2, 0.5, 3, 38.5, False)]
    assert labels.time.tolist()[0] % 10**9 == 1000


@pytest.mark.parametrize(
    ("value", "options", "actual", "number"),
    [
        (None, {"action": "delete"}, None, None),
        (None, {"text": "because"}, None, None),
        ([1.5, 2.0], {}, "[1.5,2.0]", None),
        (["b", "a"], {}, '["a","b"]', None),
        (True, {}, "true", None),
        (1, {}, "1", 1.0),
        (1.0, {}, "1", 1.0),
        ("1", {}, "1", 1.0),
    ],
)
def test_label_values(value: object, options: dict[str, str], actual, number) -> None:
    with capture_spans() as spans:
        inferspan.label("p", value, model="m", **options)
        labels = decoded(spans).labels
    assert labels.actual.objects().tolist() == [actual]
    np.testing.assert_array_equal(labels.value, [math.nan if number is None else number])
    assert labels.deleted.tolist() == ["action" in options]


def test_a_long_reference_answer_passes() -> None:
    with capture_spans() as spans:
        inferspan.label("p", None, model="m", text="x" * 100_000)
        labels = decoded(spans).labels
    assert len(labels.text.objects()[0]) >= 1024
