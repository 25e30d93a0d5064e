"""What requests that need the right `admin` share: who may send one, and its body of JSON.

Without tokens everybody who reaches the port has every right; so these are then answered to this
machine alone.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from inferspan_collector.problems import problem
from inferspan_collector.submission import Overloaded

BODY_BYTES_MAX: Final = 64 * 1024
BODY_SECONDS_MAX: Final = 60.0
TEXT_LENGTH_MAX: Final = 4_096


class BadRequest(ValueError):
    """The body breaks a rule: 400, or another status of the client's own fault."""

    def __init__(self, value: str, rule: str, remedy: str, status: int = 400) -> None:
        super().__init__(f"{value}: {rule}; {remedy}")
        self.value, self.rule, self.remedy, self.status = value, rule, remedy, status


async def answered(
    request: Request,
    answer: Callable[[dict[str, Any]], Awaitable[Response]],
    *,
    local_only: bool,
    bytes_max: int = BODY_BYTES_MAX,
    admitted: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Response:
    """Answer, or say as problem+json why not.

    Args:
        request: its body is an object of JSON.
        answer: makes the answer of that object.
        local_only: whether only this machine may ask.
        bytes_max: a longer body is refused.
        admitted: entered before the body is read, and left once it is answered; what limits how
            many are under way raises `Overloaded`.
    """
    try:
        if local_only and not _is_local(request):
            raise BadRequest(
                f"a request from {request.client.host if request.client else 'elsewhere'}",
                "without tokens this is answered to the collector's own machine alone",
                "ask there, or configure auth.tokens with the right `admin`",
                403,
            )
        with admitted():
            return await answer(await _body(request, bytes_max))
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


def check_known(body: dict[str, Any], names: tuple[str, ...]) -> None:
    """Raise `BadRequest` for a key that is none of `names`."""
    for name in body:
        if name not in names:
            rule = f"known here: {', '.join(names)}"
            raise BadRequest(f"{name!r:.100}", f"no such key; {rule}", "leave it out")


def text_of(body: dict[str, Any], name: str) -> str | None:
    """A text of the body; None where there is none.

    Raises:
        BadRequest: it is something else, or too long.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LENGTH_MAX:
        raise BadRequest(
            f"{name} = {value!r:.100}", f"a text of 1 to {TEXT_LENGTH_MAX} characters", "give one"
        )
    return value


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


async def _body(request: Request, bytes_max: int) -> dict[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        given = request.headers.get("content-type", "no Content-Type")
        raise BadRequest(f"{given:.100}", "the body is JSON", "send application/json", 415)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise BadRequest("the body", f"at most {bytes_max} bytes", "send less", 413)
    except (TimeoutError, ClientDisconnect):
        rule = f"it is whole within {BODY_SECONDS_MAX:g} s"
        raise BadRequest("the body", rule, "send it again", 408) from None
    try:
        document = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise BadRequest("the body", f"it is no JSON ({error})", "send an object") from None
    if not isinstance(document, dict):
        raise BadRequest("the body", "a JSON object is needed", "send an object")
    return document
