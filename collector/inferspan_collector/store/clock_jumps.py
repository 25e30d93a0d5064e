"""A clock that jumps ahead makes everything old at once: what is erased by age then waits.

Ages are looked at every ten minutes. Where more than an hour lies between two looks, the clock was
set ahead, or the collector or its machine slept. Which of these it was nobody can tell, so nothing
is erased by age for as long as was jumped over, a day at most: time for somebody to see a wrong
clock, and little where the clock was right. A clock that is set back ends the wait. The last look
is kept in the file, so that a restart does not hide a jump.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final

import duckdb

from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.cursors import transaction

JUMP_NS: Final = 60 * MINUTE_NS
"""More than this between two looks is a jump."""
HOLD_MAX_NS: Final = 24 * 60 * MINUTE_NS

_logger = logging.getLogger(__name__)


def may_erase(cursor: duckdb.DuckDBPyConnection, now_ns: int) -> bool:
    """Whether ages may be judged by this time; notes the look, in a transaction of its own.

    Raises:
        duckdb.Error: nothing was noted.
    """
    last, held_until = _state(cursor)
    jumped = now_ns - last
    if jumped < -JUMP_NS:
        held_until = 0
    elif _is_ahead(last, now_ns):
        held_until = max(held_until, now_ns + min(jumped, HOLD_MAX_NS))
        _logger.warning(
            "the clock says %s, %.1f hours after the last look at what is too old: nothing is "
            "erased by age before %s; if the clock is wrong, set it right before then",
            _text(now_ns),
            jumped / (60 * MINUTE_NS),
            _text(held_until),
        )
    with transaction(cursor):
        cursor.execute("DELETE FROM looks")
        cursor.execute("INSERT INTO looks VALUES (?, ?)", [now_ns, held_until])
    return now_ns >= held_until


def jumps_ahead(cursor: duckdb.DuckDBPyConnection, now_ns: int) -> bool:
    """Whether the look that is due is the first one after a jump ahead; `may_erase` notes it."""
    return _is_ahead(_state(cursor)[0], now_ns)


def held_until(cursor: duckdb.DuckDBPyConnection) -> int:
    """Until when nothing is erased by age, Unix ns; 0 where nothing waits, or no more."""
    last, until = _state(cursor)
    return until if last < until else 0


def _is_ahead(last: int, now_ns: int) -> bool:
    return last != 0 and now_ns - last > JUMP_NS


def _state(cursor: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    found = cursor.execute("SELECT last, held_until FROM looks").fetchall()
    if not found:
        # A file that never was looked at this way: its newest row says when the clock was right.
        newest = cursor.execute("SELECT max(received) FROM predictions").fetchall()[0][0]
        return newest or 0, 0
    return found[0]


def _text(time_ns: int) -> str:
    seconds = min(time_ns // 1_000_000_000, 253_402_300_799)  # datetime ends with the year 9999
    return datetime.fromtimestamp(seconds, UTC).isoformat()
