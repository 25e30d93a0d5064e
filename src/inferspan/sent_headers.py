"""What goes along with a request to a model server: the trace, and the prediction's id."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Set
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import propagate

from inferspan.arguments import Arguments
from inferspan.containment import Contained
from inferspan.current import current_prediction
from inferspan.served_requests import PREDICTION_ID_HEADER, header_text, is_sendable

if TYPE_CHECKING:
    from inferspan.calls import Wrapper
    from inferspan.integration import SentAlong

HEADERS: Final = "headers"
METADATA: Final = "metadata"
REQUEST_ID: Final = "request_id"
_POSITION: Final = 2
"""Where metadata stands in a call of a stub: after the request and a timeout."""
_SEND: Final = Contained("send a prediction's trace and id")


class SentHeaders:
    """Adds headers to what one function posts.

    Args:
        post: a function, or the method of a client that sends headers of its own.
    """

    def __init__(self, post: Callable[..., Any]) -> None:
        preset, function = _preset(post)
        self._preset = preset.get(HEADERS)
        self._client = getattr(function, "__self__", None)

    def added(self, keywords: dict[str, Any]) -> dict[str, Any]:
        """The call's keywords, with the headers of the prediction that is running."""
        with _SEND:
            given = keywords.get(HEADERS, self._preset)
            if isinstance(given, Iterator):  # which can be looked at once
                given = list(given)
                keywords = {**keywords, HEADERS: given}
            of_client = getattr(self._client, HEADERS, None)
            said = _names(of_client if isinstance(of_client, Mapping) else None)
            headers = _with_missing(given, _carried(), said)
            return keywords if headers is given else {**keywords, HEADERS: headers}
        return keywords


class SentMetadata:
    """Adds metadata to what a method of a stub of gRPC is called with.

    Args:
        infer: takes metadata by name, and maybe by position as stubs do.
    """

    def __init__(self, infer: Callable[..., Any]) -> None:
        self._position = _position(infer)
        self._preset = _preset(infer)[0].get(METADATA)

    def added(
        self, arguments: Arguments, keywords: dict[str, Any]
    ) -> tuple[Arguments, dict[str, Any]]:
        """A call's arguments, with the metadata of the prediction that is running."""
        at = self._position
        with _SEND:
            if at is not None and at < len(arguments):
                metadata = _with_own(arguments[at], _carried())
                return (*arguments[:at], metadata, *arguments[at + 1 :]), keywords
            metadata = _with_own(keywords.get(METADATA, self._preset), _carried())
            return arguments, {**keywords, METADATA: metadata}
        return arguments, keywords


def sending_along(traced: Wrapper, how: SentAlong, *, later: bool) -> Wrapper:
    """Have calls of a client's method send their prediction's trace and id along.

    Args:
        traced: runs a call.
        how: how it takes headers, and an id of the request.
        later: whether it is a coroutine function.
    """

    def call(
        wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        def send(*arguments: Any, **keywords: Any) -> Any:
            given, named = _sent(how, arguments, keywords)
            return wrapped(*given, **named)

        async def send_later(*arguments: Any, **keywords: Any) -> Any:
            return await send(*arguments, **keywords)

        return traced(send_later if later else send, instance, args, kwargs)

    return call


def _sent(
    how: SentAlong, arguments: Arguments, keywords: dict[str, Any]
) -> tuple[Arguments, dict[str, Any]]:
    """A call's arguments, with headers of the prediction that is running, and its id."""
    with _SEND:
        own = _carried()
        key = own.get(PREDICTION_ID_HEADER)
        given = _argument(how.position, HEADERS, arguments, keywords)
        headers = _with_own(given, own) if how.pairs else _with_missing(given, own)
        changed = {how.position: (HEADERS, headers)}
        at = how.request_id
        if at is not None and key and not _argument(at, REQUEST_ID, arguments, keywords):
            changed[at] = (REQUEST_ID, key)
        placed, named = list(arguments), {**keywords}
        for position, (name, value) in changed.items():
            if position < len(placed):
                placed[position] = value
            else:
                named[name] = value
        return tuple(placed), named
    return arguments, keywords


def _argument(position: int, name: str, arguments: Arguments, keywords: dict[str, Any]) -> Any:
    return arguments[position] if position < len(arguments) else keywords.get(name)


def _with_missing(headers: Any, own: dict[str, str], elsewhere: Set[str] = frozenset()) -> Any:
    """Headers, with those of the prediction that neither they nor others say themselves."""
    said = _names(headers) | elsewhere
    own = {name: value for name, value in own.items() if name.lower() not in said}
    return _joined(headers, own) if own else headers


def _with_own(metadata: Any, own: dict[str, str]) -> tuple[Any, ...]:
    given = tuple(metadata or ())
    said = {str(pair[0]) for pair in given}
    return given + tuple((name, value) for name, value in own.items() if name not in said)


def _position(infer: Callable[..., Any]) -> int | None:
    """Where metadata stands among arguments by position; None: not among them."""
    try:
        parameters = tuple(inspect.signature(infer).parameters.values())
    except (TypeError, ValueError):  # compiled
        return _POSITION
    for at, parameter in enumerate(parameters):
        if parameter.kind is parameter.VAR_POSITIONAL:  # handed on to a stub
            return _POSITION
        if parameter.name == METADATA and parameter.kind is not parameter.KEYWORD_ONLY:
            return at
    return None


def _preset(function: Callable[..., Any]) -> tuple[dict[str, Any], Callable[..., Any]]:
    """The keywords that partials of a function set, and the function within them."""
    preset: dict[str, Any] = {}
    # A partial drops what it sets itself where it is called with the same; the outermost wins.
    while isinstance(function, partial):
        preset = {**function.keywords, **preset}
        function = function.func
    return preset, function


def _carried() -> dict[str, str]:
    """The trace, and the id of the prediction that is running."""
    own: dict[str, str] = {}
    propagate.inject(own)
    running = current_prediction()
    if running is not None and is_sendable(running.id):
        own[PREDICTION_ID_HEADER] = running.id
    return own


def _names(headers: Any) -> set[str]:
    """Names of headers, as they are compared."""
    given = headers or ()
    names = given.keys() if hasattr(given, "keys") else (name for name, _ in given)
    return {header_text(name).lower() for name in names}


def _joined(given: Any, own: dict[str, str]) -> Any:
    """Headers of both, as whatever the caller's are: a name may stand there more than once."""
    if not given:
        return own
    if not hasattr(given, "keys"):
        return [*given, *own.items()]
    if not hasattr(given, "copy"):
        return {**given, **own}
    joined = given.copy()
    joined.update(own)
    return joined
