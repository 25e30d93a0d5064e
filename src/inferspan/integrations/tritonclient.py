"""tritonclient: what Triton, KServe, MLServer and others answer over the Open Inference Protocol.

What is patched: `infer` of the clients for HTTP and gRPC, plain and of asyncio, and `async_infer`
of that for gRPC, which calls back. `async_infer` for HTTP, whose answer is fetched by another call,
and streams are left as they are.

What appears: a call is one prediction, of kind CLIENT, of the model and version that are its
arguments; `inputs` are its inputs, by name, with shape and type. The answer is the one output there
is, or the one that is called `label`. Task and classes are the server's secret: declare
them. The trace and the prediction's id go along in `headers`, unless the caller's say so
themselves, and the id as `request_id` where the caller gives none; `prediction_id="request_id"`
takes ids from that argument. What lies in shared memory stays.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from inferspan.arguments import Arguments, Keywords
from inferspan.attributes import NAME_LENGTH_MAX, text
from inferspan.inference_tensors import RemoteTensor, answering, by_row
from inferspan.integration import (
    Asked,
    CalledBack,
    Description,
    Integration,
    Reading,
    SentAlong,
    Supported,
)
from inferspan.output_columns import Misfit

SUPPORTED: Final = Supported("tritonclient", "2.68", "3")
METHODS: Final = {"infer": "predict", "async_infer": "predict"}
MODULES: Final = tuple(
    f"tritonclient.{module}" for module in ("http", "grpc", "http.aio", "grpc.aio")
)
"""Each with a client, and with needs of its own."""
_OVER_GRPC: Final = "tritonclient.grpc"
_OVER_HTTP: Final = "tritonclient.http"
_SENT_OVER_HTTP: Final = SentAlong(position=10, pairs=False, request_id=4)
_SENT_OVER_GRPC: Final = SentAlong(position=11, pairs=False, request_id=4)
_SENT_BEFORE: Final = SentAlong(position=12, pairs=False, request_id=5)
"""By the method that calls back."""


def describe(model: Any) -> Description:
    """What a client knows of a server's models: how it asks for them."""
    modules = [kind.__module__ for kind in type(model).__mro__]
    over_grpc = any(module.startswith(_OVER_GRPC) for module in modules)
    return Description(name=_OVER_GRPC if over_grpc else _OVER_HTTP)


def read(description: Description, method: str) -> Reading | None:
    """How answers are read; the call of another client whose answer is fetched later, not."""
    over_grpc, calls_back = description.name == _OVER_GRPC, method == "async_infer"
    if calls_back and not over_grpc:
        return None
    sent = _SENT_OVER_GRPC if over_grpc else _SENT_OVER_HTTP
    return Reading(
        asked=_asked,
        inputs=_inputs,
        answer=_answer,
        called_back=_CALLED_BACK if calls_back else None,
        sent=_SENT_BEFORE if calls_back else sent,
    )


def _asked(arguments: Arguments, keywords: Keywords) -> Asked:
    name = arguments[0] if arguments else keywords["model_name"]
    version = keywords.get("model_version", "")
    # After the name, the inputs, and the function that is called back, where there is one.
    for candidate in arguments[2:4]:
        version = candidate if isinstance(candidate, str) and not version else version
    return Asked(text(str(name), NAME_LENGTH_MAX), str(version) or None)


def _inputs(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    given = arguments[1] if len(arguments) > 1 else keywords.get("inputs", ())
    return {
        tensor.name(): RemoteTensor(tuple(int(n) for n in tensor.shape()), tensor.datatype())
        for tensor in given
    }


def _answer(arguments: Arguments, keywords: Keywords, result: Any) -> object:
    response = result.get_response()
    outputs = response.get("outputs", ()) if isinstance(response, dict) else response.outputs
    names = [o["name"] if isinstance(o, dict) else o.name for o in outputs]
    name = names[answering(names)]
    found = result.as_numpy(name)
    if found is None:
        raise Misfit(f"the output {name} lies in shared memory, and stays there")
    return by_row(found)


def _called_back(result: Any, error: BaseException | None) -> tuple[object, BaseException | None]:
    return result, error


_CALLED_BACK: Final = CalledBack(name="callback", position=2, answered=_called_back)


def _classes_to_patch() -> tuple[type, ...]:
    imported = (sys.modules.get(module) for module in MODULES)
    found = (getattr(module, "InferenceServerClient", None) for module in imported)
    return tuple(kind for kind in found if kind is not None)


INTEGRATION: Final = Integration(
    library="tritonclient",
    supported=SUPPORTED,
    classes=_classes_to_patch,
    modules=MODULES,
    methods=METHODS,
    internal=frozenset(("tritonclient",)),
    describe=describe,
    read=read,
)
