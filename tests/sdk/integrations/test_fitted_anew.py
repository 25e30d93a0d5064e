"""A model that was fitted is asked anew what it is; others that are not made of it are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)[:, :4]
IRIS_ROWS, SPECIES = load_iris(return_X_y=True)
IRIS = (StandardScaler().fit_transform(IRIS_ROWS), SPECIES)


class Around(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A model of the user's, which is what another one is."""

    def __init__(self, inner: Any, kept: str) -> None:
        self.inner = inner
        self.kept = kept

    @property
    def classes_(self) -> Any:
        return self._model().classes_

    def _model(self) -> Any:
        return self.inner if self.kept == "itself" else self.inner[0]

    def predict(self, x: Any) -> Any:
        return self._model().predict(x)


def task_of(spans: CapturedSpans) -> object:
    return (spans.prediction().attributes or {})[semconv.TASK_TYPE]


def test_only_a_model_that_was_fitted_is_asked_anew(spans: CapturedSpans) -> None:
    asked: list[Any] = []
    inferspan.instrument("sklearn", model=asked.append)
    one, other = LogisticRegression().fit(X, Y), LogisticRegression().fit(X, Y)
    for model in (one, other):
        model.predict(X[:3])
    assert asked == [one, other]
    asked.clear()
    one.fit(X, Y)
    for model in (one, other):
        model.predict(X[:3])
    assert asked == [one]


def test_in_force_anew_everything_is(spans: CapturedSpans) -> None:
    model = LogisticRegression().fit(X, Y)
    asked: list[Any] = []
    for _ in range(2):
        inferspan.instrument("sklearn", model=asked.append)
        model.predict(X[:3])
    assert asked == [model, model]


@pytest.mark.parametrize("kept", ["itself", "in a list"])
def test_what_another_model_is_made_of_counts(kept: str, spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")
    inner = LogisticRegression().fit(X, Y)
    model = Around(inner if kept == "itself" else [inner], kept)
    model.predict(X[:3])
    assert task_of(spans) == semconv.BINARY
    inner.fit(*IRIS)
    spans.clear()
    model.predict(IRIS[0][:3])
    assert task_of(spans) == semconv.MULTICLASS


def test_a_step_that_is_fitted_alone_changes_its_pipeline(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    pipeline.predict(X[:3])
    assert task_of(spans) == semconv.BINARY
    pipeline.steps[-1][1].fit(X, np.arange(len(X)) % 3)
    spans.clear()
    pipeline.predict(X[:3])
    assert task_of(spans) == semconv.MULTICLASS


def test_a_step_that_its_pipeline_fitted_is_asked_anew(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")
    step = LogisticRegression()
    pipeline = make_pipeline(StandardScaler(), step).fit(X, Y)
    step.predict(X[:3])
    assert task_of(spans) == semconv.BINARY
    pipeline.fit(*IRIS)
    spans.clear()
    step.predict(IRIS[0][:3])
    assert task_of(spans) == semconv.MULTICLASS
