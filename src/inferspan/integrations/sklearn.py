"""scikit-learn: every estimator, also your own and those of other packages that derive from it.

What is patched: `predict`, `predict_proba`, `predict_log_proba` and `decision_function`, wherever
in the classes below `sklearn.base.BaseEstimator` and the public mixins they are defined, and the
methods that learn or judge (`fit`, `score` …), in which nothing is a prediction. No private name
of scikit-learn is used.

What appears: a call that your code makes is one prediction, named after the class of the model, for
pipelines and searches of what they end in. Task and classes are the model's own. Where its classes
are 0 and 1, or -1 and 1, the positive one is 1, as for the metrics of scikit-learn; otherwise
`positive` has to be declared. Cross-validation, searches and scorers leave no predictions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from inferspan import semconv
from inferspan.integration import Description, Integration, Reading, Supported
from inferspan.output_columns import Misfit

SUPPORTED: Final = Supported("scikit-learn", "1.4", "2")
METHODS: Final = {
    "predict": "predict",
    "predict_proba": "predict_proba",
    "predict_log_proba": "predict_proba",
    "decision_function": "predict",
}
QUIET: Final = ("fit", "partial_fit", "fit_predict", "fit_transform", "score")
_POSITIVE_BY_DEFAULT: Final = ([0, 1], [-1, 1])
"""Classes of which the metrics of scikit-learn take 1 for positive, whatever type they have."""
_ENDS_IN: Final = ("best_estimator_", "estimator")
"""Where a search has what it found, or looks for."""


def describe(model: Any) -> Description:
    """What an estimator knows of itself; before it is fitted, less."""
    from sklearn.base import is_classifier, is_regressor

    classes = _classes(model)
    task = positive = None
    if is_classifier(model) and classes:
        task = semconv.BINARY if len(classes) == 2 else semconv.MULTICLASS
        if list(classes) in _POSITIVE_BY_DEFAULT:
            positive = classes[1]
    elif is_regressor(model):
        task = semconv.REGRESSION
    return Description(
        name=_name(model), framework="sklearn", task=task, classes=classes, positive=positive
    )


def read(description: Description, method: str) -> Reading:
    """How answers are read: `decision_function` says a class only by the rule for two of them."""
    floats_are_classes = bool(description.classes)
    output: Callable[[Any], object] | None = None
    if method == "decision_function":
        output = partial(_decided, description.classes)
    elif method == "predict_log_proba":
        output = np.exp
    return Reading(output=output, floats_are_classes=floats_are_classes)


def _classes(model: Any) -> tuple[object, ...]:
    found = getattr(model, "classes_", None)
    if not isinstance(found, np.ndarray):  # several outputs have a list of classes each
        return ()
    return tuple(found.tolist())


def _name(model: Any) -> str:
    steps = getattr(model, "steps", None)
    if isinstance(steps, list) and steps:
        return _name(steps[-1][1])
    if hasattr(model, "scoring") and hasattr(model, "refit"):
        for place in _ENDS_IN:
            if (found := getattr(model, place, None)) is not None:
                return _name(found)
    return type(model).__name__


def _decided(classes: tuple[object, ...], scores: Any) -> list[object]:
    if len(classes) != 2 or not isinstance(scores, np.ndarray) or scores.ndim != 1:
        raise Misfit("decision_function of other than two known classes says no class")
    return [classes[int(positive)] for positive in scores > 0]


def _classes_to_patch() -> tuple[type, ...]:
    from sklearn import base

    return (base.BaseEstimator, base.ClassifierMixin, base.RegressorMixin, base.TransformerMixin)


INTEGRATION: Final = Integration(
    library="sklearn",
    supported=SUPPORTED,
    classes=_classes_to_patch,
    methods=METHODS,
    quiet=QUIET,
    internal=frozenset(("sklearn",)),
    describe=describe,
    read=read,
)
