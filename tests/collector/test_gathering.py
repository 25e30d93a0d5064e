"""How long a transaction waits for more requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.gathering import LONG, LONGEST, QUIET_SECONDS, still_to_wait

GROUP = 0.005
SECONDS = st.floats(0, 1)


def wait(
    now: float,
    *,
    oldest: float = 1.0,
    newest: float = 1.0,
    waiting: int = 1,
    arriving: int = 0,
) -> float:
    """Of a group that began at 1.0."""
    return still_to_wait(
        began=1.0,
        oldest=oldest,
        newest=newest,
        now=now,
        waiting=waiting,
        arriving=arriving,
        group_seconds=GROUP,
    )


def test_a_lone_request_waits_as_long_as_configured() -> None:
    assert 0 < wait(1.0) <= 1.01 * GROUP
    assert wait(1.0 + GROUP / 2) > 0
    assert wait(1.0 + 1.01 * GROUP) == 0


def test_many_requests_under_way_are_waited_for() -> None:
    now = 1.0 + (LONGEST - 1) * GROUP
    assert wait(now, waiting=4, arriving=1) > 0
    assert wait(1.0 + LONGEST * GROUP, waiting=4, arriving=1) == 0


def test_few_requests_under_way_hold_up_nobody_who_waits() -> None:
    now = 1.0 + 2 * QUIET_SECONDS + GROUP
    assert wait(now, waiting=8, arriving=1) == 0


def test_the_next_request_may_not_have_been_seen_yet() -> None:
    now = 1.0 + 1.5 * GROUP
    assert wait(now, newest=now - QUIET_SECONDS / 2) > 0
    assert wait(now, newest=now - 1.01 * QUIET_SECONDS) == 0


def test_requests_that_keep_coming_one_by_one_are_not_waited_for() -> None:
    now = 1.0 + LONG * GROUP
    assert wait(now, newest=now, waiting=8, arriving=1) == 0


def test_what_came_while_others_were_written_waits_for_their_senders_alone() -> None:
    assert 0 < wait(1.0, oldest=0.9, newest=0.95) <= 1.01 * QUIET_SECONDS
    assert wait(1.0 + 1.01 * QUIET_SECONDS, oldest=0.9, newest=0.95) == 0


@given(
    oldest=SECONDS,
    newest=SECONDS,
    now=st.floats(1, 2),
    waiting=st.integers(1, 100),
    arriving=st.integers(0, 100),
)
def test_nobody_is_waited_for_beyond_the_limit(
    oldest: float, newest: float, now: float, waiting: int, arriving: int
) -> None:
    waits = wait(now, oldest=oldest, newest=newest, waiting=waiting, arriving=arriving)
    assert 0 <= waits <= max(0.0, 1.0 + LONGEST * GROUP - now)


def test_who_configures_no_wait_waits_for_nobody() -> None:
    assert (
        still_to_wait(
            began=1.0,
            oldest=1.0,
            newest=1.0,
            now=1.0,
            waiting=1,
            arriving=3,
            group_seconds=0.0,
        )
        == 0
    )
