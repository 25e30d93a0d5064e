"""What a sender is told when its request fails: one ladder for every transport.

What may pass is 503 (UNAVAILABLE), whatever its cause: senders of OTLP try that again and nothing
else, so any other answer would lose their data. What cannot pass is never 503: it would come again
for ever, before everything that its sender has behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from inferspan_collector.decode import UNDECODABLE, MalformedRequest
from inferspan_collector.receivers.access import Denied
from inferspan_collector.receivers.bodies import ClientDisconnected, RefusedBody
from inferspan_collector.submission import Overloaded, Stopping, Unstorable
from inferspan_collector.telemetry import CONTAINED, REFUSED_REQUESTS, REQUESTS, Telemetry

CLIENT_CLOSED: Final = "499"
"""How a request without anybody left to answer is counted."""
RETRY_AFTER_SECONDS: Final = 1

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


class Undecodable(Exception):
    """A request at which our own code fails, however often it is sent: 400."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"the request cannot be read: {type(error).__name__}; this is a defect of the "
            "collector, whose log says more"
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed, in the terms of HTTP."""

    status: int
    """503: to be sent again; 408: it came too slowly, and the rest of it is not read; others of
    400 to 415: never to be sent again as it is."""
    reason: str
    """A short code of a fixed set, the counter's label: `queue_full`, `too_large`."""
    message: str
    value: str = ""
    rule: str = ""
    remedy: str = ""
    retry_after_seconds: int | None = None
    """Of 503 alone: when to come again, 1 or more."""
    headers: tuple[tuple[str, str], ...] = ()
    """What HTTP says beside it: `www-authenticate`, `allow`."""

    @property
    def all_headers(self) -> tuple[tuple[str, str], ...]:
        """The same, and when to come again."""
        if self.retry_after_seconds is None:
            return self.headers
        return (*self.headers, ("retry-after", str(self.retry_after_seconds)))


def failure_of(error: Exception, telemetry: Telemetry, transport: str) -> Failure:
    """What a sender is told of an exception, counted by its reason.

    One that we did not expect is logged, and counted as ours too.
    """
    failure = _failure(error)
    if failure is None:
        telemetry.add(CONTAINED, where=transport)
        _log.error(
            "a request over %s failed; its sender was told to come again", transport, exc_info=error
        )
        said = f"unexpected {type(error).__name__}; see the collector's log"
        failure = _come_again(said, "unexpected", RETRY_AFTER_SECONDS)
    telemetry.add(REFUSED_REQUESTS, transport=transport, reason=failure.reason)
    return failure


def _failure(error: Exception) -> Failure | None:
    # Libraries quote what was sent, and JSON may hold half a surrogate pair: no answer can.
    message = str(error).encode("utf-8", "backslashreplace").decode()
    if isinstance(error, RefusedBody):
        said = (message, error.value, error.rule, error.remedy)
        return Failure(error.status, error.reason, *said, headers=error.headers)
    if isinstance(error, Denied):
        said = (message, error.value, error.rule, error.remedy)
        challenge = (("www-authenticate", error.challenge),)
        return Failure(error.status, error.reason, *said, headers=challenge)
    if isinstance(error, MalformedRequest):
        rule, remedy = "what a request holds can be read", "correct it"
        return Failure(400, "malformed", message, message, rule, remedy)
    if isinstance(error, Unstorable):
        rule, remedy = "what a request holds can be stored", "correct it"
        return Failure(400, "unstorable", message, message, rule, remedy)
    if isinstance(error, Undecodable):
        remedy = "report it, and send in another form what this request holds"
        return Failure(400, UNDECODABLE, message, remedy=remedy)
    if isinstance(error, Overloaded):
        return _come_again(message, error.reason, error.retry_after_seconds)
    return None


def is_expected(error: Exception) -> bool:
    """Whether a request's own content, its sender or the load may raise it: no defect of ours."""
    return _failure(error) is not None


async def answered(
    answering: Awaitable[_Answer],
    refusing: Callable[[Failure], _Answer],
    telemetry: Telemetry,
    transport: str,
) -> _Answer | None:
    """The answer to an HTTP request, whatever happens.

    Args:
        answering: makes it.
        refusing: makes it of a failure.
        telemetry: counts who went away, and errors that we did not expect.
        transport: the transport's name among the counters.

    Returns:
        The answer; None where there is nobody left to answer.
    """
    try:
        return await answering
    except ClientDisconnected:
        telemetry.add(REQUESTS, transport=transport, code=CLIENT_CLOSED)
        return None
    except asyncio.CancelledError:
        # The time to stop in is over. The server would say 500, upon which senders drop their data.
        return refusing(failure_of(Stopping(), telemetry, transport))
    except Exception as error:
        return refusing(failure_of(error, telemetry, transport))


def _come_again(message: str, reason: str, seconds: int) -> Failure:
    remedy = "send the same request again"
    return Failure(503, reason, message, remedy=remedy, retry_after_seconds=max(1, seconds))
