"""Errors as people and programs read them: RFC 9457 `application/problem+json`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **extra: object,
) -> Response:
    """An error answer.

    Args:
        status: the HTTP status, 400 to 599.
        title: what kind of problem it is, the same for every occurrence: `Unknown average`.
        detail: one clear line on this occurrence.
        headers: more headers (`Allow`, `Retry-After`).
        extra: further members; by our convention `value` (what was given), `rule` (what is
            allowed) and `remedy` (what to do). Anything JSON can hold.

    Returns:
        The response, `type` being `about:blank`: title and status say it all.
    """
    HTTPStatus(status)
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **extra}
    return JSONResponse(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)
