"""How queues of spans end: side by side, within one time; what they leave is said in one line."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from inferspan.containment import say

if TYPE_CHECKING:
    from inferspan.span_queue import SpanQueue

LEAVE_SECONDS: Final = 4.0
"""What the end of a process may take; with the interpreter's own end it is below five seconds."""


def leave(queues: Sequence[SpanQueue], seconds: float, *, last: bool = True) -> int:
    """Export what waits in several queues, all within one time, and close them.

    Args:
        queues: each is emptied by its own thread, side by side.
        seconds: for all of them together.
        last: False: those that were emptied stay open.

    Returns:
        How many spans were left; logged in one line if any.
    """
    deadline = time.monotonic() + seconds
    queues = [spans for spans in queues if not spans.closed]
    for spans in queues:
        spans.begin_leaving()
    left: Counter[str] = Counter()
    try:
        for spans in queues:
            spans.join(deadline - time.monotonic())
    finally:
        for spans in queues:
            if last or not spans.go_on():
                left[spans.what.replace("predictions", "prediction spans")] += spans.close()
        if left.total():
            named = " and ".join(f"{n:,} {w[:-1] if n == 1 else w}" for w, n in left.items() if n)
            say(
                logging.WARNING,
                "inferspan: lost %s, not delivered within %g s; call inferspan.flush() "
                "before the end to wait longer, or send to a local gateway",
                named,
                seconds,
            )
    return left.total()
