"""ONNX Runtime: every `InferenceSession`.

What is patched: `run`, `run_async`, `run_with_ort_values` and `run_with_iobinding` of
`onnxruntime.InferenceSession` and its subclasses.

What appears: a call is one prediction; that of `run_async` ends once it calls back. Name, version,
task, classes, positive class and threshold are what the model's metadata say under the names of our
attributes (`inferspan.model.name` …). Else the name is the graph's, where it is not one that an
exporter made up, or the file's; the version is the model's, where it is above 0; task and classes
are those of the operator (of `ai.onnx.ml`) or the ZipMap that the results come from. With classes
of 0 and 1, or -1 and 1, the positive one is 1. The hash is that of the file or the bytes, of up to
64 MiB. Under IO binding inputs are not seen, and outputs that lie on a device are not copied.
"""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from inferspan import semconv
from inferspan.attributes import NAME_LENGTH_MAX
from inferspan.integration import (
    CalledBack,
    Description,
    Integration,
    Reading,
    Supported,
    positive_by_default,
)
from inferspan.onnx_files import Origin, read_file
from inferspan.onnx_results import OnnxDescription, asked, bound, fed, fed_values, no_inputs

SUPPORTED: Final = Supported("onnxruntime", "1.19", "2")
METHODS: Final = {
    "run": "predict",
    "run_async": "predict",
    "run_with_ort_values": "predict",
    "run_with_iobinding": "predict",
}
_MADE_UP: Final = re.compile(
    r"[0-9a-f-]{32,36}|main_graph|torch[-_]jit([-_]export)?|tf2onnx|model|"
)
"""What exporters call a graph that nobody named."""
_UNVERSIONED: Final = (1 << 63) - 1
"""What the runtime answers for a model without a version."""
_REGRESSORS: Final = frozenset(("LinearRegressor", "TreeEnsembleRegressor", "SVMRegressor"))
_LABEL_TYPES: Final = ("tensor(int64)", "tensor(string)")
_MAPS: Final = ("seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))")
_FLOATS: Final = ("tensor(float)", "tensor(double)", "tensor(float16)")
_INPUTS: Final = {"run_with_iobinding": no_inputs, "run_with_ort_values": fed_values}
_known: Final[weakref.WeakKeyDictionary[object, OnnxDescription]] = weakref.WeakKeyDictionary()
"""A session never answers for another model than the one it was made of."""


def describe(model: Any) -> Description:
    """What a session knows of its model: from its metadata, its outputs and its file."""
    found = _known.get(model)
    if found is None:
        found = _known[model] = _describe(model)
    return found


def read(description: Description, method: str) -> Reading:
    """How results are read, of those that were asked for."""
    if not isinstance(description, OnnxDescription):
        return Reading()
    return Reading(
        answer=partial(bound if method == "run_with_iobinding" else asked, description),
        inputs=_INPUTS.get(method, fed),
        called_back=_CALLED_BACK if method == "run_async" else None,
    )


def _describe(session: Any) -> OnnxDescription:
    meta, outputs = session.get_modelmeta(), session.get_outputs()
    told = {str(key): str(value) for key, value in meta.custom_metadata_map.items()}
    label, probabilities = _places(outputs)
    # There is no public name for what a session was made of; without it we know less.
    path, held = (getattr(session, name, None) for name in ("_model_path", "_model_bytes"))
    file = read_file(path if held is None else held, [label, probabilities or outputs[0].name])
    origin = file.origins[-1]
    found = next((o.labels for o in reversed(file.origins) if o and o.labels), ())
    classes = _classes(told) or found
    task = told.get(semconv.TASK_TYPE)
    if task not in semconv.TASKS:
        task = _task(outputs, label, probabilities, classes, origin)
    positive: object = told.get(semconv.OUTPUT_POSITIVE_CLASS)
    if positive is None and task == semconv.BINARY:
        positive = positive_by_default(classes)
    return OnnxDescription(
        name=_name(told, meta.graph_name, path),
        version=told.get(semconv.MODEL_VERSION) or _version(meta.version),
        artifact_hash=file.artifact_hash,
        framework="onnxruntime",
        task=task,
        classes=classes,
        positive=positive,
        threshold=_threshold(told) if task == semconv.BINARY else None,
        outputs=tuple(output.name for output in outputs),
        label=label,
        probabilities=probabilities,
    )


def _places(outputs: Sequence[Any]) -> tuple[str | None, str | None]:
    """The outputs that are a class per row, and a probability per row and class."""
    labels = [o for o in outputs if o.type in _LABEL_TYPES and len(o.shape) == 1]
    scores = [o for o in outputs if o.type in _MAPS or (o.type in _FLOATS and len(o.shape) == 2)]
    if len(labels) != 1 or len(scores) > 1:
        return None, None
    return labels[0].name, scores[0].name if scores else None


def _classes(told: Mapping[str, str]) -> tuple[object, ...]:
    try:
        listed = json.loads(told.get(semconv.OUTPUT_CLASSES, "[]"))
    except ValueError:
        return ()
    return tuple(listed) if isinstance(listed, list) else ()


def _task(
    outputs: Sequence[Any],
    label: str | None,
    probabilities: str | None,
    classes: tuple[object, ...],
    origin: Origin | None,
) -> str | None:
    if label is None:
        one = len(outputs) == 1 and outputs[0].type in _FLOATS
        return semconv.REGRESSION if one and origin and origin.operator in _REGRESSORS else None
    count = len(classes)
    if not count and probabilities is not None:
        (found,) = (output for output in outputs if output.name == probabilities)
        count = found.shape[1] if found.shape and isinstance(found.shape[1], int) else 0
    if not count:
        return None
    return semconv.BINARY if count == 2 else semconv.MULTICLASS


def _name(told: Mapping[str, str], graph: str, path: str | None) -> str:
    if told.get(semconv.MODEL_NAME):
        return told[semconv.MODEL_NAME][:NAME_LENGTH_MAX]
    if graph and not _MADE_UP.fullmatch(graph):
        return graph[:NAME_LENGTH_MAX]
    return (Path(path).stem if path else "") or "InferenceSession"


def _version(version: int) -> str | None:
    return str(version) if 0 < version < _UNVERSIONED else None


def _threshold(told: Mapping[str, str]) -> float | None:
    try:
        found = float(told[semconv.OUTPUT_THRESHOLD])
    except (KeyError, ValueError):
        return None
    return found if 0 <= found <= 1 else None


def _called_back(results: Any, user_data: Any, error: str) -> tuple[object, BaseException | None]:
    return results, RuntimeError(error) if error else None


_CALLED_BACK: Final = CalledBack(name="callback", position=2, answered=_called_back)


def _classes_to_patch() -> tuple[type, ...]:
    import onnxruntime

    return (onnxruntime.InferenceSession,)


INTEGRATION: Final = Integration(
    library="onnxruntime",
    supported=SUPPORTED,
    classes=_classes_to_patch,
    methods=METHODS,
    internal=frozenset(("onnxruntime",)),
    describe=describe,
    read=read,
)
