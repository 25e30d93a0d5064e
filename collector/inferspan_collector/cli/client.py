"""A collector's API as the command line uses it: one connection, plain HTTP, clear errors."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from inferspan_collector.cli.printable import printable

DEFAULT_API = "http://127.0.0.1:4319"
TIMEOUT_SECONDS = 30.0
REASON_LENGTH_MAX = 300


class Unreachable(Exception):
    """Nothing that speaks HTTP answers at that address; the message says what to do."""


class Refused(Exception):
    """The collector answered with an error; `status` is its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: status, headers by lower-case name, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Calls one collector. A context manager; not thread-safe.

    Args:
        api: `http://HOST:PORT`, the `api` address of `inferspan serve`.
        timeout: seconds for one answer.
        option: the option by which the user names the address, for messages.
        token: a bearer token, sent with every call; None where the collector knows no tokens.

    Raises:
        ValueError: not an http URL with a host.
    """

    def __init__(
        self,
        api: str = DEFAULT_API,
        timeout: float = TIMEOUT_SECONDS,
        option: str = "--api",
        token: str | None = None,
    ) -> None:
        url = urlsplit(api)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"{api!r} is not a URL such as {DEFAULT_API}")
        self.api = api.rstrip("/")
        self._option = option
        self._authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._prefix = url.path.rstrip("/")
        connection = (
            http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = connection(url.hostname, url.port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        self._connection.close()

    def get(self, path: str, **parameters: object) -> Any:
        """Ask for JSON; parameters that are None are left out.

        Raises:
            Refused: the answer is an error.
            Unreachable: there was no answer.
        """
        given = {name: str(value) for name, value in parameters.items() if value is not None}
        query = f"?{urlencode(given)}" if given else ""
        return json.loads(expect_success(self.request("GET", f"{path}{query}")).body)

    def quality(self, model: str, **parameters: object) -> list[dict[str, Any]]:
        """A model's windows; see `GET /api/v1/models/{model}/quality`."""
        answer = self.get(f"/api/v1/models/{quote(model, safe='')}/quality", **parameters)
        windows: list[dict[str, Any]] = answer["windows"]
        return windows

    def models(self) -> list[str]:
        """The names of all models that sent predictions."""
        return [str(entry["model"]) for entry in self.get("/api/v1/models")]

    def predictions(self, model: str, **parameters: object) -> list[dict[str, Any]]:
        """Single predictions of a model, newest first."""
        answer = self.get(f"/api/v1/models/{quote(model, safe='')}/predictions", **parameters)
        rows: list[dict[str, Any]] = answer["predictions"] if isinstance(answer, dict) else answer
        return rows

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One call, whatever the status.

        Raises:
            Unreachable: there was no answer. The call may or may not have taken effect.
        """
        reused = self._connection.sock is not None
        try:
            return self._once(method, path, body, headers or {})
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            # A server may close an idle connection at any moment; every call of ours may be
            # repeated, for labels are known by their ids.
            if reused:
                return self.request(method, path, body, headers)
            raise Unreachable(
                f"no collector answers at {self.api} ({_reason(error)}); start one with "
                f"`inferspan serve`, or name another with {self._option} URL"
            ) from error

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        sent = self._authorization | headers
        self._connection.request(method, f"{self._prefix}{path}", body, sent)
        response = self._connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, response.read())


def expect_success(answer: Answer) -> Answer:
    """Pass a success on.

    Raises:
        Refused: it is none; the message is the problem's one line.
    """
    if answer.status < 400:
        return answer
    try:
        problem = json.loads(answer.body)
        # `message` is what the OTLP port says, to which an address may point by mistake.
        said = (problem.get(key) for key in ("detail", "title", "message"))
        reason = next((str(text) for text in said if text), "no reason given")
    except (ValueError, AttributeError):
        reason = answer.body.decode("utf-8", "replace").strip() or "no reason given"
    reason = printable(reason[:REASON_LENGTH_MAX])
    if answer.status == 404 and "/v1/traces" in reason:
        reason += "; this is its OTLP port: the API is on another, 4319 unless `serve` was told"
    raise Refused(answer.status, f"{answer.status}: {reason}")


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted: {error.verify_message}; SSL_CERT_FILE names a file "
            "of authorities to trust"
        )
    if isinstance(error, http.client.BadStatusLine):
        # An HTTP/2 server sends its settings at once, as bytes.
        return "what answers is no HTTP/1.1; that may be the gRPC port"
    return printable(str(error) or type(error).__name__)
