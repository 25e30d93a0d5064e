"""Results of an ONNX model → its answer: which is the class, which the probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inferspan import semconv
from inferspan.arguments import Arguments, Keywords
from inferspan.integration import Description
from inferspan.output_columns import Misfit


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxDescription(Description):
    """What a session knows of its model, and where among its outputs the answer is."""

    outputs: tuple[str, ...] = ()
    label: str | None = None
    probabilities: str | None = None


def no_inputs(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    """What was bound before the call cannot be asked for."""
    return {}


def fed(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    """What the model is given: the second argument, whatever it is called."""
    given = arguments[1] if len(arguments) > 1 else None
    if keywords:
        for name in ("input_feed", "input_dict_ort_values"):
            given = keywords.get(name, given)
    if type(given) is dict and {*map(type, given)} == {str}:  # as it should be
        return given
    return {str(name): value for name, value in dict(given or {}).items()}


def fed_values(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    """As `fed`, of what lies in the memory of the processor."""
    given = fed(arguments, keywords)
    on_cpu = {name: value for name, value in given.items() if value.device_name() == "cpu"}  # type: ignore[attr-defined]
    return {name: _readable(value) for name, value in on_cpu.items()}


def asked(
    description: OnnxDescription, arguments: Arguments, keywords: Keywords, answer: Any
) -> object:
    """The answer among the results that were asked for by name."""
    if len(answer) == 1 and description.label is None and description.probabilities is None:
        return _alone(description, answer[0])
    names = (arguments[0] if arguments else keywords.get("output_names")) or description.outputs
    return _answer(description, dict(zip(names, answer, strict=True)))


def bound(
    description: OnnxDescription, arguments: Arguments, keywords: Keywords, answer: Any
) -> object:
    """The answer among the results that were bound to places."""
    binding = arguments[0] if arguments else keywords["iobinding"]
    values = binding.get_outputs()
    if len(values) != len(description.outputs):
        raise Misfit("some outputs only are bound; bind all of them, in the order of the model")
    return _answer(description, dict(zip(description.outputs, values, strict=True)))


def _answer(description: OnnxDescription, results: Mapping[str, Any]) -> object:
    """Label and probabilities, where these are known; else the one result there is."""
    label = results.get(description.label or "")
    scores = results.get(description.probabilities or "")
    if label is None and scores is None:
        if len(results) != 1:
            raise Misfit(
                f"{len(results)} outputs, of which none is known to be the answer; ask for one "
                "by name, or say so by @inferspan.predict(output=…) around the call"
            )
        (only,) = results.values()
        return _alone(description, only)
    parts = {}
    if label is not None:
        parts["label"] = _readable(label)
    if scores is not None and description.classes:
        parts["probabilities"] = _matrix(_readable(scores), description.classes)
    return parts


def _alone(description: OnnxDescription, only: Any) -> object:
    """The one result there is."""
    return _flat(_readable(only)) if description.task == semconv.REGRESSION else _readable(only)


def _readable(value: Any) -> Any:
    """An `OrtValue` as the array that it holds; everything else as it is."""
    if type(value) is np.ndarray or not hasattr(type(value), "device_name"):
        return value
    if not value.is_tensor():
        raise Misfit("an OrtValue without a tensor; ask for tensors only")
    if (device := value.device_name()) != "cpu":
        raise Misfit(f"it is on {device}, and not copied for us; bind outputs to cpu")
    return value.numpy()


def _matrix(scores: Any, classes: tuple[object, ...]) -> Any:
    if not isinstance(scores, list):
        return scores
    return np.array([[row[known] for known in classes] for row in scores])


def _flat(values: Any) -> Any:
    array = isinstance(values, np.ndarray) and values.ndim == 2 and values.shape[1] == 1
    return values.reshape(-1) if array else values
