"""Keep web pages out: whoever opens one must not thereby write to the collector, or read it.

Requests are not authenticated and the ports listen on localhost, which every page in the user's
browser can reach: by a cross-site request (it carries a foreign `Origin`), or by DNS rebinding (a
foreign name that suddenly resolves to 127.0.0.1; it carries a foreign `Host`). Both are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inferspan_collector.http_uploads import Answer, Upload, Uploads
from inferspan_collector.problems import problem
from inferspan_collector.telemetry import REFUSED_REQUESTS, REQUESTS, Telemetry

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})
PASSED_MAX: Final = 64
READING: Final = ("GET", "HEAD")


class Guard:
    """ASGI middleware around one HTTP port.

    Args:
        app: what it guards.
        telemetry: counts what is refused, as code 403 of `transport`.
        transport: the port's name among the counters: `otlp_http`, `api`.
        allowed_hosts: host names, without port, that requests may be addressed to beside
            localhost and the address the connection came in on.
        readable_from: path prefix → the one foreign origin (`http://host:port`) whose pages may
            read there: by GET, without credentials.
        uploads: what takes the ordinary uploads of programs.
    """

    def __init__(
        self,
        app: ASGIApp,
        telemetry: Telemetry,
        transport: str,
        allowed_hosts: Iterable[str] = (),
        readable_from: Mapping[str, str] | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self._app = app
        self._uploads = uploads
        self._telemetry = telemetry
        self._transport = transport
        self._hosts = LOCAL_HOSTS | {_bare_host(host) for host in allowed_hosts}
        self._passed: set[tuple[bytes, str]] = set()
        """What requests of programs are addressed to: each exporter says the same always."""
        self._readable_from = {
            prefix: _origin(url) for prefix, url in (readable_from or {}).items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with 403, or pass on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._passes(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origins = headers.getlist("origin")
        refused = self._foreign_host(scope, headers.getlist("host"))
        reader = ""
        if refused is None and any(not _is_same(origin, headers["host"]) for origin in origins):
            reader = self._reader(scope, headers, origins)
            refused = None if reader else ("foreign_origin", _foreign_origin(origins))
        if refused is not None:
            reason, answer = refused
            self._telemetry.add(REQUESTS, transport=self._transport, code="403")
            self._telemetry.add(REFUSED_REQUESTS, transport=self._transport, reason=reason)
            await answer(scope, receive, send)
        elif reader and scope["method"] == "OPTIONS":
            await _preflight(reader)(scope, receive, send)
        else:
            await self._app(scope, receive, _open_to(reader, send) if reader else send)

    def begin(self, scope: Scope, length: int, answer: Answer) -> Upload | None:
        """As of `http_uploads.Uploads`: what may be refused goes the other way."""
        if self._uploads is None or not self._passes(scope):
            return None
        return self._uploads.begin(scope, length, answer)

    def _passes(self, scope: Scope) -> bool:
        """Whether a request is a program's, without `Origin`, and addressed to us."""
        plain = self._plain(scope)
        if plain is None:
            return False
        if plain in self._passed:
            return True
        if self._foreign_host(scope, [plain[0].decode("latin-1")]) is not None:
            return False
        if len(self._passed) < PASSED_MAX:
            self._passed.add(plain)
        return True

    def _plain(self, scope: Scope) -> tuple[bytes, str] | None:
        """What a request is addressed to, and the address it came in on; None where it has an
        `Origin`, or not one `Host`.
        """
        host: bytes | None = None
        for name, value in scope["headers"]:
            if name == b"origin" or (name == b"host" and host is not None):
                return None
            if name == b"host":
                host = value
        return None if host is None else (host, (scope.get("server") or ("", None))[0])

    def _foreign_host(self, scope: Scope, hosts: list[str]) -> tuple[str, Response] | None:
        """Reason and answer to a request addressed to somebody else; None lets it pass."""
        own = {(scope.get("server") or ("", None))[0]}
        if len(hosts) == 1 and _bare_host(hosts[0]) in self._hosts | own:
            return None
        value = ", ".join(hosts) or "(none)"
        return "foreign_host", problem(
            403,
            "Foreign host",
            f"the request is addressed to Host {value!r:.100}, which is not this collector",
            value=value[:100],
            rule="the bound address, localhost and receivers.allowed_hosts are answered",
            remedy="add the name to receivers.allowed_hosts if it is this collector's",
        )

    def _reader(self, scope: Scope, headers: Headers, origins: list[str]) -> str:
        """The foreign origin that may read this; empty where it may not."""
        method = scope["method"]
        if method == "OPTIONS":
            method = headers.get("access-control-request-method", "")
        if method not in READING or len(origins) != 1:
            return ""
        allowed = {
            origin
            for prefix, origin in self._readable_from.items()
            if scope["path"] == prefix or scope["path"].startswith(prefix.rstrip("/") + "/")
        }
        origin = _origin(origins[0])
        # A page without an origin (`null`) must not equal a jaeger.ui that names none.
        return origins[0] if origin and origin in allowed else ""


def _foreign_origin(origins: list[str]) -> Response:
    value = ", ".join(origins)
    return problem(
        403,
        "Foreign origin",
        f"a page from {value!r:.100} may not send this request",
        value=value[:100],
        rule="pages of this collector itself may, and the Jaeger of jaeger.ui may read its reply",
        remedy="send it from a program, or set jaeger.ui to the address of your Jaeger page",
    )


def _preflight(origin: str) -> Response:
    return Response(
        status_code=204,
        headers={
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "GET",
            "vary": "Origin",
        },
    )


def _open_to(origin: str, send: Send) -> Send:
    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_cors


def _bare_host(host: str) -> str:
    """A `Host` without its port, in lower case, IPv6 without brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _origin(url: str) -> str:
    """The origin of a URL, as browsers write it; empty where it is none (`null`)."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ""
    default = 443 if parts.scheme == "https" else 80
    return f"{parts.scheme}://{parts.hostname}:{port or default}"


def _is_same(origin: str, host: str) -> bool:
    """Whether a page of this origin was served under this `Host`.

    Its scheme may differ: an ingress in front of us may speak TLS.
    """
    parsed = _origin(origin)
    scheme = parsed.partition("://")[0]
    return parsed != "" and parsed == _origin(f"{scheme}://{host}")
