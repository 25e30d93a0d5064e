"""Scoring of many rows: chunks of what one span holds, and columns of frames and arrays by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import inferspan
from inferspan import chunks, semconv
from inferspan.output_columns import ROWS_MAX
from inferspan.testing import CapturedSpans

FRAME, Y = load_breast_cancer(return_X_y=True, as_frame=True)
FRAME = FRAME.iloc[:, :4].set_index("row-" + FRAME.index.astype(str))
ROWS = len(FRAME)


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ROWS_MAX", 200)


def joined(spans: CapturedSpans, name: str) -> list[Any]:
    found: list[Any] = []
    for span in spans.predictions:
        found += list((span.attributes or {})[name])  # type: ignore[arg-type]
    return found


def first_row(*arguments: Any, **named: Any) -> str:
    """A slice that tells the chunks apart."""
    (x,) = (*arguments, *named.values())
    return repr(float(x[0][0] if type(x) is list else np.asarray(x)[0, 0]))


@pytest.mark.usefixtures("_small_chunks")
@pytest.mark.parametrize("kind", ["frame", "array", "keyword", "list"])
def test_a_large_batch_is_one_call_and_several_predictions(kind: str, spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn", slices={"first": first_row})
    x: Any = FRAME.to_numpy() if kind in ("array", "keyword") else FRAME
    if kind == "list":
        x = FRAME.to_numpy().tolist()
    model = LogisticRegression(max_iter=5000).fit(x, Y)
    answer = model.predict(X=x) if kind == "keyword" else model.predict(x)
    assert len(answer) == ROWS
    assert joined(spans, semconv.OUTPUT_CLASSES_PREDICTED) == list(map(str, answer))
    counts = [(span.attributes or {})[semconv.PREDICTION_COUNT] for span in spans.predictions]
    assert counts == [200, 200, ROWS - 400]
    slices = [(span.attributes or {})[f"{semconv.SLICE_PREFIX}first"] for span in spans.predictions]
    assert slices == [repr(float(FRAME.iat[at, 0])) for at in (0, 200, 400)]


@pytest.mark.usefixtures("_small_chunks")
def test_ids_and_features_of_a_chunk_are_those_of_its_rows(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn", prediction_id="index", features=["mean area"])
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, Y)
    with inferspan.stage("nightly"):
        pipeline.predict_proba(FRAME)
    assert joined(spans, semconv.PREDICTION_IDS) == list(FRAME.index)
    packed = b"".join((s.attributes or {})[semconv.FEATURE_DATA] for s in spans.predictions)  # type: ignore[misc]
    np.testing.assert_array_equal(np.frombuffer(packed, "<f8"), FRAME["mean area"])
    nightly = next(span for span in spans if span.name == "nightly")
    assert [span.parent for span in spans.predictions] == [nightly.context] * 3
    first = spans.predictions[0]
    assert [s.parent for s in spans.stages if s is not nightly] == [first.context] * 2


@pytest.mark.usefixtures("_small_chunks")
def test_several_outputs_are_cut_each(spans: CapturedSpans) -> None:
    x, y = make_multilabel_classification(500, n_features=4, n_classes=3, random_state=0)
    inferspan.instrument("sklearn")
    model = KNeighborsClassifier().fit(x, y)
    said = np.column_stack([column[:, 1] for column in model.predict_proba(x)]) > 0.5
    assert joined(spans, semconv.OUTPUT_CLASSES_PREDICTED) == [
        str(label) for row in said for label in np.flatnonzero(row)
    ]


@pytest.mark.usefixtures("_small_chunks")
def test_a_large_batch_that_fails_fails_as_it_does_without_us(spans: CapturedSpans) -> None:
    model = LogisticRegression(max_iter=5000).fit(FRAME, Y)
    with pytest.raises(ValueError, match="feature names") as bare:
        model.predict(FRAME.iloc[:, :3])
    inferspan.instrument("sklearn")
    with pytest.raises(ValueError, match="feature names") as traced:
        model.predict(FRAME.iloc[:, :3])
    assert str(traced.value) == str(bare.value)
    kinds = [(span.attributes or {})[semconv.ERROR_TYPE] for span in spans.predictions]
    assert kinds == ["ValueError"] * 3


def test_more_rows_than_a_span_holds(spans: CapturedSpans) -> None:
    class Sign(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        classes_ = np.array([0, 1])

        def predict(self, x: Any) -> Any:
            return (x[:, 0] > 0).astype(int)

    inferspan.instrument("sklearn")
    x = np.random.default_rng(0).normal(size=(ROWS_MAX + 1_000, 1))
    answer = Sign().predict(x)
    assert joined(spans, semconv.OUTPUT_CLASSES_PREDICTED)[-999:] == list(map(str, answer[-999:]))
    assert len(spans.predictions) == 2
    (last,) = [
        s for s in spans.predictions if (s.attributes or {})[semconv.PREDICTION_COUNT] == 1000
    ]
    assert semconv.CAPTURE_DROPPED not in (last.attributes or {})


def test_features_of_an_array_are_known_by_their_names(spans: CapturedSpans) -> None:
    for library in ("sklearn", "xgboost"):
        inferspan.instrument(library, features=["mean area"])
    array = FRAME.to_numpy()
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, Y)
    boosted = xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(FRAME, Y)
    with pytest.warns(UserWarning, match="feature names"):
        linear.predict(array[:5])
    boosted.predict(array[:5])
    for span in spans.predictions:
        attributes: dict[str, Any] = dict(span.attributes or {})
        assert attributes[semconv.FEATURE_NAMES] == '["mean area"]'
        data = np.frombuffer(attributes[semconv.FEATURE_DATA], "<f8")
        np.testing.assert_array_equal(data, FRAME["mean area"][:5])
