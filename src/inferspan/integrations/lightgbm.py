"""LightGBM: its scikit-learn API and `Booster`.

What is patched: `predict` and `predict_proba` of `LGBMModel`, `Booster` and what derives from them,
and the methods that learn or judge, in which nothing is a prediction.

What appears: a call that your code makes is one prediction, named after the class of the model. Of
a `Booster`, task and classes follow from its objective: of `binary` the classes are 0 and 1, and
the score is the probability of 1, answered above one half as `LGBMClassifier` does; of `multiclass`
the columns are the classes 0, 1, … A call that asks for raw scores, leaves or contributions is no
prediction.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from inferspan import boosters, semconv
from inferspan.integration import Description, Integration, Reading, Supported
from inferspan.integrations import sklearn as estimators

SUPPORTED: Final = Supported("lightgbm", "4.0", "5")
METHODS: Final = {"predict": "predict", "predict_proba": "predict_proba"}
QUIET: Final = ("fit", "score", "update", "eval", "eval_train", "eval_valid", "refit")
PLAIN: Final = {"raw_score": False, "pred_leaf": False, "pred_contrib": False}
_NUMBERS: Final = frozenset(
    (
        "regression",
        "regression_l1",
        "huber",
        "fair",
        "poisson",
        "quantile",
        "mape",
        "gamma",
        "tweedie",
    )
)
_SEVERAL: Final = ("multiclass", "multiclassova")


def describe(model: Any) -> Description:
    """What a model knows of itself; a booster by its objective."""
    if not hasattr(model, "model_to_string"):
        return replace(estimators.describe(model), framework="lightgbm")
    written = model.model_to_string(num_iteration=1)
    found = re.search(r"^objective=(\w+)", written, re.MULTILINE)
    objective = found[1] if found else None
    task: str | None = None
    if objective == "binary":
        task = semconv.BINARY
    elif objective in _SEVERAL:
        task = semconv.MULTICLASS
    elif objective in _NUMBERS:
        task = semconv.REGRESSION
    return boosters.described(
        model,
        "lightgbm",
        objective=objective,
        task=task,
        classes=model.num_model_per_iteration(),
        columns=model.feature_name(),
    )


def read(description: Description, method: str) -> Reading:
    """How answers are read: those of a booster by its objective."""
    if description.form is None:
        return estimators.read(description, method)
    return Reading(output=boosters.likelier if description.form == "binary" else None)


def _classes() -> tuple[type, ...]:
    import lightgbm

    return (lightgbm.LGBMModel, lightgbm.Booster)


INTEGRATION: Final = Integration(
    library="lightgbm",
    supported=SUPPORTED,
    classes=_classes,
    methods=METHODS,
    quiet=QUIET,
    plain=PLAIN,
    internal=frozenset(("lightgbm", "sklearn")),
    describe=describe,
    read=read,
)
