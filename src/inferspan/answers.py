"""What a receiver made of a request, and the one line that a user reads of it.

OpenTelemetry's exporters log each try of each request, in words that know nothing of inferspan.
What they say in a thread of ours about a request of which a line of ours tells is left out, unless
the logger `inferspan` is at DEBUG, or silent. What the same exporters do for others is logged as
ever.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from inferspan.containment import errors, logger

_MESSAGE_LENGTH_MAX: Final = 500
"""Characters of a receiver's message that are passed on."""


class Answer(Enum):
    """What a receiver made of a request."""

    TAKEN = "taken"
    LATER = "later"
    """Nobody answered, or the receiver asks to be tried again."""
    TOO_LARGE = "too large"
    REFUSED = "refused"


class Rejection(NamedTuple):
    """What a receiver left out of a request that it took."""

    spans: int
    """0 or more."""
    message: str
    """In the receiver's words, in one line; may be empty."""


# --- what is said ---


def undelivered(url: str, *, grpc: bool = False) -> str:
    """Say that nobody takes spans at `url`, and what the likely causes are.

    Args:
        url: of the receiver.
        grpc: whether they were sent over gRPC.
    """
    protocol = (
        ". You are sending gRPC; for an HTTP port set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
    )
    return (
        f"could not deliver to {_without_credentials(url)}: is `inferspan serve` running there? "
        f"OTLP over HTTP is port 4318; 4317 is gRPC, 4319 the API{protocol if grpc else ''}"
    )


def warn_undelivered(url: str, why: str, message: str = "", *, grpc: bool = False) -> None:
    """Log it, at most once a minute for each URL.

    Args:
        url: of the receiver.
        why: the error or the status.
        message: in the receiver's words.
        grpc: whether they were sent over gRPC.
    """
    place = f"deliver to {_without_credentials(url)}"
    _say(place, f"{undelivered(url, grpc=grpc)} ({why}{_quoted(message)})")


def warn_busy(url: str, why: str, message: str = "") -> None:
    """Log that a receiver asks to be tried again; arguments as of `warn_undelivered`."""
    _say(
        f"busy at {_without_credentials(url)}",
        f"{_without_credentials(url)} asks to be tried again ({why}{_quoted(message)}): what waits "
        "is sent then; beyond what the queues hold, the oldest is lost",
    )


def rejection(url: str, response: ExportTraceServiceResponse) -> Rejection | None:
    """What a receiver left out of a request that it took; said, at most once a minute.

    Args:
        url: of the receiver.
        response: its answer.

    Returns:
        None where it took everything and has no more to say.
    """
    partial = response.partial_success
    spans = max(0, partial.rejected_spans)
    message = _in_one_line(partial.error_message)
    if not spans and not message:
        return None
    place = f"reject at {_without_credentials(url)}"
    said = f"{_without_credentials(url)} left out {spans:,} of a request's records"
    _say(place, f"{said}: {message or 'it does not say why'}")
    return Rejection(spans, message)


def _say(place: str, message: str) -> None:
    _request.told = True
    errors.warn_sometimes(place, f"inferspan: {message}")


def _quoted(message: str) -> str:
    line = _in_one_line(message)
    return f": {line}" if line else ""


def _in_one_line(message: str) -> str:
    return " ".join(message.split())[:_MESSAGE_LENGTH_MAX]


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


# --- what OpenTelemetry says of the same ---


class _Request(threading.local):
    """The request that this thread sends."""

    sending = False
    told = False
    """A line of ours tells of it."""


_request: Final = _Request()


class _ToldAlready(logging.Filter):
    """Leaves out what a line of ours has told, unless somebody looks for causes."""

    def filter(self, record: logging.LogRecord) -> bool:
        told = _request.sending and _request.told and logger.isEnabledFor(logging.WARNING)
        return not told or logger.isEnabledFor(logging.DEBUG)


_TOLD_ALREADY: Final = _ToldAlready()


@contextmanager
def told_once(by: str) -> Iterator[None]:
    """Send a request within: what `by` logs of it is left out where a line of ours tells of it.

    Args:
        by: name of a logger of OpenTelemetry's.
    """
    logging.getLogger(by).addFilter(_TOLD_ALREADY)  # where it is already, nothing changes
    _request.sending, _request.told = True, False
    try:
        yield
    finally:
        _request.sending = False
