"""MLServer: the runtimes that answer in it, its own and yours.

What is patched: `predict` of `mlserver.MLModel` and its subclasses. `predict_stream` is left as it
is.

What appears: a call is one prediction of the model and version that MLServer calls it, also in its
worker processes: the caller's trace and prediction id are among the request's own parameters, where
MLServer puts the headers of HTTP and the metadata of gRPC. Where the library within is
instrumented, too, its call is a stage. Task, classes (a list), positive class and threshold are
what `parameters.extra` of the model's settings says under the names of our attributes
(`inferspan.task.type` …). The answer is the one output there is, or the one that is called
`predict` or `label`. Under adaptive batching the batch is one prediction of many rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from inferspan.arguments import Arguments, Keywords
from inferspan.inference_tensors import RemoteTensor, answering, by_row
from inferspan.integration import Description, Integration, Reading, Supported, as_told

SUPPORTED: Final = Supported("mlserver", "1.6", "2")
METHODS: Final = {"predict": "predict"}
_PARALLEL: Final = "mlserver.parallel."
"""Where the class is whose objects hand requests on to a worker, which predicts."""
_ELSEWHERE: Final = "predicts elsewhere"


def describe(model: Any) -> Description:
    """What MLServer knows of a model, and its settings say."""
    parameters = model.settings.parameters
    told = getattr(parameters, "extra", None) or {}
    known = Description(
        name=str(model.name),
        version=str(model.version) if model.version else None,
        framework="mlserver",
        form=_ELSEWHERE if type(model).__module__.startswith(_PARALLEL) else None,
    )
    return as_told(known, told)


def read(description: Description, method: str) -> Reading | None:
    """How answers are read, and where their callers' headers are."""
    if description.form == _ELSEWHERE:
        return None
    return Reading(answer=_answer, inputs=_inputs, carried=_headers)


def _payload(arguments: Arguments, keywords: Keywords) -> Any:
    return arguments[0] if arguments else next(iter(keywords.values()))


def _inputs(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    return {
        tensor.name: RemoteTensor(tuple(tensor.shape), str(tensor.datatype))
        for tensor in _payload(arguments, keywords).inputs
    }


def _headers(arguments: Arguments, keywords: Keywords) -> Iterable[tuple[str, str]]:
    parameters = _payload(arguments, keywords).parameters
    return list((getattr(parameters, "headers", None) or {}).items())


def _answer(arguments: Arguments, keywords: Keywords, answer: Any) -> object:
    from mlserver.codecs import NumpyCodec

    output = answer.outputs[answering([output.name for output in answer.outputs])]
    return by_row(np.asarray(NumpyCodec.decode_output(output)))


def _classes() -> tuple[type, ...]:
    import mlserver

    return (mlserver.MLModel,)


INTEGRATION: Final = Integration(
    library="mlserver",
    supported=SUPPORTED,
    classes=_classes,
    methods=METHODS,
    internal=frozenset(),
    describe=describe,
    read=read,
)
