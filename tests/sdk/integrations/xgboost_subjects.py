"""Models of XGBoost, by both of its interfaces, fitted on data that ships with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from .subjects import Subject

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
WRONG = np.zeros((2, 2))
BOTH = ("predict", "predict_proba")


def _estimator(name: str, model: Any, data: Any, methods: tuple[str, ...]) -> Subject:
    x, y = data
    model.set_params(n_estimators=5, n_jobs=1).fit(x, y)
    return Subject(name, model, methods, x[:7], WRONG, lambda copy: clone(copy).fit(x, y))


def _booster(name: str, objective: str, data: Any, **params: Any) -> list[Subject]:
    x, y = data

    def train(_: object = None) -> Any:
        told = {"objective": objective, "nthread": 1, **params}
        return xgboost.train(told, xgboost.DMatrix(x, y), 5)

    booster = train()
    rows = xgboost.DMatrix(x[:7])
    return [
        Subject(name, booster, ("predict",), rows, WRONG, train),
        Subject(f"{name} in place", booster, ("inplace_predict",), x[:7], WRONG, train),
    ]


SUBJECTS = [
    _estimator("binary", xgboost.XGBClassifier(), CANCER, BOTH),
    _estimator("iris", xgboost.XGBClassifier(), IRIS, BOTH),
    _estimator("forest", xgboost.XGBRFClassifier(), CANCER, BOTH),
    _estimator("regression", xgboost.XGBRegressor(), DIABETES, ("predict",)),
    *_booster("booster", "binary:logistic", CANCER),
    *_booster("softprob", "multi:softprob", IRIS, num_class=3),
    *_booster("softmax", "multi:softmax", IRIS, num_class=3),
    *_booster("squares", "reg:squarederror", DIABETES),
]
