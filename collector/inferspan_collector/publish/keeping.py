"""What whoever runs the collector asks of it: forget an id, write a backup; by right `admin`.

Without tokens everybody who reaches the port has every right; so these two are then answered to
this machine alone.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inferspan import semconv
from inferspan_collector.config import Config
from inferspan_collector.problems import problem
from inferspan_collector.submission import Keeping, Overloaded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FORGET: Final = "/api/v1/forget"
BACKUP: Final = "/api/v1/backup"
BODY_BYTES_MAX: Final = 64 * 1024
TEXT_LENGTH_MAX: Final = 4_096


def routes(keeping: Keeping, config: Config) -> list[Route]:
    """The routes, to be mounted at the root of the API port.

    Args:
        keeping: does what is asked.
        config: whether there are tokens.
    """
    asked = _Asked(keeping, local_only=not config.auth.tokens)
    return [
        Route(FORGET, asked.forget, methods=["POST"]),
        Route(BACKUP, asked.backup, methods=["POST"]),
    ]


class BadRequest(ValueError):
    """The body breaks a rule: 400, or another status of the client's own fault."""

    def __init__(self, value: str, rule: str, remedy: str, status: int = 400) -> None:
        super().__init__(f"{value}: {rule}; {remedy}")
        self.value, self.rule, self.remedy, self.status = value, rule, remedy, status


class _Asked:
    def __init__(self, keeping: Keeping, local_only: bool) -> None:
        self._keeping = keeping
        self._local_only = local_only

    async def forget(self, request: Request) -> Response:
        return await self._answered(request, self._forget)

    async def backup(self, request: Request) -> Response:
        return await self._answered(request, self._backup)

    async def _forget(self, body: dict[str, Any]) -> Response:
        from inferspan_collector.store.forgetting import ToForget

        _known(body, ("prediction_id", "entity_id", "model", "dry_run"))
        # An id that is too long was stored by its hash.
        prediction_id = semconv.prediction_id_text(_text(body, "prediction_id"))
        entity_id = semconv.prediction_id_text(_text(body, "entity_id"))
        model = _text(body, "model")
        dry_run = body.get("dry_run", False)
        if (prediction_id is None) == (entity_id is None):
            given = "neither prediction_id nor entity_id" if entity_id is None else "both ids"
            raise BadRequest(given, "one of the two says what to forget", "give one")
        if not isinstance(dry_run, bool):
            raise BadRequest(f"dry_run = {dry_run!r:.100}", "true or false", "leave it out")
        forgotten = await asyncio.wrap_future(
            self._keeping.forget(ToForget(prediction_id, model, entity_id), dry_run=dry_run)
        )
        return JSONResponse({**asdict(forgotten), "dry_run": dry_run})

    async def _backup(self, body: dict[str, Any]) -> Response:
        from inferspan_collector.store.database import StoreError

        _known(body, ("to",))
        to = _text(body, "to")
        if to is None:
            raise BadRequest("no `to`", "it names the directory of the copy", "give one")
        try:
            done = await asyncio.to_thread(self._keeping.backup, Path(to))
        except StoreError as error:
            return problem(409, "No backup", str(error), value=to)
        return JSONResponse({**asdict(done), "path": str(done.path)})

    async def _answered(
        self, request: Request, answer: Callable[[dict[str, Any]], Awaitable[Response]]
    ) -> Response:
        try:
            if self._local_only and not _is_local(request):
                raise BadRequest(
                    f"a request from {request.client.host if request.client else 'elsewhere'}",
                    "without tokens this is answered to the collector's own machine alone",
                    "ask there, or configure auth.tokens with the right `admin`",
                    403,
                )
            return await answer(await _body(request))
        except BadRequest as error:
            return problem(
                error.status,
                "Not permitted" if error.status == 403 else "Bad request",
                str(error),
                value=error.value,
                rule=error.rule,
                remedy=error.remedy,
            )
        except Overloaded as error:
            headers = {"Retry-After": str(error.retry_after_seconds)}
            return problem(503, "Try again later", str(error), headers=headers)


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


async def _body(request: Request) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        given = request.headers.get("content-type", "no Content-Type")
        raise BadRequest(f"{given:.100}", "the body is JSON", "send application/json", 415)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BadRequest("the body", f"at most {BODY_BYTES_MAX} bytes", "send less", 413)
    try:
        document = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body", f"it is no JSON ({error})", "send an object") from None
    if not isinstance(document, dict):
        raise BadRequest("the body", "a JSON object is needed", "send an object")
    return document


def _known(body: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in body:
        if name not in names:
            rule = f"known here: {', '.join(names)}"
            raise BadRequest(f"{name!r:.100}", f"no such key; {rule}", "leave it out")


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LENGTH_MAX:
        raise BadRequest(
            f"{name} = {value!r:.100}", f"a text of 1 to {TEXT_LENGTH_MAX} characters", "give one"
        )
    return value
