"""What goes along with a request to a model server: the trace, and the prediction's id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from opentelemetry import propagate

from inferspan.arguments import Keywords
from inferspan.containment import Contained
from inferspan.current import current_prediction
from inferspan.served_requests import PREDICTION_ID_HEADER, is_sendable

HEADERS: Final = "headers"
_SEND: Final = Contained("send a prediction's trace and id")


class SentHeaders:
    """Adds headers to what one function posts.

    Args:
        post: a function, or the method of a client that sends headers of its own.
    """

    def __init__(self, post: Callable[..., Any]) -> None:
        preset: dict[str, Any] = {}
        # A partial drops what it sets itself where it is called with the same; the outermost wins.
        while isinstance(post, partial):
            preset = {**post.keywords, **preset}
            post = post.func
        self._preset = preset.get(HEADERS)
        self._client = getattr(post, "__self__", None)

    def added(self, keywords: dict[str, Any]) -> dict[str, Any]:
        """The call's keywords, with the headers of the prediction that is running."""
        with _SEND:
            given = keywords.get(HEADERS, self._preset)
            if isinstance(given, Iterator):  # which can be looked at once
                given = list(given)
                keywords = {**keywords, HEADERS: given}
            of_client = getattr(self._client, HEADERS, None)
            said = _names(given) | _names(of_client if isinstance(of_client, Mapping) else None)
            own = {name: value for name, value in carried().items() if name.lower() not in said}
            return {**keywords, HEADERS: _joined(given, own)} if own else keywords
        return keywords


def with_metadata(keywords: Keywords) -> dict[str, Any]:
    """The keywords of a call of gRPC, with the metadata of the prediction that is running."""
    with _SEND:
        given = tuple(keywords.get("metadata") or ())
        said = {str(pair[0]) for pair in given}
        own = tuple((name, value) for name, value in carried().items() if name not in said)
        return {**keywords, "metadata": given + own}
    return dict(keywords)


def carried() -> dict[str, str]:
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
    return {(name.decode("latin-1") if isinstance(name, bytes) else name).lower() for name in names}


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
