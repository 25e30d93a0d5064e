"""scikit-learn: every estimator, also your own and those of other packages that derive from it.

What is patched: `predict`, `predict_proba`, `predict_log_proba`, `decision_function` and
`transform`, wherever in the classes below `sklearn.base.BaseEstimator` and the public mixins they
are defined, and the methods that learn or judge (`fit`, `score` …), in which nothing is a
prediction. No private name of scikit-learn is used.

What appears: a call that your code makes is one prediction, named after the class of the model, for
pipelines and searches of what they end in. Steps of pipelines and column transformers, members of
unions, votes, stacks and chains, and the models within calibrated, multi-output and thresholded
ones are its stages; trees of a forest are not. Task and classes are the model's own. Where its
classes are 0 and 1, or -1 and 1, the positive one is 1, as for the metrics of scikit-learn;
otherwise `positive` has to be declared. Several outputs per row are the labels of one prediction
where each is 0 or 1, and otherwise not recorded, which the span says. Cross-validation, searches
and scorers leave nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import numpy as np

from inferspan import semconv
from inferspan.integration import (
    Description,
    Integration,
    Reading,
    Supported,
    positive_by_default,
)
from inferspan.output_columns import Misfit

SUPPORTED: Final = Supported("scikit-learn", "1.5", "2")
METHODS: Final = {
    "predict": "predict",
    "predict_proba": "predict_proba",
    "predict_log_proba": "predict_proba",
    "decision_function": "predict",
    "transform": "transform",
}
QUIET: Final = ("fit", "partial_fit", "fit_predict", "fit_transform", "score")
_LABEL: Final = [0, 1]
_ENDS_IN: Final = ("best_estimator_", "estimator")
"""Where a search has what it found, or looks for."""
_LISTS: Final = ("steps", "transformers_", "transformer_list")
"""Where a model has its parts by name: tuples that begin with the name and the part."""
_SINGLE: Final = {
    "best_estimator_": "",  # a search is what it found
    "estimator_": "estimator",
    "regressor_": "regressor",
    "final_estimator_": "final_estimator",
}
"""Where a model has one part, and what that is called."""
_ONE_PER_OUTPUT: Final = ("sklearn.multioutput", "sklearn.multiclass")
"""Modules whose models have one estimator for each output or class."""


def describe(model: Any) -> Description:
    """What an estimator knows of itself; before it is fitted, less."""
    from sklearn.base import is_classifier, is_outlier_detector, is_regressor

    classes, task, positive = _classes(model), None, None
    if _labels(model):
        task, classes = semconv.MULTILABEL, _labels(model)
    elif is_classifier(model) and classes:
        task = semconv.BINARY if len(classes) == 2 else semconv.MULTICLASS
        positive = positive_by_default(classes)
    elif is_outlier_detector(model):
        task, classes = semconv.BINARY, (-1, 1)
    elif is_regressor(model):
        task = semconv.REGRESSION
    return Description(
        name=_name(model),
        framework="sklearn",
        task=task,
        classes=classes,
        positive=positive,
        threshold=_threshold(model) if task == semconv.BINARY else None,
        columns=_columns(model),
        answers_per_row=1 if task == semconv.MULTILABEL else _answers_per_row(model),
    )


def read(description: Description, method: str) -> Reading:
    """How answers are read: `decision_function` says a class only by the rule for two of them."""
    classes = description.classes
    output: Callable[[Any], object] | None = None
    if description.answers_per_row > 1:
        output = partial(_refused, description.answers_per_row)
    elif description.task == semconv.MULTILABEL:
        output = partial(_sets, classes, method)
    elif method == "decision_function":
        # Outliers are those below zero, the second of two classes is above.
        output = partial(_decided, classes, description.positive is None and classes == (-1, 1))
    elif method == "predict_log_proba":
        output = np.exp
    return Reading(output=output, floats_are_classes=bool(classes))


def parts(model: Any) -> Iterable[tuple[str, object]]:
    """The models that a model is made of, by their names."""
    for place in _LISTS:
        for listed in getattr(model, place, None) or ():
            yield listed[0], listed[1]
    for place, name in _SINGLE.items():
        if (found := getattr(model, place, None)) is not None:
            yield name, found
    named = getattr(model, "named_estimators_", None)
    if isinstance(named, dict):
        yield from named.items()
    for index, calibrated in enumerate(getattr(model, "calibrated_classifiers_", None) or ()):
        yield f"calibrated {index}", calibrated.estimator
    yield from _outputs(model)


def _outputs(model: Any) -> Iterator[tuple[str, object]]:
    if any(kind.__module__ in _ONE_PER_OUTPUT for kind in type(model).__mro__):
        for index, found in enumerate(getattr(model, "estimators_", None) or ()):
            yield f"output {index}", found


def _classes(model: Any) -> tuple[object, ...]:
    found = getattr(model, "classes_", None)
    if not isinstance(found, np.ndarray):  # several outputs have a list of classes each
        return ()
    return tuple(found.tolist())


def _columns(model: Any) -> tuple[str, ...]:
    found = getattr(model, "feature_names_in_", None)
    return tuple(map(str, found)) if isinstance(found, np.ndarray) else ()


def _labels(model: Any) -> tuple[object, ...]:
    """The labels of a model that says of each whether it holds; others have none."""
    found = getattr(model, "classes_", None)
    if isinstance(found, list) and all(list(known) == _LABEL for known in found):
        return tuple(range(len(found)))
    if getattr(model, "multilabel_", False) is True and found is not None:
        return tuple(np.asarray(found).tolist())
    return ()


def _answers_per_row(model: Any) -> int:
    """How many a model says that there are; some show it in their answers only."""
    classes = getattr(model, "classes_", None)
    count: Any = getattr(model, "n_outputs_", 1)  # of a network that classifies, its classes
    if classes is not None:
        count = len(classes) if isinstance(classes, list) else 1
    elif type(model).__module__ == _ONE_PER_OUTPUT[0]:
        count = len(getattr(model, "estimators_", None) or ())
    return count if isinstance(count, int) else 1


def _refused(count: int, answer: Any) -> object:
    raise Misfit(
        f"{count} answers per row, and a prediction has one; for one of them call "
        "inferspan.wrap(model, model='…', output=lambda answer: answer[:, 0])"
    )


def _name(model: Any) -> str:
    steps = getattr(model, "steps", None)
    if isinstance(steps, list) and steps:
        return _name(steps[-1][1])
    if hasattr(model, "scoring") and hasattr(model, "refit"):
        for place in _ENDS_IN:
            if (found := getattr(model, place, None)) is not None:
                return _name(found)
    return type(model).__name__


def _threshold(model: Any) -> float | None:
    """The threshold of a classifier that has one, where it is one of probabilities."""
    found = getattr(model, "best_threshold_", getattr(model, "threshold", None))
    how = getattr(model, "response_method", None)
    of_probabilities = how == "predict_proba" or (
        how == "auto" and hasattr(getattr(model, "estimator_", None), "predict_proba")
    )
    if not of_probabilities or not isinstance(found, (float, int)) or not 0 <= found <= 1:
        return None
    return float(found)


def _decided(classes: tuple[object, ...], zero_counts: bool, scores: Any) -> list[object]:
    if len(classes) != 2 or not isinstance(scores, np.ndarray) or scores.ndim != 1:
        raise Misfit("decision_function of other than two known classes says no class")
    return [classes[int(above)] for above in (scores >= 0 if zero_counts else scores > 0)]


def _sets(labels: tuple[object, ...], method: str, answer: Any) -> list[list[object]]:
    """The labels that hold, row by row; of probabilities, those that are likelier than not."""
    if isinstance(answer, list):  # an array of two columns for each label
        answer = np.column_stack([column[:, -1] for column in answer])
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    floor = {"predict_proba": 0.5, "predict_log_proba": np.log(0.5)}.get(method, 0.0)
    return [[labels[at] for at in np.flatnonzero(row > floor)] for row in np.asarray(answer)]


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
    parts=parts,
)
