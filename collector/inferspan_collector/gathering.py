"""How long a transaction waits for more requests: pure, times are arguments.

A transaction costs about as much for one request as for sixteen: a dozen statements and a sync of
the disk. So while requests are being received, the next transaction waits for them; where none is,
it begins `limits.group_milliseconds` after its oldest request came, which may have been while the
one before was written.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 5
"""Times `limits.group_milliseconds` that requests under way are waited for: a slow sender holds up
nobody for longer."""
QUIET_SECONDS: Final = 0.002
"""How long no request came where none is under way: what senders send next, once they are
answered, is not seen before it is read."""


def still_to_wait(
    *,
    began: float,
    oldest: float,
    newest: float,
    now: float,
    arriving: bool,
    group_seconds: float,
) -> float:
    """Seconds to wait before the question is asked again; 0 = begin the transaction.

    Args:
        began: since when there are requests, and nothing else is written: those whose requests were
            written may send their next. In seconds of any clock.
        oldest: when the first request of the group came.
        newest: when the latest request came.
        now: the time.
        arriving: whether requests are being received or decoded.
        group_seconds: `limits.group_milliseconds`.
    """
    left = began + LONGEST * group_seconds - now
    if left <= 0:
        return 0.0
    wanted = QUIET_SECONDS if arriving else 0.0
    heard = max(newest, began)
    wanted = max(wanted, oldest + group_seconds - now, heard + QUIET_SECONDS - now)
    return min(left, wanted)
