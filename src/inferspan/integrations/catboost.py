"""CatBoost: its scikit-learn API and `CatBoost`, asked with arrays, frames and `Pool`s.

What is patched: `predict`, `predict_proba` and `predict_log_proba` of `CatBoost` and what derives
from it, and the methods that learn, judge or load, in which nothing is a prediction. `staged_…` and
`virtual_ensembles_predict` are left as they are.

What appears: a call that your code makes is one prediction, named after the class of the model.
Task and classes follow from what it was trained for. Answers are read by the `prediction_type` that
was asked for: raw values say the class that CatBoost answers by them (above the probability
threshold that is set, the greatest of several), or the value where the loss is one of logarithms;
of a mean and a variance, the mean is the value. A ranker's scores have no task.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from inferspan import semconv
from inferspan.arguments import Arguments, Keywords
from inferspan.integration import Description, Integration, Reading, Supported, positive_by_default
from inferspan.output_columns import Misfit

SUPPORTED: Final = Supported("catboost", "1.2", "2")
METHODS: Final = {
    "predict": "predict",
    "predict_proba": "predict_proba",
    "predict_log_proba": "predict_proba",
}
QUIET: Final = (
    "fit",
    "score",
    "eval_metrics",
    "grid_search",
    "randomized_search",
    "select_features",
    "load_model",
    "set_probability_threshold",
)
_SEVERAL_HOLD: Final = ("MultiLogloss", "MultiCrossEntropy")
_SEVERAL_VALUES: Final = ("MultiQuantile", "MultiRMSE", "MultiRMSEWithMissingValues")
_OF_LOGARITHMS: Final = ("Poisson", "Tweedie")
_NUMBERS: Final = frozenset(
    (
        *_OF_LOGARITHMS,
        *_SEVERAL_VALUES,
        "Expectile",
        "Huber",
        "LogCosh",
        "Lq",
        "MAE",
        "MAPE",
        "Quantile",
        "RMSE",
        "RMSEWithUncertainty",
    )
)
_EVEN: Final = 0.5
"""The threshold of a model that has none set."""
_RAW, _CLASS, _PROBABILITY = "RawFormulaVal", "Class", "Probability"
_LOG_PROBABILITY, _EXPONENT, _UNCERTAIN = "LogProbability", "Exponent", "RMSEWithUncertainty"
_ASKED: Final = {"predict_proba": _PROBABILITY, "predict_log_proba": _LOG_PROBABILITY}


def describe(model: Any) -> Description:
    """What a model knows of itself; before it is fitted, less."""
    import catboost

    name = type(model).__name__
    if not model.is_fitted():
        return Description(name=name, framework="catboost")
    loss = str(model.get_all_params().get("loss_function", "")).partition(":")[0]
    classes: tuple[object, ...] = tuple(np.asarray(model.classes_).tolist())
    task: str | None = None
    if loss in _SEVERAL_HOLD:
        task = semconv.MULTILABEL
    elif classes:
        task = semconv.BINARY if len(classes) == 2 else semconv.MULTICLASS
    elif loss in _NUMBERS or isinstance(model, catboost.CatBoostRegressor):
        task = semconv.REGRESSION
    threshold = _EVEN
    if task == semconv.BINARY and isinstance(model, catboost.CatBoostClassifier):
        threshold = model.get_probability_threshold()
    return Description(
        name=name,
        framework="catboost",
        task=task,
        classes=classes,
        positive=positive_by_default(classes) if task == semconv.BINARY else None,
        threshold=None if threshold == _EVEN else threshold,
        columns=tuple(model.feature_names_),
        form=f"{_usual(model, loss)} {loss}",
    )


def read(description: Description, method: str) -> Reading:
    """How answers are read: by what was asked for, and by what the model was trained for."""
    usual = _ASKED.get(method) or (description.form or "").partition(" ")[0]
    classifies = bool(description.classes) and description.task != semconv.MULTILABEL
    dimensions = {_CLASS: 1, _PROBABILITY: 2}.get(usual) if classifies else None

    def answer(arguments: Arguments, keywords: Keywords, answer: Any) -> object:
        # Most calls ask for nothing else than usual, and what they get is read as it is.
        as_it_is = type(answer) is np.ndarray and answer.ndim == dimensions
        if as_it_is and len(arguments) == 1 and not keywords:
            return answer
        return _answer(method, description, arguments, keywords, answer)

    return Reading(answer=answer, floats_are_classes=bool(description.classes))


def _usual(model: Any, loss: str) -> str:
    """What `predict` asks for where the call does not say it."""
    import catboost

    if isinstance(model, catboost.CatBoostClassifier):
        return _CLASS
    of_logarithms = loss in _OF_LOGARITHMS and isinstance(model, catboost.CatBoostRegressor)
    return _EXPONENT if of_logarithms else _RAW


def _answer(
    method: str, described: Description, arguments: Arguments, keywords: Keywords, answer: Any
) -> object:
    usual, _, loss = (described.form or "").partition(" ")
    asked = _ASKED.get(method) or keywords.get("prediction_type")
    if asked is None and len(arguments) > 1 and isinstance(arguments[1], str):
        asked = arguments[1]
    asked = asked or usual
    found = np.asarray(answer)
    if described.task == semconv.MULTILABEL:
        if asked == _EXPONENT:  # above 0 for every row and label
            raise Misfit(f"prediction_type={asked!r} says no class; ask for {_PROBABILITY}")
        return _sets(described.classes, asked, found)
    if described.classes:
        return _class_or_probabilities(described, asked, found)
    if loss == _UNCERTAIN and asked in (_RAW, _UNCERTAIN) and found.shape[-1:] == (2,):
        return found[..., 0]
    if loss in _OF_LOGARITHMS:
        found, asked = (np.exp(found), _EXPONENT) if asked == _RAW else (found, asked)
    if asked != (_EXPONENT if loss in _OF_LOGARITHMS else _RAW):
        raise Misfit(f"prediction_type={asked!r} is not what a model of {loss} was trained for")
    if loss in _SEVERAL_VALUES and found.ndim == 1:
        data: Any = arguments[0] if arguments else keywords.get("data")
        return np.atleast_2d(found) if np.ndim(data) == 1 else found  # one row, not several
    return found


def _class_or_probabilities(described: Description, asked: str, found: Any) -> object:
    classes = described.classes
    if asked == _CLASS:
        return found.reshape(-1) if found.ndim == 2 else found[()]
    if asked == _LOG_PROBABILITY:
        found = np.exp(found)
    if asked in (_PROBABILITY, _LOG_PROBABILITY):
        return np.atleast_2d(found)
    if asked != _RAW:
        raise Misfit(f"prediction_type={asked!r} says no class; ask for {_PROBABILITY}")
    if len(classes) == 2:
        likely = described.threshold or _EVEN
        at = (found > np.log(likely / (1 - likely))).astype(int)
    else:
        at = np.argmax(found, axis=-1)
    return np.array(classes, object)[at] if at.ndim else classes[int(at)]


def _sets(labels: tuple[object, ...], asked: str, found: Any) -> object:
    """The labels that hold, row by row."""
    floor = {_PROBABILITY: _EVEN, _LOG_PROBABILITY: np.log(_EVEN)}.get(asked, 0.0)
    return [[labels[at] for at in np.flatnonzero(row > floor)] for row in np.atleast_2d(found)]


def _classes() -> tuple[type, ...]:
    import catboost

    return (catboost.CatBoost,)


INTEGRATION: Final = Integration(
    library="catboost",
    supported=SUPPORTED,
    classes=_classes,
    methods=METHODS,
    quiet=QUIET,
    internal=frozenset(("catboost", "sklearn", "_catboost")),
    describe=describe,
    read=read,
)
