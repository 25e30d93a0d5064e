"""What every receiver does with a request once it is handed on: wait, count."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import CancelledError, Future

from inferspan_collector.batches import Decoded
from inferspan_collector.receivers.bodies import STOPPING
from inferspan_collector.store.cells import Committed
from inferspan_collector.submission import Overloaded
from inferspan_collector.telemetry import (
    ACCEPTED,
    CLOCK_SKEWED,
    IGNORED,
    LABELS,
    REFUSED,
    Telemetry,
)


async def committed(future: Future[Committed]) -> Committed:
    """Wait for a commit in an event loop.

    Raises:
        Overloaded: the pipeline gave the request up because it is stopping; or as the future ends.
    """
    try:
        # Shielded: a request that is cancelled must not cancel the commit it waits for.
        return await asyncio.shield(asyncio.wrap_future(future))
    except asyncio.CancelledError:
        if not future.cancelled():
            raise
        raise Overloaded(STOPPING) from None


def committed_within(future: Future[Committed], seconds: float) -> Committed:
    """Wait for a commit in a thread, at most so long.

    Raises:
        Overloaded: no commit within that time, which does not say that there will be none; the
            pipeline gave the request up because it is stopping; or as the future ends.
    """
    try:
        return future.result(seconds)
    except TimeoutError:
        raise Overloaded(f"not stored within {seconds:.3g} s; send this again") from None
    except CancelledError:
        raise Overloaded(STOPPING) from None


def count(decoded: Decoded, telemetry: Telemetry, transport: str) -> None:
    """Count what a request held, once it is committed: a retry must not count it twice."""
    telemetry.add(ACCEPTED, len(decoded.predictions), signal="predictions", transport=transport)
    telemetry.add(ACCEPTED, decoded.slim_records, signal="slim_records", transport=transport)
    telemetry.add(ACCEPTED, len(decoded.labels), signal="labels", transport=transport)
    telemetry.add(IGNORED, decoded.ignored, transport=transport)
    telemetry.add(CLOCK_SKEWED, decoded.clock_skewed, transport=transport)
    reasons = Counter((refusal.signal, refusal.reason) for refusal in decoded.refused)
    for (signal, reason), n in reasons.items():
        telemetry.add(REFUSED, n, signal=signal, transport=transport, reason=reason)
        if signal == "labels":
            telemetry.add(LABELS, n, result="invalid")
