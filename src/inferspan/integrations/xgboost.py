"""XGBoost: its scikit-learn API and `Booster`.

What is patched: `predict` and `predict_proba` of `XGBModel`, `Booster` and what derives from them,
`inplace_predict`, and the methods that learn, judge or load, in which nothing is a prediction.

What appears: a call that your code makes is one prediction, named after the class of the model. Of
a `Booster`, task and classes follow from its objective: of `binary:logistic` the classes are 0 and
1, and the score is the probability of 1, answered above one half as `XGBClassifier` does; of
`multi:softprob` the columns are the classes 0, 1, … A call that asks for margins, leaves or
contributions is no prediction.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np

from inferspan import boosters, semconv
from inferspan.integration import Description, Integration, Reading, Supported
from inferspan.integrations import sklearn as estimators

SUPPORTED: Final = Supported("xgboost", "2.1", "4")
METHODS: Final = {
    "predict": "predict",
    "predict_proba": "predict_proba",
    "inplace_predict": "predict",
}
QUIET: Final = ("fit", "score", "update", "eval", "eval_set", "load_model")
PLAIN: Final = {
    "output_margin": False,
    "pred_leaf": False,
    "pred_contribs": False,
    "approx_contribs": False,
    "pred_interactions": False,
    "predict_type": "value",
}
_NUMBERS: Final = ("reg:", "count:")


def describe(model: Any) -> Description:
    """What a model knows of itself; a booster by its objective."""
    if hasattr(model, "get_booster"):
        return replace(estimators.describe(model), framework="xgboost")
    learner = json.loads(model.save_config())["learner"]
    objective = learner["objective"]["name"]
    task: str | None = None
    if objective in _READ_BINARY:
        task = semconv.BINARY
    elif objective.startswith("multi:"):
        task = semconv.MULTICLASS
    elif objective.startswith(_NUMBERS) and objective != "reg:logistic":
        task = semconv.REGRESSION
    return boosters.described(
        model,
        "xgboost",
        objective=objective,
        task=task,
        classes=int(learner["learner_model_param"]["num_class"]),
        columns=model.feature_names or (),
    )


def read(description: Description, method: str) -> Reading:
    """How answers are read: those of a booster by its objective."""
    if description.form is None:
        return estimators.read(description, method)
    return Reading(
        output=_READ_BINARY.get(description.form),
        floats_are_classes=description.form == "multi:softmax",
    )


def _above_zero(margins: Any) -> Any:
    return (np.asarray(margins) > 0).astype(int)


_READ_BINARY: Final[dict[str, Callable[[Any], object]]] = {
    "binary:logistic": boosters.likelier,
    "binary:logitraw": _above_zero,
    "binary:hinge": _above_zero,
}
"""Objective of two classes → how its answers are read."""


def _classes() -> tuple[type, ...]:
    import xgboost

    return (xgboost.XGBModel, xgboost.Booster)


INTEGRATION: Final = Integration(
    library="xgboost",
    supported=SUPPORTED,
    classes=_classes,
    methods=METHODS,
    quiet=QUIET,
    plain=PLAIN,
    internal=frozenset(("xgboost", "sklearn")),
    describe=describe,
    read=read,
)
