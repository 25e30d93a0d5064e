"""How long a transaction waits for more requests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.gathering import LONGEST, QUIET_SECONDS, still_to_wait

GROUP = 0.005
SECONDS = st.floats(0, 1)


def waits(*, oldest: float = 1.0, newest: float = 1.0, now: float, arriving: bool) -> float:
    """Of a group that began at 1.0."""
    return still_to_wait(
        began=1.0,
        oldest=oldest,
        newest=newest,
        now=now,
        arriving=arriving,
        group_seconds=GROUP,
    )


def test_a_lone_request_waits_as_long_as_configured() -> None:
    def wait(now: float) -> float:
        return waits(now=now, arriving=False)

    assert 0 < wait(1.0) <= GROUP
    assert wait(1.0 + GROUP / 2) > 0
    assert wait(1.0 + 2 * GROUP) == 0


def test_requests_under_way_are_waited_for() -> None:
    now = 1.0 + 2 * GROUP
    assert waits(now=now, arriving=True) > 0


def test_the_next_request_may_not_have_been_seen_yet() -> None:
    now = 1.0 + 2 * GROUP
    newest = now - QUIET_SECONDS / 2
    assert waits(newest=newest, now=now, arriving=False) > 0


def test_what_came_while_others_were_written_waits_for_their_senders_alone() -> None:
    def wait(now: float) -> float:
        return waits(oldest=0.9, newest=0.95, now=now, arriving=False)

    assert 0 < wait(1.0) <= 1.01 * QUIET_SECONDS
    assert wait(1.0 + 1.01 * QUIET_SECONDS) == 0


@given(
    began=SECONDS,
    oldest=SECONDS,
    newest=SECONDS,
    now=SECONDS,
    arriving=st.booleans(),
    group=SECONDS,
)
def test_nobody_is_waited_for_beyond_the_limit(
    began: float, oldest: float, newest: float, now: float, arriving: bool, group: float
) -> None:
    wait = still_to_wait(
        began=began,
        oldest=oldest,
        newest=newest,
        now=now,
        arriving=arriving,
        group_seconds=group,
    )
    assert 0 <= wait <= max(0.0, began + LONGEST * group - now)
