"""Models of a server, asked over the Open Inference Protocol by whatever sends your requests.

    infer = inferspan.open_inference.traced(httpx.Client(base_url="http://models:8080").post)
    infer("/v2/models/iris/infer", json={"inputs": […]})

No HTTP library is patched: what is traced is the one function that you name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial, update_wrapper
from typing import Any, Final, ParamSpec, TypeVar, cast
from urllib.parse import unquote, urlsplit

from opentelemetry.trace import SpanKind

from inferspan import inference_bodies, inference_messages
from inferspan.arguments import Arguments, Keywords, Parameters
from inferspan.asking import asking
from inferspan.attributes import NAME_LENGTH_MAX, text
from inferspan.calls import CallShape, Wrapper, wrapper_of
from inferspan.containment import Contained
from inferspan.declaration import Declaration, options_known
from inferspan.frozen import altered
from inferspan.inference_tensors import told_tensors
from inferspan.integration import Asked
from inferspan.sent_headers import SentHeaders, SentMetadata
from inferspan.usual_calls import starter

P = ParamSpec("P")
R = TypeVar("R")

_PATH: Final = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer/?\Z")
_FAILED: Final = 400
_TOLD: Final = "inferspan-told"
"""Under which name a call is handed what its request says: in bytes it is read once."""
_READ: Final = Contained("read a request to a model server")
_STATUS: Final = Contained("read the status of a model server's answer")


class RefusedInference(Exception):
    """What a span says where a server answers with an error; callers get the response itself."""

    def __init__(self, response: Any) -> None:
        super().__init__(f"the server answered {response.status_code}")
        self.response = response


@options_known
def traced(
    post: Callable[P, R],
    /,
    *,
    model: str | None = None,
    version: str | int | None = None,
    task: str | None = None,
    positive: object = None,
    classes: Iterable[object] | None = None,
    threshold: float | None = None,
    capture: str | None = None,
    sample_ratio: float | None = None,
) -> Callable[P, R]:
    """Trace what is asked of model servers by a function that posts.

    A call whose URL is `…/v2/models/NAME[/versions/VERSION]/infer` is a prediction of that model,
    of kind CLIENT: where the server records the same prediction under the same id, the server's
    counts. The trace (`traceparent`) and the id (`X-Prediction-Id`) are sent along, unless the call
    or its client has such headers itself. The id is the `id` of the request's JSON, where it has
    one. Shapes and types of the inputs are seen; the answer is the one output there is, or the one
    that is called `label` or `predict`; one that is streamed is not read. A status of 400 or above
    has failed. Other calls pass as they are. A request may be given in bytes (`content` or `data`),
    tensors following its JSON or within it; of that up to 64 KiB are read.

    Args:
        post: `post` of `requests`, of one of its sessions, or of a client of `httpx`, plain or of
            asyncio; or whatever takes a URL first, and by name `headers` and the body, as `json` or
            in bytes.
        model: what the model is called; absent = as the URL says.
        version: absent = as the URL says.
        task: this and the options below are as in `inferspan.predict`: they are the server's
            secret.
        positive: the positive class of a binary task.
        classes: in the order of the columns of probabilities.
        threshold: the score from which the positive class is answered.
        capture: `shapes`, `values` or `none`.
        sample_ratio: share of calls that get a full span.

    Raises:
        TypeError: `post` cannot be called, or an unknown option.
        ValueError: an option breaks its rule.
    """
    if not callable(post):
        raise TypeError(f"traced({post!r:.80}): must be a function; write traced(client.post)")
    declared = Declaration.of(
        model=model,
        version=version,
        task=task,
        positive=positive,
        classes=classes,
        threshold=threshold,
        capture=capture,
        sample_ratio=sample_ratio,
    )
    posting = _Posting(post, declared)
    later = posting.shape is CallShape.COROUTINE
    return cast(
        "Callable[P, R]", update_wrapper(posting.call_later() if later else posting.call(), post)
    )


class _Posting:
    """What posts, and how its calls are recorded."""

    def __init__(self, post: Callable[..., Any], declared: Declaration) -> None:
        self.shape = CallShape.of(post)
        self._post = post
        self._headers = SentHeaders(post)
        self._named, self._unnamed = (
            asking(_asked, partial(self._made, declared, source)) for source in (_id, None)
        )

    def _made(self, declared: Declaration, source: Any, asked: Asked) -> Wrapper:
        return _recorded(
            declared, self.shape, source, asked, inputs=_inputs, answer=inference_bodies.answer
        )

    def call(self) -> Callable[..., Any]:
        """What stands in the place of a plain function."""

        def sending(*args: Any, **kwargs: Any) -> Any:
            del kwargs[_TOLD]
            return _checked(self._post(*args, **self._headers.added(kwargs)))

        def call(*args: Any, **kwargs: Any) -> Any:
            wrapper, told = self._chosen(args, kwargs)
            if wrapper is None:
                return self._post(*args, **kwargs)
            try:
                return wrapper(sending, None, args, {**kwargs, _TOLD: told})
            except RefusedInference as refused:
                return refused.response

        return call

    def call_later(self) -> Callable[..., Any]:
        """What stands in the place of a coroutine function."""

        async def sending(*args: Any, **kwargs: Any) -> Any:
            del kwargs[_TOLD]
            return _checked(await self._post(*args, **self._headers.added(kwargs)))

        async def call(*args: Any, **kwargs: Any) -> Any:
            wrapper, told = self._chosen(args, kwargs)
            if wrapper is None:
                return await self._post(*args, **kwargs)
            try:
                return await wrapper(sending, None, args, {**kwargs, _TOLD: told})
            except RefusedInference as refused:
                return refused.response

        return call

    def _chosen(
        self, args: Arguments, kwargs: Keywords
    ) -> tuple[Wrapper | None, Mapping[str, Any]]:
        """What runs a call, where it asks a model, and what its request says."""
        with _READ:
            if args and _found(args[0]) is not None:
                told = inference_bodies.said(kwargs)
                return self._unnamed if told.get("id") is None else self._named, told
        return None, {}


@options_known
def traced_method(
    infer: Callable[P, R],
    /,
    *,
    model: str | None = None,
    version: str | int | None = None,
    task: str | None = None,
    positive: object = None,
    classes: Iterable[object] | None = None,
    threshold: float | None = None,
    capture: str | None = None,
    sample_ratio: float | None = None,
) -> Callable[P, R]:
    """As `traced`, for the method `ModelInfer` of a stub of gRPC: `traced_method(stub.ModelInfer)`.

    Trace and id are sent as metadata. What gRPC raises has failed, and is the caller's. That of a
    stub of asyncio answers a coroutine, to be awaited, which has no `code()` and `cancel()` as the
    calls of gRPC do. Of `with_call` and `future` nothing is traced.

    Args:
        infer: takes a `ModelInferRequest` first, and `metadata` by name or as stubs do.
        model: this and the options below are as in `traced`.
        version: absent = as the request says.
        task: of the model.
        positive: the positive class of a binary task.
        classes: in the order of the columns of probabilities.
        threshold: the score from which the positive class is answered.
        capture: `shapes`, `values` or `none`.
        sample_ratio: share of calls that get a full span.

    Raises:
        TypeError: `infer` cannot be called, or an unknown option.
        ValueError: an option breaks its rule.
    """
    if not callable(infer):
        raise TypeError(
            f"traced_method({infer!r:.80}): must be a method; write traced_method(stub.ModelInfer)"
        )
    declared = Declaration.of(
        model=model,
        version=version,
        task=task,
        positive=positive,
        classes=classes,
        threshold=threshold,
        capture=capture,
        sample_ratio=sample_ratio,
    )
    return cast("Callable[P, R]", _asking_by_messages(infer, declared))


def _asking_by_messages(infer: Callable[..., Any], declared: Declaration) -> Callable[..., Any]:
    shape = CallShape.COROUTINE if _answers_later(infer) else CallShape.VALUE
    named, unnamed = (
        asking(inference_messages.asked, partial(_of_messages, declared, shape, source))
        for source in (inference_messages.request_id, None)
    )

    metadata = SentMetadata(infer)

    def sending(*args: Any, **kwargs: Any) -> Any:
        arguments, keywords = metadata.added(args, kwargs)
        return infer(*arguments, **keywords)

    async def sending_later(*args: Any, **kwargs: Any) -> Any:
        return await sending(*args, **kwargs)

    send = sending if shape is CallShape.VALUE else sending_later

    def call(request: Any, *args: Any, **kwargs: Any) -> Any:
        wrapper = unnamed
        with _READ:
            if inference_messages.request_id(request) is not None:
                wrapper = named
        return wrapper(send, None, (request, *args), kwargs)

    return call


def _answers_later(infer: object) -> bool:
    """Whether a method is one of asyncio: a coroutine function, or one of a stub of `grpc.aio`."""
    aio: Any = sys.modules.get("grpc.aio")  # who has such a stub has imported it
    of_stub = aio is not None and isinstance(infer, aio.UnaryUnaryMultiCallable)
    return of_stub or CallShape.of(infer) is CallShape.COROUTINE


def _of_messages(
    declared: Declaration, shape: CallShape, prediction_id: Any, asked: Asked
) -> Wrapper:
    return _recorded(
        declared,
        shape,
        prediction_id,
        asked,
        inputs=inference_messages.inputs,
        answer=inference_messages.answer,
    )


def _recorded(
    declared: Declaration,
    shape: CallShape,
    prediction_id: Any,
    asked: Asked,
    *,
    inputs: Callable[[Arguments, Keywords], Mapping[str, object]],
    answer: Callable[[Arguments, Keywords, Any], object],
) -> Wrapper:
    own = altered(
        declared,
        model=declared.model or asked.name,
        version=declared.version or asked.version,
        prediction_id=prediction_id,
    )
    plan = own.plan(Parameters(_as_is), default_model=asked.name)
    plan = altered(plan, answer=answer, inputs=inputs, kind=SpanKind.CLIENT)
    return wrapper_of(shape, starter(plan), False)


def _as_is(url: object, **options: Any) -> None:
    """Stands for what posts, for sources are asked with what it is called with."""


def _found(url: object) -> re.Match[str] | None:
    """What a URL says of a model; a query or a fragment may hold any other URL."""
    try:
        return _PATH.search(urlsplit(str(url)).path)
    except ValueError:  # no URL: for the client to refuse
        return None


def _asked(arguments: Arguments, keywords: Keywords) -> Asked:
    found = _found(arguments[0])
    name, version = (None, None) if found is None else found.groups()
    return Asked(
        text(unquote(name or ""), NAME_LENGTH_MAX),
        None if version is None else text(unquote(version), NAME_LENGTH_MAX),
    )


def _id(*arguments: Any, **keywords: Any) -> object:
    return keywords[_TOLD].get("id")


def _inputs(arguments: Arguments, keywords: Keywords) -> Mapping[str, object]:
    return told_tensors(keywords[_TOLD].get("inputs"))


def _checked(response: Any) -> Any:
    refused: RefusedInference | None = None
    with _STATUS:
        status = getattr(response, "status_code", None)
        if isinstance(status, int) and status >= _FAILED:
            refused = RefusedInference(response)
    if refused is not None:
        raise refused
    return response
