"""From when to when a window of an answer is."""

from __future__ import annotations

from functools import lru_cache

from inferspan_collector.publish.parameters import rfc3339
from inferspan_collector.store.cells import MINUTE_NS, CellQuery


def window_ends(query: CellQuery, window: int, seen: tuple[int, int]) -> tuple[str, str]:
    """The start and the end of a window, RFC 3339.

    A window that the query cuts is as long as it was counted.

    Args:
        query: what was asked.
        window: the window's first minute, Unix.
        seen: first minute of the model and the minute after its last: the ends of a single window
            where the query leaves them open.
    """
    if query.every is None:
        start = seen[0] if query.start is None else query.start
        end = max(seen[1], start + 1) if query.end is None else query.end
    else:
        start = window if query.start is None else max(window, query.start)
        end = window + query.every
        end = end if query.end is None else min(end, query.end)
    return _time(start), _time(end)


@lru_cache(maxsize=8_192)
def _time(minute: int) -> str:
    return rfc3339(minute * MINUTE_NS)
