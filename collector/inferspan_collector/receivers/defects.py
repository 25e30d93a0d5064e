"""Requests at which our own code fails: read in another way, or refused, so that none comes again
for ever.

An error that no bytes, no sender and no load explains is a defect of ours. Where it follows from
the bytes alone, 503 would bring them back without end, and hold up all that their sender has behind
them.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from inferspan_collector.batches import Decoded
from inferspan_collector.decode import PASSING, UNDECODABLE, Content
from inferspan_collector.receivers.failures import Undecodable, is_expected
from inferspan_collector.receivers.otlp import Signal
from inferspan_collector.telemetry import CONTAINED, Telemetry

SAID_SECONDS: Final = 60.0
"""Between two lines in the log about defects met by one receiver: senders repeat themselves."""

_log = logging.getLogger(__name__)


def is_defect(error: Exception) -> bool:
    """Whether nothing explains an error of decoding but our own code."""
    return not is_expected(error) and not isinstance(error, PASSING)


class Defects:
    """Counts them, and says them once a minute. Thread-safe.

    Args:
        telemetry: counts.
        transport: the receiver's name among the counters.
        clock: seconds of any monotonic clock.
    """

    def __init__(
        self, telemetry: Telemetry, transport: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._telemetry = telemetry
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._said: float | None = None
        self._unsaid = 0

    def note(self, error: Exception, consequence: str) -> None:
        """Count one.

        Args:
            error: what was raised.
            consequence: what became of the request.
        """
        self._telemetry.add(CONTAINED, where=self._transport)
        now = self._clock()
        with self._lock:
            if self._said is not None and now - self._said < SAID_SECONDS:
                self._unsaid += 1
                return
            self._said, unsaid, self._unsaid = now, self._unsaid, 0
        _log.error(
            "a request over %s met a defect of the collector; %s%s. Report this with the lines "
            "that follow",
            self._transport,
            consequence,
            f"; {unsaid} more since the last such line" if unsaid else "",
            exc_info=error,
        )

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse a request, as a whole, for a defect that reading it meets in the block.

        Raises:
            Undecodable: instead of the defect; everything else as it is.
        """
        try:
            yield
        except Exception as error:
            if not is_defect(error):
                raise
            self.note(error, "it was refused as a whole")
            raise Undecodable(error) from error

    def decoded(
        self,
        signal: Signal,
        body: Content,
        *,
        json: bool,
        received_ns: int,
        reserve: Callable[[int], None],
    ) -> Decoded:
        """Read a request as `Signal.decode` does; where that fails, by `Signal.in_parts`.

        Raises:
            Undecodable: that fails, too, and would again.
            Exception: what the request, its sender, the load, or want of memory explain.
        """
        try:
            return signal.decode(body, json=json, received_ns=received_ns, reserve=reserve)
        except Exception as error:
            if not is_defect(error):
                raise
            first = error
        with self.refusing():
            decoded = signal.in_parts(body, json=json, received_ns=received_ns, reserve=reserve)
        left_out = sum(refusal.reason == UNDECODABLE for refusal in decoded.refused)
        self.note(first, f"read record by record instead, of which {left_out} were refused")
        return decoded
