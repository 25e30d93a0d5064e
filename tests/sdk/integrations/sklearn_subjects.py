"""Estimators of scikit-learn, fitted on data that ships with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from .subjects import Subject

CANCER = load_breast_cancer(return_X_y=True, as_frame=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
BOTH = ("predict", "predict_proba")
ALL = (*BOTH, "predict_log_proba", "decision_function")


def _subject(name: str, model: Any, data: Any, methods: tuple[str, ...]) -> Subject:
    x, y = data
    return Subject(
        name=name,
        model=model.fit(x, y),
        methods=methods,
        given=x[:7],
        wrong=np.array([["a", "b"]]),
        refit=lambda copy: clone(copy).fit(x, y),
    )


SUBJECTS = [
    _subject("linear", make_pipeline(StandardScaler(), LogisticRegression()), CANCER, ALL),
    _subject("iris", LogisticRegression(max_iter=500), IRIS, BOTH),
    _subject("forest", RandomForestClassifier(10, random_state=0), IRIS, BOTH),
    _subject("boosting", HistGradientBoostingClassifier(max_iter=5), CANCER, BOTH),
    _subject("bayes", GaussianNB(), IRIS, BOTH),
    _subject("network", MLPClassifier((4,), solver="lbfgs", max_iter=2_000), IRIS, BOTH),
    _subject("svc", SVC(), IRIS, ("predict", "decision_function")),
    _subject("regression", LinearRegression(), DIABETES, ("predict",)),
    _subject("neighbours", KNeighborsRegressor(), DIABETES, ("predict",)),
    _subject("boosted", GradientBoostingRegressor(n_estimators=5), DIABETES, ("predict",)),
    _subject(
        "search",
        GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=2),
        IRIS,
        BOTH,
    ),
]
