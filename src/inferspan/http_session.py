"""The HTTP session of our exporters; a module of its own because it loads `requests`."""

from __future__ import annotations

from typing import Any, Final

import requests

from inferspan.delivery import warn_undelivered

_BUSY: Final = (429, 503)
"""Answers of a receiver that asks to be tried again; it is there."""


class TellingSession(requests.Session):
    """An HTTP session that says in our words that nobody answers, before OpenTelemetry retries."""

    def send(self, request: Any, **options: Any) -> Any:
        """Send, and tell; what is raised or answered passes through."""
        try:
            response = super().send(request, **options)
        except requests.RequestException as error:
            warn_undelivered(str(request.url), type(error).__name__)
            raise
        if response.status_code >= 400 and response.status_code not in _BUSY:
            warn_undelivered(str(request.url), f"HTTP {response.status_code}")
        return response
