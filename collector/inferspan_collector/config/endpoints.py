"""Endpoints of others: what a URL and a file with a token for it must be."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit


def may_hold_a_password(value: object) -> bool:
    """Whether an address has what stands before a host, which must not reach a log."""
    return isinstance(value, str) and "@" in value


def check_url(value: str | None) -> str | None:
    """Pass an http or https URL on.

    Raises:
        ValueError: it is none.
    """
    if value is None:
        return None
    if not _is_url(value):
        meant = f"http://{value}"
        silent = may_hold_a_password(value)
        said = "it" if silent else repr(value)
        is_short = not silent and "://" not in value and _is_url(meant)
        raise ValueError(
            f"{said} is no http:// or https:// URL; write it as "
            + (meant if is_short else "http://HOST:PORT")
        )
    return value


def check_page(value: str | None) -> str | None:
    """Pass the address of a page on that readers' links are made of.

    Raises:
        ValueError: it is no http or https URL, it has a user or a password, which everybody who
            reads a link would see, or it ends in what no path can follow.
    """
    checked = check_url(value)
    if checked is None:
        return None
    parts = urlsplit(checked)
    _, user, host = parts.netloc.rpartition("@")
    if user or "?" in checked or "#" in checked:
        # The user and the password are not repeated: this is printed and logged.
        plain = f"{parts.scheme}://{host}{parts.path}"
        raise ValueError(
            "it is shown to readers, and paths are added to it, so it has no user, password, query "
            f"or fragment; write it as {plain}"
        )
    return checked


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not re.search(r"\s", value)
        )
    except ValueError:
        return False


def check_token_file(key: str, file: Path | None, whose: str, endpoint: str | None) -> None:
    """Look whether the token of an endpoint is there.

    Args:
        key: of the configuration.
        file: what it says.
        whose: the key of the endpoint.
        endpoint: what that says.

    Raises:
        ValueError: a token without an endpoint, or a file that cannot be read.
    """
    if file is None:
        return
    if endpoint is None:
        raise ValueError(f"{key} is given without {whose}, whose token it is")
    try:
        file.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{key} {str(file)!r} cannot be read: {error}; it holds a token and nothing else"
        ) from error
