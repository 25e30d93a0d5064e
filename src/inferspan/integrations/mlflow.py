"""MLflow: models that `mlflow.pyfunc.load_model` answers, whatever flavour they are of.

What is patched: `predict` of `mlflow.pyfunc.PyFuncModel` and its subclasses. `predict_stream` is
left as it is.

What appears: a call is one prediction; where the flavour's own library is instrumented, too, its
call within is a stage. Task and classes are those of the model within, of scikit-learn, XGBoost,
LightGBM and CatBoost, and its answers are read as that library's are. Name, version, task, classes
(a list), positive class and threshold are what the model's `metadata` say under the names of our
attributes (`inferspan.model.name` …). Else the name is the class of the model within, and the
version the id that MLflow gave the model. What MLflow itself asks, to validate or evaluate, is no
prediction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from inferspan import semconv
from inferspan.attributes import NAME_LENGTH_MAX, text
from inferspan.integration import Description, Integration, Reading, Supported, as_told

SUPPORTED: Final = Supported("mlflow", "2.22", "4")
METHODS: Final = {"predict": "predict"}
_WITHIN: Final = ("catboost", "lightgbm", "xgboost", "sklearn")
"""Libraries whose models are known within, the ones that build on others first."""
_FLAVOUR: Final = "python_function"


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowDescription(Description):
    """A model of MLflow, and the one within."""

    library: str | None = None
    """Whose integration reads what the one within answers; None = nobody knows."""
    method: str = "predict"
    """The method of the one within that is called."""
    within: Description | None = None


def describe(model: Any) -> MlflowDescription:
    """What a model says in its metadata, and what is known of the one within."""
    saved = model.metadata
    told = saved.metadata if isinstance(saved.metadata, Mapping) else {}
    library, within, name = _within(model)
    found = within or Description(name=name)
    version = getattr(saved, "model_id", None) or saved.model_uuid
    known = MlflowDescription(
        name=_text(told.get(semconv.MODEL_NAME)) or name,
        version=_text(told.get(semconv.MODEL_VERSION)) or _text(version),
        framework="mlflow",
        task=found.task,
        classes=found.classes,
        positive=found.positive,
        threshold=found.threshold,
        columns=found.columns,
        form=found.form,
        library=library,
        method=str(saved.flavors.get(_FLAVOUR, {}).get("predict_fn", "predict")),
        within=within,
    )
    return as_told(known, told)


def read(description: Description, method: str) -> Reading | None:
    """How answers are read: as those of the model within."""
    if not isinstance(description, MlflowDescription) or description.within is None:
        return Reading()
    read_within = import_module(f"inferspan.integrations.{description.library}").read
    found: Reading | None = read_within(description.within, description.method)
    return found


def _within(model: Any) -> tuple[str | None, Description | None, str]:
    """The library of the model within, what that knows of it, and what it is called."""
    try:
        raw = model.get_raw_model()
    except Exception:  # of flavours that have none to give, each in its own way
        raw = None
    kinds = {kind.__module__.partition(".")[0] for kind in type(raw).__mro__}
    for library in _WITHIN:
        if library in kinds:
            within = import_module(f"inferspan.integrations.{library}").describe(raw)
            return library, within, within.name
    return None, None, type(_own(model) if raw is None else raw).__name__


def _own(model: Any) -> object:
    """The object of the user's that answers; where there is none, the model itself."""
    try:
        return model.unwrap_python_model()
    except Exception:  # as above
        return model


def _text(value: object) -> str | None:
    return text(str(value), NAME_LENGTH_MAX) if value else None


def _classes() -> tuple[type, ...]:
    import mlflow.pyfunc

    return (mlflow.pyfunc.PyFuncModel,)


INTEGRATION: Final = Integration(
    library="mlflow",
    supported=SUPPORTED,
    classes=_classes,
    methods=METHODS,
    internal=frozenset(("mlflow",)),
    describe=describe,
    read=read,
)
