"""What a server takes of a request's headers, or of a call's metadata, before it is answered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from inferspan.propagation import PREDICTION_HEADER, ExtractedContext, extract
from inferspan.served_requests import PREDICTION_ID_HEADER, ServedRequest, in_request, offered_id

_CARRIED: Final = (PREDICTION_ID_HEADER, PREDICTION_HEADER)
"""What only callers who are trusted may say; the trace anybody may."""


def begun(
    pairs: Iterable[tuple[str | bytes, str | bytes]], *, trusts: bool
) -> tuple[ServedRequest, ExtractedContext]:
    """The request that headers begin, and the context in which it is answered.

    Args:
        pairs: names, whatever their case, and values.
        trusts: whether the caller's prediction id, and a prediction that goes on here, are taken.
    """
    headers = [(_lower(name), value) for name, value in pairs]
    if not trusts:
        headers = [header for header in headers if header[0] not in _CARRIED]
    given = next((value for name, value in headers if name == PREDICTION_ID_HEADER), None)
    request = ServedRequest(offered_id(given))
    return request, ExtractedContext(in_request(request, extract(headers)))


def _lower(name: str | bytes) -> str:
    return (name.decode("latin-1") if isinstance(name, bytes) else name).lower()
