"""kserve: what its own clients ask of a model server, over HTTP and gRPC.

What is patched: `infer` of `kserve.InferenceRESTClient` and `kserve.InferenceGRPCClient`.
`explain`, and what is asked of an inference graph (`is_graph_endpoint`), are left as they are.

What appears: a call is one prediction, of kind CLIENT, of the model that its arguments name, and of
the version that an `InferRequest` names. The trace and the prediction's id go along in `headers`,
unless the caller's say so themselves. Inputs are seen by shape and type, of protocol v1 by
`instances`. The answer is the one output there is, or the one that is called `label` or `predict`;
of protocol v1 `predictions`. Task and classes are the server's secret: declare them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inferspan.arguments import Arguments, Keywords, first_given
from inferspan.attributes import NAME_LENGTH_MAX, text
from inferspan.inference_tensors import answering, by_row, tensors_of, told_tensors
from inferspan.integration import Asked, Description, Integration, Reading, SentAlong, Supported

SUPPORTED: Final = Supported("kserve", "0.16", "1")
METHODS: Final = {"infer": "predict"}
_OVER_GRPC: Final = "kserve.grpc"
_OVER_HTTP: Final = "kserve"
_NOT_TOLD: Final = object()


def describe(model: Any) -> Description:
    """What a client knows of a server's models: how it asks for them."""
    over_grpc = any(kind.__name__ == "InferenceGRPCClient" for kind in type(model).__mro__)
    return Description(name=_OVER_GRPC if over_grpc else _OVER_HTTP)


def read(description: Description, method: str) -> Reading | None:
    """How answers are read."""
    if description.name == _OVER_GRPC:
        return Reading(
            asked=_asked_by_request,
            inputs=_inputs_of_request,
            answer=_answer,
            sent=SentAlong(position=2, pairs=True),
        )
    return Reading(
        asked=_asked,
        inputs=_inputs,
        answer=_answer,
        sent=SentAlong(position=3, pairs=False),
    )


def _asked_by_request(arguments: Arguments, keywords: Keywords) -> Asked:
    request = first_given(arguments, keywords)
    return _named(request.model_name, request)


def _asked(arguments: Arguments, keywords: Keywords) -> Asked:
    name = arguments[2] if len(arguments) > 2 else keywords.get("model_name")
    return _named(name, _data(arguments, keywords))


def _named(name: object, request: object) -> Asked:
    version = getattr(request, "model_version", None)
    return Asked(
        text(str(name or ""), NAME_LENGTH_MAX),
        text(str(version), NAME_LENGTH_MAX) if version else None,
    )


def _data(arguments: Arguments, keywords: Keywords) -> Any:
    return arguments[1] if len(arguments) > 1 else keywords.get("data")


def _inputs_of_request(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    return tensors_of(first_given(arguments, keywords).inputs)


def _inputs(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    data = _data(arguments, keywords)
    if not isinstance(data, Mapping):
        return tensors_of(data.inputs)
    if (rows := data.get("instances", _NOT_TOLD)) is not _NOT_TOLD:
        return {"instances": rows}
    return told_tensors(data.get("inputs"))


def _answer(arguments: Arguments, keywords: Keywords, response: Any) -> object:
    if isinstance(response, Mapping):  # of protocol v1
        return response["predictions"]
    outputs = response.outputs
    return by_row(outputs[answering([output.name for output in outputs])].as_numpy())


def _classes() -> tuple[type, ...]:
    import kserve

    return (kserve.InferenceRESTClient, kserve.InferenceGRPCClient)


INTEGRATION: Final = Integration(
    library="kserve",
    supported=SUPPORTED,
    classes=_classes,
    methods=METHODS,
    plain={"is_graph_endpoint": False},
    internal=frozenset(),
    describe=describe,
    read=read,
)
