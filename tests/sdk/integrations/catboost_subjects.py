"""Models of CatBoost, by both of its interfaces, fitted on data that ships with scikit-learn."""

from __future__ import annotations

from typing import Any

import catboost
import numpy as np
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    make_multilabel_classification,
)

from .subjects import Subject

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
TOPICS = make_multilabel_classification(80, n_features=4, n_classes=3, random_state=0)
WRONG = np.zeros((2, 2))
TOLD: dict[str, Any] = {
    "iterations": 5,
    "thread_count": 1,
    "verbose": False,
    "allow_writing_files": False,
}
ALL = ("predict", "predict_proba", "predict_log_proba")


def _subject(name: str, model: Any, data: Any, methods: tuple[str, ...]) -> Subject:
    x, y = data

    def again(fitted: Any) -> Any:
        return type(fitted)(**fitted.get_params()).fit(x, y)

    model.fit(x, y)
    return Subject(name, model, methods, x[:7], WRONG, again)


def _pooled(name: str, told: dict[str, Any], data: Any) -> Subject:
    x, y = data

    def train(_: object = None) -> Any:
        return catboost.train(catboost.Pool(x, y), {**TOLD, **told})

    return Subject(name, train(), ("predict",), catboost.Pool(x[:7]), WRONG, train)


SUBJECTS = [
    _subject("binary", catboost.CatBoostClassifier(**TOLD), CANCER, ALL),
    _subject("iris", catboost.CatBoostClassifier(**TOLD), IRIS, ALL),
    _subject(
        "topics",
        catboost.CatBoostClassifier(loss_function="MultiLogloss", **TOLD),
        TOPICS,
        ALL,
    ),
    _subject("regression", catboost.CatBoostRegressor(**TOLD), DIABETES, ("predict",)),
    _pooled("trained", {"loss_function": "Logloss"}, CANCER),
    _pooled("several", {"loss_function": "MultiClass"}, IRIS),
    _pooled("counts", {"loss_function": "Poisson"}, DIABETES),
]
