"""MLServer: the runtimes that answer in it, its own and yours.

What is patched: `predict` of `mlserver.MLModel` and its subclasses, and of adaptive batching
`AdaptiveBatcher.predict`, in which requests wait, and `BatchedRequests`, which say what is together
(both of `mlserver.batching`). `predict_stream` is left as it is.

What appears: a call is one prediction of the model and version that MLServer calls it, also in its
worker processes: the caller's trace and prediction id are among the request's own parameters, where
MLServer puts the headers of HTTP and the metadata of gRPC; the id goes back among the answer's.
Where the library within is instrumented, too, its call is a stage. Task, classes (a list), positive
class and threshold are what `parameters.extra` of the model's settings says under the names of our
attributes (`inferspan.task.type` …). The answer is the one output there is, or the one that is
called `predict` or `label`. Under adaptive batching each request is a prediction in the server
itself, and the call of the model is a batch that is linked to all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from inferspan.arguments import Arguments, Keywords, first_given
from inferspan.inference_tensors import answering, by_row, tensors_of
from inferspan.integration import (
    Description,
    Gathering,
    Integration,
    Reading,
    Supported,
    as_told,
)
from inferspan.served_requests import PREDICTION_ID_HEADER

SUPPORTED: Final = Supported("mlserver", "1.6", "2")
_GATHERED: Final = "predict, gathered"
METHODS: Final = {"predict": "predict", _GATHERED: "predict"}
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
    if description.form == _ELSEWHERE and method != _GATHERED:
        return None
    return Reading(answer=_answer, inputs=_inputs, carried=_headers, returned=_return)


def _inputs(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    return tensors_of(first_given(arguments, keywords).inputs)


def _headers(arguments: Arguments, keywords: Keywords) -> Iterable[tuple[str, str]]:
    parameters = first_given(arguments, keywords).parameters
    return list((getattr(parameters, "headers", None) or {}).items())


def _return(answer: Any, prediction_id: str) -> None:
    found = (answer.parameters and answer.parameters.headers) or {}
    if all(name.lower() != PREDICTION_ID_HEADER for name in found):
        _put_headers(answer, {**found, PREDICTION_ID_HEADER: prediction_id})


def _put_headers(message: Any, headers: Mapping[str, str]) -> None:
    from mlserver.types import Parameters

    # A copy, for the answers of a batch share theirs.
    parameters = message.parameters or Parameters()
    message.parameters = parameters.model_copy(update={"headers": dict(headers)})


def _answer(arguments: Arguments, keywords: Keywords, answer: Any) -> object:
    from mlserver.codecs import NumpyCodec

    output = answer.outputs[answering([output.name for output in answer.outputs])]
    return by_row(np.asarray(NumpyCodec.decode_output(output)))


def _classes() -> tuple[type, ...]:
    import mlserver

    return (mlserver.MLModel,)


def _queues() -> tuple[type, ...]:
    from mlserver.batching import AdaptiveBatcher

    return (AdaptiveBatcher,)


def _model(queue: Any) -> Any:
    return queue._model


def _batches() -> tuple[type, ...]:
    from mlserver.batching import BatchedRequests

    return (BatchedRequests,)


def _together(batch: Any) -> tuple[object, Sequence[object]]:
    return batch.merged_request, list(batch.inference_requests.values())


def _send(request: Any, headers: Mapping[str, str]) -> None:
    """Tell what the requests have become one of: it has the headers of the last of them."""
    found = (request.parameters and request.parameters.headers) or {}
    of_one = {PREDICTION_ID_HEADER, *headers}
    kept = {name: value for name, value in found.items() if name.lower() not in of_one}
    _put_headers(request, {**kept, **headers})


INTEGRATION: Final = Integration(
    library="mlserver",
    supported=SUPPORTED,
    classes=_classes,
    methods=METHODS,
    internal=frozenset(),
    describe=describe,
    read=read,
    gathering=Gathering(
        queues=_queues,
        waits="predict",
        model=_model,
        called="predict",
        method=_GATHERED,
        batches=_batches,
        together=_together,
        send=_send,
    ),
)
