"""Every estimator that scikit-learn has: its answers as before, and each call one prediction."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators

import inferspan
from inferspan.integrations.sklearn import METHODS
from inferspan.testing import CapturedSpans

CHANCE = np.random.default_rng(0)
ROWS = np.abs(CHANCE.normal(size=(60, 4))) + 0.1
LABELS = (ROWS[:, 0] > ROWS[:, 1]).astype(int)
CLASSIFYING = {"estimator": LogisticRegression(), "estimators": [("a", LogisticRegression())]}
COUNTING = {"estimator": Ridge(), "estimators": [("a", Ridge())]}
OTHERS = {
    "transformer_list": [("a", StandardScaler())],
    "transformers": [("a", StandardScaler(), [0, 1])],
    "steps": [("a", StandardScaler()), ("b", LogisticRegression())],
    "param_grid": {},
    "param_distributions": {},
}
SEEDED = {"random_state": 0, "n_jobs": None}
FITTED_MIN = {"classifier": 35, "regressor": 40, "transformer": 50, "cluster": 5}
"""How many of each kind are to be fitted: others take other data, such as texts."""


def made(kind: type[BaseEstimator], told: dict[str, Any]) -> Any:
    """An estimator with what it cannot be without."""
    parameters = signature(kind).parameters
    return kind(**{name: value for name, value in told.items() if name in parameters})


def fitted(kind: str) -> Iterator[Any]:
    told = {**(COUNTING if kind == "regressor" else CLASSIFYING), **OTHERS, **SEEDED}
    for _, estimator in all_estimators(type_filter=kind):
        try:
            model = made(estimator, told)
            model.fit(ROWS, LABELS)
        except Exception:  # whatever each says of data that it does not take
            continue
        yield model


def outcome(model: Any, method: str) -> Any:
    """What a method answers, or what it raises of rows that it does not take."""
    try:
        answer = getattr(model, method)(ROWS[:5])
    except Exception as error:
        return repr(error)
    return answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FITTED_MIN)
def test_each_answers_as_before_in_one_prediction(kind: str, spans: CapturedSpans) -> None:
    models = list(fitted(kind))
    assert len(models) >= FITTED_MIN[kind]
    for model in models:
        for method, operation in METHODS.items():
            inferspan.uninstrument("sklearn")
            if not hasattr(model, method):
                continue
            bare = outcome(model, method)
            inferspan.instrument("sklearn")
            spans.clear()
            said = f"{method} of {model!r}"
            np.testing.assert_array_equal(outcome(model, method), bare, said)
            names = [span.name.partition(" ")[0] for span in spans.predictions]
            assert names == [operation], said
