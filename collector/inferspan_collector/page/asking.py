"""Questions to the JSON API of this process: its routes are called, without the network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.routing import Match, Route

Json = dict[str, Any]
MODELS: Final = "/api/v1/models"


@dataclass(frozen=True, slots=True)
class Question:
    """A path of the API, not percent-encoded, and its parameters."""

    path: str
    parameters: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, model: str, endpoint: str, **parameters: str | None) -> Question:
        """About a model; parameters that are None are left out, `from_` is `from`."""
        given = {name.rstrip("_"): value for name, value in parameters.items() if value is not None}
        return cls(f"{MODELS}/{model}/{endpoint}", tuple(sorted(given.items())))


@dataclass(frozen=True, slots=True)
class Refused:
    """What the API said instead of an answer: a problem, as `problems.problem` writes it."""

    title: str
    detail: str
    value: str | None = None
    rule: str | None = None
    remedy: str | None = None


class Asking:
    """Calls the routes of the API.

    Args:
        routes: with synchronous endpoints, as `publish` makes them; the first that matches answers.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes

    def ask(self, question: Question) -> Any:
        """The body of the answer, or `Refused`.

        Raises:
            LookupError: there is no such path.
            Exception: whatever the endpoint raises, as if it was asked over the network.
        """
        scope = {
            "type": "http",
            "method": "GET",
            "path": question.path,
            "query_string": urlencode(question.parameters).encode("ascii"),
            "headers": [],
        }
        for route in self._routes:
            match, found = route.matches(scope)
            if match is Match.FULL:
                response = route.endpoint(Request({**scope, **found}))
                body = json.loads(response.body)
                return body if response.status_code < 400 else _refused(body)
        raise LookupError(f"the API has no {question.path}")


def _refused(body: Json) -> Refused:
    return Refused(
        body["title"],
        body["detail"],
        *(None if body.get(key) is None else str(body[key]) for key in ("value", "rule", "remedy")),
    )
