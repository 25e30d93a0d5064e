"""Baselines over HTTP: add one, remove one (right `admin`), list a model's (right `read`)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inferspan_collector.baselines import document
from inferspan_collector.config import Config
from inferspan_collector.publish import known_baselines
from inferspan_collector.publish.admin_requests import (
    BadRequest,
    answered,
    check_known,
    text_of,
)
from inferspan_collector.publish.answering import guarded
from inferspan_collector.store import baselines
from inferspan_collector.submission import Keeping, Overloaded, Queries

ADD: Final = "/api/v1/baselines"
REMOVE: Final = "/api/v1/baselines/remove"
LIST: Final = "/api/v1/models/{model:path}/baselines"


def routes(queries: Queries, keeping: Keeping, config: Config) -> list[Route]:
    """The routes, to be mounted at the root of the API port."""
    asked = _Asked(queries, keeping, local_only=not config.auth.tokens)
    return [
        Route(ADD, asked.add, methods=["POST"]),
        Route(REMOVE, asked.remove, methods=["POST"]),
        Route(LIST, asked.list, methods=["GET"]),
    ]


class _Asked:
    def __init__(self, queries: Queries, keeping: Keeping, local_only: bool) -> None:
        self._queries, self._keeping = queries, keeping
        self._local_only = local_only
        self._adding = False
        """One at a time: the memory of one body, and of what is made of it, is the limit."""

    async def add(self, request: Request) -> Response:
        return await answered(
            request,
            self._add,
            local_only=self._local_only,
            bytes_max=document.DOCUMENT_BYTES_MAX,
            admitted=self._one_at_a_time,
        )

    async def remove(self, request: Request) -> Response:
        return await answered(request, self._remove, local_only=self._local_only)

    def list(self, request: Request) -> Response:
        return guarded(lambda: self._list(request.path_params["model"]))

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if self._adding:
            raise Overloaded("another baseline is being added; send this one again")
        self._adding = True
        try:
            yield
        finally:
            self._adding = False

    async def _add(self, body: dict[str, Any]) -> Response:
        check_known(body, ("model", "baseline"))
        model = _model(body)
        content = await asyncio.to_thread(_checked, body.get("baseline"))
        text, now_ns = document.written(content), self._queries.now_ns()
        added = await asyncio.wrap_future(
            self._keeping.change(
                lambda cursor: baselines.add(
                    cursor, model, content.version, content.target, now_ns, text
                )
            )
        )
        if added is None:
            raise BadRequest(
                f"a baseline of {model:.100}",
                f"{baselines.ALL_MAX} are kept, and no more may be",
                "remove those of models that are gone: inferspan baseline MODEL --remove NUMBER",
                409,
            )
        return JSONResponse({"model": model, "number": added.number, "left": list(added.left)})

    async def _remove(self, body: dict[str, Any]) -> Response:
        check_known(body, ("model", "number"))
        model, number = _model(body), body.get("number")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**62:
            raise BadRequest(
                f"number = {number!r:.100}", "the number of a baseline", "ask for the list of them"
            )
        removed = await asyncio.wrap_future(
            self._keeping.change(lambda cursor: baselines.remove(cursor, model, (number,)))
        )
        return JSONResponse({"model": model, "removed": removed})

    def _list(self, model: str) -> Response:
        reader = self._queries.reader
        found = [known_baselines.ready(reader, head) for head in reader.baselines(model)]
        shown = [known.json() for known in found if known is not None]
        return JSONResponse({"model": model, "baselines": shown})


def _model(body: dict[str, Any]) -> str:
    model = text_of(body, "model")
    if model is None:
        raise BadRequest("no `model`", "it names whose baseline it is", "give one")
    return model


def _checked(given: object) -> document.Baseline:
    if not isinstance(given, dict):
        raise BadRequest(
            f"baseline = {given!r:.100}", "an object", "send what `inferspan baseline` makes"
        )
    try:
        return document.parsed(json.dumps(given))
    except document.BadDocument as error:
        raise BadRequest(
            "baseline", str(error), "make it with `inferspan baseline` of this collector's version"
        ) from None
