"""The Prometheus behind us: what it says of services that are not ours, or not ours alone.

A Jaeger has one metrics backend. Where that is us, the Prometheus that was asked before stands
behind us, so that other services keep their Monitor. It gets our own rendering of one of the three
questions, never the text that came in: nobody reaches more of it through us.
"""

from __future__ import annotations

import json
import logging
import math
import urllib.error
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from inferspan_collector.publish.posting import TokenUnusable, post
from inferspan_collector.publish.promql import MonitorQuery, render
from inferspan_collector.telemetry import MONITOR_UPSTREAM, Telemetry

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
ERROR_BYTES_MAX: Final = 4 * 1024

_log = logging.getLogger(__name__)

Points = list[list[object]]
"""`[seconds, "value"]` each, as in Prometheus' JSON."""


class UpstreamError(RuntimeError):
    """It did not answer; one line says what was asked, what came and what may help."""


@dataclass(frozen=True, slots=True)
class Series:
    """What it says of a service, or of one operation of it (else None)."""

    service: str
    operation: str | None
    points: Points


class Upstream:
    """A Prometheus, or whatever answers as one, over HTTP."""

    def __init__(self, url: str, token_file: Path | None, telemetry: Telemetry) -> None:
        """Nothing is asked yet.

        Args:
            url: its root, as in Jaeger's `prometheus.endpoint`.
            token_file: a bearer token, read at every question, so that it may change; None = none.
            telemetry: counts questions.
        """
        self._url = f"{url.rstrip('/')}/api/v1/query_range"
        self._token_file = token_file
        self._telemetry = telemetry

    def ask(
        self, query: MonitorQuery, services: Sequence[str], start: int, end: int, step: int
    ) -> list[Series]:
        """Ask one of the three questions about some services.

        Args:
            query: the question.
            services: of whom; compared literally.
            start: first time, Unix ms.
            end: last time, Unix ms.
            step: between times, ms.

        Returns:
            Series with points; a point that is no number, as 0 ÷ 0, is left out.

        Raises:
            UpstreamError: it cannot be reached, refuses, or answers what cannot be read.
        """
        if not services:
            return []
        try:
            form = {
                "query": render(query, services),
                "start": start / 1000,
                "end": end / 1000,
                "step": step / 1000,
            }
            found = list(_series(self._post(urlencode(form).encode()), frozenset(services)))
        except (OSError, HTTPException, ValueError) as error:
            self._telemetry.add(MONITOR_UPSTREAM, result="error")
            remedy = (
                "It is jaeger.monitor_upstream_token_file: one line, readable by the collector."
                if isinstance(error, TokenUnusable)
                else "Is it the root of a running Prometheus, and does "
                "jaeger.monitor_upstream_token_file fit?"
            )
            message = (
                f"{self._url} (jaeger.monitor_upstream) did not answer: {_said(error)}. {remedy}"
            )
            _log.warning("%s", message)
            raise UpstreamError(message) from error
        self._telemetry.add(MONITOR_UPSTREAM, result="ok")
        return found

    def _post(self, body: bytes) -> bytes:
        kind = "application/x-www-form-urlencoded"
        text = post(self._url, body, kind, ANSWER_BYTES_MAX + 1, self._token_file)
        if len(text) > ANSWER_BYTES_MAX:
            raise ValueError(f"more than {ANSWER_BYTES_MAX} bytes; ask for a greater step")
        return text


def _said(error: Exception) -> str:
    """An error in one line, with the words of whoever refused."""
    if not isinstance(error, urllib.error.HTTPError):
        return str(error) or repr(error)
    with error:
        body = error.read(ERROR_BYTES_MAX)
    try:
        words = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        words = error.reason
    return f"{error.code} {words}"


def _series(body: bytes, services: frozenset[str]) -> Iterator[Series]:
    """Read a matrix.

    Raises:
        ValueError: it is none.
    """
    answer = json.loads(body)
    try:
        if answer["data"]["resultType"] != "matrix":
            raise ValueError(f"a {answer['data']['resultType']} came where a matrix was asked for")
        for one in answer["data"]["result"]:
            service = one["metric"].get("service_name", "")
            points: Points = [
                [time, text]
                for time, text in one["values"]
                if isinstance(text, str) and math.isfinite(float(text))
            ]
            if service in services and points:
                yield Series(service, one["metric"].get("span_name"), points)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"its answer is no matrix of Prometheus': {error!r}") from error
