"""How long a write waits for more requests: pure, times are arguments.

An append to the journal costs about as much for one request as for sixteen, for it is a sync of the
disk; so does a transaction of requests that skip it. So while many requests are being received, the
next write waits for them; where few are, or none, it begins `limits.group_milliseconds` after its
oldest request came, which may have been while the one before was written.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 5
"""Times `limits.group_milliseconds` that many requests under way are waited for: a slow sender
holds up nobody for longer."""
LONG: Final = 2
"""The same of few, and of those that may come."""
MANY: Final = 0.25
"""Requests under way by those that wait: fewer cost these more than all of them save."""
QUIET_SECONDS: Final = 0.002
"""How long no request came where none is under way: what senders send next, once they are
answered, is not seen before it is read."""


def still_to_wait(
    *,
    began: float,
    oldest: float,
    newest: float,
    now: float,
    waiting: int,
    arriving: int,
    group_seconds: float,
) -> float:
    """Seconds to wait before the question is asked again; 0 = begin to write.

    Args:
        began: since when there are requests, and nothing else is written: those whose requests were
            written may send their next. In seconds of any clock.
        oldest: when the first request of the group came.
        newest: when the latest request came.
        now: the time.
        waiting: requests of the group.
        arriving: requests that are being received or decoded.
        group_seconds: `limits.group_milliseconds`.
    """
    wanted = max(oldest + group_seconds, max(newest, began) + QUIET_SECONDS) - now
    if arriving > 0 and arriving >= MANY * waiting:
        wanted = max(wanted, QUIET_SECONDS)
        left = began + LONGEST * group_seconds - now
    else:
        left = max(oldest + LONG * group_seconds, began + min(QUIET_SECONDS, group_seconds)) - now
    return max(0.0, min(left, wanted))
