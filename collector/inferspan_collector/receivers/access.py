"""Who may do what: bearer tokens, each with rights of its own.

Tokens are random and long (`inferspan token`: 256 bits), so that a plain SHA-256 of one can be
kept: there is nothing to guess that a slow hash would have to protect. What is presented is
hashed and compared with every known hash in constant time, so that time tells nobody how much
of a token was right, nor which one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from inferspan_collector.config import Auth
from inferspan_collector.config.auth import HASH_PREFIX
from inferspan_collector.problems import problem
from inferspan_collector.telemetry import REFUSED_REQUESTS, REQUESTS, Telemetry

Rights = frozenset[str]
INGEST: Final = "ingest"
LABELS: Final = "labels"
READ: Final = "read"
ADMIN: Final = "admin"
ALL: Final[Rights] = frozenset((INGEST, LABELS, READ, ADMIN))
OPEN_PATHS: Final = frozenset(("/healthz", "/readyz"))
"""Asked by what has no token: an orchestrator."""
_SCHEME: Final = "bearer "
_ASK_PEOPLE: Final = 'Basic realm="inferspan: a token as password", charset="UTF-8"'
_REMEDY: Final = "send the header Authorization: Bearer TOKEN; `inferspan token` makes one"


class Denied(Exception):
    """The request is not permitted.

    `status` is 401 where we do not know who sends it, 403 where we do and it may not; `value`,
    `rule` and `remedy` say what is wrong, and never repeat a token; `reason` is a short code, by
    which refusals are counted.
    """

    def __init__(
        self, status: int, value: str, rule: str, remedy: str, *, reason: str = ""
    ) -> None:
        super().__init__(f"{value}: {rule}; {remedy}")
        self.status = status
        self.reason = reason or ("unauthenticated" if status == 401 else "forbidden")
        self.value = value
        self.rule = rule
        self.remedy = remedy

    @property
    def challenge(self) -> str:
        """The value of `WWW-Authenticate`, RFC 6750 section 3."""
        if self.status == 403:
            return 'Bearer realm="inferspan", error="insufficient_scope"'
        return 'Bearer realm="inferspan"'


class Access:
    """The rights of whoever presents a token.

    Args:
        auth: the tokens; without any, everybody has every right.
    """

    def __init__(self, auth: Auth) -> None:
        self._rights = {
            bytes.fromhex(token.hash.removeprefix(HASH_PREFIX)): frozenset[str](token.rights)
            for token in auth.tokens.values()
        }

    def rights(self, authorization: Sequence[str]) -> Rights:
        """What the sender of a request may do.

        Args:
            authorization: the values of its `Authorization` headers.

        Raises:
            Denied: 401; there is not exactly one, it is no bearer token, or an unknown one.
        """
        if not self._rights:
            return ALL
        if len(authorization) != 1 or authorization[0][: len(_SCHEME)].lower() != _SCHEME:
            value = "no bearer token" if not authorization else "no single bearer token"
            raise Denied(401, value, "this collector knows its senders by one", _REMEDY)
        presented = hashlib.sha256(
            authorization[0][len(_SCHEME) :].strip().encode("utf-8", "surrogateescape")
        ).digest()
        found: Rights | None = None
        for digest, rights in self._rights.items():
            if hmac.compare_digest(digest, presented):
                found = rights
        if found is None:
            raise Denied(
                401,
                "an unknown bearer token",
                "its SHA-256 is the hash of no token of auth.tokens",
                _REMEDY,
            )
        return found

    def require(self, authorization: Sequence[str], *rights: str) -> Rights:
        """The sender's rights, at least one of these among them; raises `Denied`, 401 or 403."""
        held = self.rights(authorization)
        if held.isdisjoint(rights):
            raise Denied(
                403,
                f"a token with the rights {', '.join(sorted(held))}",
                f"{' or '.join(rights)} is needed here",
                "use a token that has it, or add it to this one in auth.tokens",
            )
        return held


EVERYBODY: Final = Access(Auth())
"""Where no tokens are configured."""


def authorizations(scope: Scope) -> list[str]:
    """The values of a request's `Authorization` headers."""
    return [
        value.decode("utf-8", "surrogateescape")
        for name, value in scope["headers"]
        if name == b"authorization"
    ]


def _password_as_token(authorization: str) -> str:
    """The password of HTTP's basic authentication as a bearer token; all else as it is."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        said = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "surrogateescape")
    except ValueError:
        return authorization
    return _SCHEME + said.partition(":")[2]


class Doorkeeper:
    """ASGI middleware around the API's port: each path needs a right.

    Args:
        app: what it guards.
        telemetry: counts what is refused, as code 401 or 403 of `transport`.
        transport: the port's name among the counters.
        access: knows the tokens.
        rights: path → the right it needs. Every other one needs `read`, and `OPEN_PATHS` none.
        opened_by_people: says of a path whether it is opened in a browser, which cannot send a
            bearer token by itself. There a token is taken as the password of any user, too, and
            asked for: such paths only read, so that it does not matter that browsers send a
            password unasked.
    """

    def __init__(
        self,
        app: ASGIApp,
        telemetry: Telemetry,
        transport: str,
        access: Access,
        rights: Mapping[str, str],
        opened_by_people: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._transport = transport
        self._access = access
        self._needed = rights
        self._opened_by_people = opened_by_people

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 401 or 403, or pass on."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            needed = self._needed.get(scope["path"], READ)
            by_people = self._opened_by_people(scope["path"])
            presented = authorizations(scope)
            if by_people:
                presented = [_password_as_token(each) for each in presented]
            try:
                self._access.require(presented, needed)
            except Denied as denied:
                self._telemetry.add(REQUESTS, transport=self._transport, code=str(denied.status))
                self._telemetry.add(
                    REFUSED_REQUESTS, transport=self._transport, reason=denied.reason
                )
                answer = problem(
                    denied.status,
                    "Unauthenticated" if denied.status == 401 else "Not permitted",
                    str(denied),
                    headers={"www-authenticate": denied.challenge},
                    value=denied.value,
                    rule=denied.rule,
                    remedy=denied.remedy,
                )
                if by_people and denied.status == 401:
                    answer.headers.append("www-authenticate", _ASK_PEOPLE)
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
