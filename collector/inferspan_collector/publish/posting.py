"""One request to another program: how we send to Jaeger, to OTLP endpoints, to a Prometheus."""

from __future__ import annotations

import functools
import urllib.request
from pathlib import Path
from typing import Any, Final

TIMEOUT_SECONDS: Final = 10.0
"""Jaeger, which may wait for what we ask, waits for 30."""


class TokenUnusable(OSError):
    """The file with the token cannot be read, or holds no token; the message says which."""


def post(
    url: str, body: bytes, content_type: str, answer_bytes_max: int, token_file: Path | None = None
) -> bytes:
    """POST, and read the answer; no redirect is followed, for a token goes to no other host.

    Args:
        url: `http://` or `https://`.
        body: what is sent.
        content_type: of the body.
        answer_bytes_max: more of the answer is left unread.
        token_file: a bearer token, read at every request, so that it may change; None = none.

    Raises:
        urllib.error.HTTPError: any other status than 2xx; its body may be read, and it is to be
            closed.
        TokenUnusable: nothing was sent, for the token's file cannot be used.
        OSError, http.client.HTTPException: it cannot be reached, or breaks off.
    """
    headers = {"Content-Type": content_type}
    if token_file is not None:
        headers["Authorization"] = f"Bearer {_token(token_file)}"
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    with _opener().open(request, timeout=TIMEOUT_SECONDS) as answer:
        found: bytes = answer.read(answer_bytes_max)
    return found


def _token(file: Path) -> str:
    try:
        token = file.read_text("ascii").strip()
    except OSError as error:
        raise TokenUnusable(f"the token file {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TokenUnusable(f"the token file {file} is no text in ASCII") from error
    if not token.isprintable() or not token:
        raise TokenUnusable(f"the token file {file} holds no token, or more than one line")
    return token


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        """Follow none: the redirect becomes the error it is here."""


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect)
