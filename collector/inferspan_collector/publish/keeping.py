"""What whoever runs the collector asks of it: forget an id, write a backup; by right `admin`.

Without tokens everybody who reaches the port has every right; so these two are then answered to
this machine alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inferspan import semconv
from inferspan_collector.config import Config
from inferspan_collector.problems import problem
from inferspan_collector.publish.admin_requests import (
    BadRequest,
    answered,
    check_known,
    text_of,
)
from inferspan_collector.submission import Keeping

FORGET: Final = "/api/v1/forget"
BACKUP: Final = "/api/v1/backup"


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


class _Asked:
    def __init__(self, keeping: Keeping, local_only: bool) -> None:
        self._keeping = keeping
        self._local_only = local_only

    async def forget(self, request: Request) -> Response:
        return await answered(request, self._forget, local_only=self._local_only)

    async def backup(self, request: Request) -> Response:
        return await answered(request, self._backup, local_only=self._local_only)

    async def _forget(self, body: dict[str, Any]) -> Response:
        from inferspan_collector.store.forgetting import ToForget

        check_known(body, ("prediction_id", "entity_id", "model", "dry_run"))
        # An id that is too long was stored by its hash.
        prediction_id = semconv.prediction_id_text(text_of(body, "prediction_id"))
        entity_id = semconv.prediction_id_text(text_of(body, "entity_id"))
        model = text_of(body, "model")
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

        check_known(body, ("to",))
        to = text_of(body, "to")
        if to is None:
            raise BadRequest("no `to`", "it names the directory of the copy", "give one")
        try:
            done = await asyncio.to_thread(self._keeping.backup, Path(to))
        except StoreError as error:
            return problem(409, "No backup", str(error), value=to)
        return JSONResponse({**asdict(done), "path": str(done.path)})
