"""Sessions of ONNX Runtime for models that scikit-learn learnt from data that ships with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import skl2onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .subjects import Subject

CPU = ["CPUExecutionProvider"]
OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Old enough for the oldest runtime that is supported."""
Data = tuple[Any, Any]


def exported(model: Any, data: Data, zipmap: bool = True, name: str | None = None) -> Any:
    """A model that is fitted, as an `onnx.ModelProto` with the one input `X`."""
    x, y = data
    model.fit(x, y)
    options = None if zipmap else {id(model): {"zipmap": False}}
    return skl2onnx.to_onnx(
        model, x[:1].astype(np.float32), options=options, name=name, target_opset=OPSETS
    )


def session_of(model: Any) -> Any:
    """A session that answers for an `onnx.ModelProto`."""
    return ort.InferenceSession(model.SerializeToString(), providers=CPU)


class RefusesNames(dict[str, Any]):
    """What is fed, raising one and the same object whenever a library asks for its names."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def keys(self) -> Any:
        raise self.error


def fed(given: Any) -> tuple[Any, ...]:
    return None, given if isinstance(given, RefusesNames) else {"X": given}


def _subject(name: str, model: Any, data: Data, **options: Any) -> Subject:
    made = exported(model, data, **options)
    again: Callable[[Any], object] = lambda _: session_of(made)  # noqa: E731
    return Subject(
        name=name,
        model=session_of(made),
        methods=("run",),
        given=data[0][:7].astype(np.float32),
        wrong=np.array([["a", "b"]]),
        refit=again,
        arguments=fed,
        refusing=RefusesNames,
        copies=False,
    )


CANCER: Data = load_breast_cancer(return_X_y=True)
IRIS: Data = load_iris(return_X_y=True)
DIABETES: Data = load_diabetes(return_X_y=True)


def pipeline() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


SUBJECTS = [
    _subject("linear", pipeline(), CANCER),
    _subject("matrix", pipeline(), IRIS, zipmap=False),
    _subject("forest", RandomForestClassifier(5, random_state=0), IRIS),
    _subject("bayes", GaussianNB(), IRIS, zipmap=False),
    _subject("regression", LinearRegression(), DIABETES),
]
