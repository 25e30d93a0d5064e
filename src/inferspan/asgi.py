"""ASGI servers (FastAPI, Starlette, Litestar …): requests whose callers know their predictions.

    app.add_middleware(inferspan.asgi.PredictionMiddleware)
    app.router.add_route("/feedback", inferspan.asgi.Feedback("fraud"), methods=["POST"])

Nothing of a web framework is imported here: an application is what ASGI says it is,
https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, Final

from inferspan import request_headers
from inferspan.containment import Contained
from inferspan.feedback import BODY_BYTES_MAX, NOWHERE, FeedbackRules, RefusedFeedback
from inferspan.providers import flush
from inferspan.served_requests import PREDICTION_ID_HEADER, ServedRequest, sent_ids

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

END_SECONDS: Final = 4.0
"""How long the end of an application is held back for what waits to be sent."""
_HEADER: Final = PREDICTION_ID_HEADER.encode()
_BEGIN: Final = Contained("begin a request")
_ANSWER: Final = Contained("tell a caller its predictions")


class PredictionMiddleware:
    """Go on with the caller's trace and prediction id, and send the ids of predictions back.

    Predictions in the request are children of the server's span, where an instrumentation of the
    server made one, else of the caller's. The caller's `X-Prediction-Id` becomes the id of the
    request's first prediction of each model that declares no `prediction_id`; the response says
    the ids of the predictions that began before it, 8 at most, in as many headers
    `X-Prediction-Id`. A response that sets this header itself stays as it is.

    As the application ends, what waits is sent, for at most 4 seconds: uvicorn ends by the signal
    that it was sent, without Python's own end. For an application that refuses ASGI's lifespan,
    such as Django's, the middleware answers the server itself, so as to hear of the end.

    Args:
        app: the application within.
        trust_callers: False where anybody can call: prediction ids, and predictions that go on
            here (`inferspan-prediction`), are then not taken from requests, only the trace.
    """

    def __init__(self, app: Application, *, trust_callers: bool = True) -> None:
        self.app = app
        self._trusts = trust_callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = None
        if scope["type"] == "http":
            with _BEGIN:
                begun = request_headers.begun(scope["headers"], trusts=self._trusts)
        elif scope["type"] == "lifespan":
            await _Lifespan(receive, send).run(self.app, scope)
            return
        if begun is None:
            await self.app(scope, receive, send)
            return
        request, context = begun
        with context:
            await self.app(scope, receive, partial(_send, request, send))


class _Lifespan:
    """An application's lifespan, at whose end what waits is sent, however it ends."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._refused = True
        self._must_flush = False

    async def run(self, app: Application, scope: Scope) -> None:
        """Let the application live, or live in the place of one that refuses to."""
        try:
            await app(scope, self.receive, self.send)
        except Exception:
            if not self._refused:
                raise
        finally:
            self._flush()
        # By ASGI a server goes on without lifespans where an application fails before it takes
        # part in one; nothing would then say that it ends.
        if self._refused:
            await self._live_alone()

    async def receive(self) -> Message:
        self._refused = False
        message = await self._receive()
        self._must_flush = message["type"] == "lifespan.shutdown"
        return message

    async def send(self, message: Message) -> None:
        self._refused = False
        if message["type"].startswith("lifespan.shutdown."):
            self._must_flush = True
            self._flush()
        await self._send(message)

    def _flush(self) -> None:
        if self._must_flush:
            self._must_flush = False
            flush(END_SECONDS)  # nothing else runs by now that a loop could turn to

    async def _live_alone(self) -> None:
        while (message := await self.receive())["type"] != "lifespan.shutdown":
            if message["type"] == "lifespan.startup":
                await self.send({"type": "lifespan.startup.complete"})
        await self.send({"type": "lifespan.shutdown.complete"})


async def _send(request: ServedRequest, send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        with _ANSWER:
            headers = list(message.get("headers", ()))
            if all(name.lower() != _HEADER for name, _ in headers):
                own = [(_HEADER, prediction_id.encode()) for prediction_id in sent_ids(request)]
                message = {**message, "headers": headers + own}
    await send(message)


class Feedback:
    """An ASGI application for a route such as `POST /feedback`: what a caller says becomes labels.

    A body is one JSON object, or a list of up to 1,000:
    `{"prediction_id": "…", "label": "fraud"}`. Besides: `model`, where several are named here;
    `target`, `time` (RFC 3339), `id`, `revision`, `action` (`delete`), `index`, `item_id`, `text`,
    `annotator_kind`. All of a body is checked before anything of it is sent.

    It answers 202 with `{"accepted": n, "ids": [label ids]}`; 400 with what is wrong, the rule and
    the remedy; 405, 413 beyond 256 KiB, and 503 where nothing says where labels go. Whether the
    predictions exist is known to the collector alone. Who may call it is for your server to decide.

    Args:
        models: names of the models whose predictions may be judged.
        target: which truth it is.
        source: where labels come from.
        kind: `feedback`, `ground_truth` or `evaluation`.

    Raises:
        ValueError: no model, or an option that breaks its rule.
    """

    def __init__(
        self,
        *models: str,
        target: str | None = None,
        source: str = "feedback",
        kind: str = "feedback",
    ) -> None:
        self.rules = FeedbackRules.of(models, target=target, source=source, kind=kind)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"Feedback got a {scope['type']} connection: must be http")
        status, answer = 405, {"error": f"the method is {scope['method']}: must be POST"}
        if scope["method"] == "POST":
            body = await _body(receive)
            if body is None:
                rule = f"more than {BODY_BYTES_MAX:,} bytes; send fewer at a time"
                status, answer = 413, {"error": rule}
            else:
                status, answer = self.answer(body)
        await _respond(send, status, answer)

    def answer(self, body: bytes | str) -> tuple[int, dict[str, Any]]:
        """Send what a body says as labels: for a route of a server that takes no ASGI application.

        Args:
            body: JSON, as posted; its length is for the server to limit.

        Returns:
            The status, 202, 400 or 503, and what to answer, to be written as JSON.
        """
        try:
            ids = self.rules.label_all(body)
        except RefusedFeedback as refusal:
            return 400, {"error": str(refusal)}
        if ids is None:
            return 503, {"error": NOWHERE}
        return 202, {"accepted": len(ids), "ids": ids}


async def _body(receive: Receive) -> bytes | None:
    """The request's body; None where it is too large, or the caller has left."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


async def _respond(send: Send, status: int, answer: object) -> None:
    body = json.dumps(answer).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *([(b"allow", b"POST")] if status == 405 else []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
