"""Our errors are counted and logged now and then; interrupts are not ours."""

from __future__ import annotations

import logging

import pytest

from inferspan.containment import LOG_INTERVAL_S, PLACES_MAX, Contained, ErrorLog
from inferspan.testing import record_contained_errors


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_line_a_minute_for_each_place(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    log = ErrorLog(clock)
    with caplog.at_level(logging.WARNING, "inferspan"):
        for clock.now in (0.0, 1.0, LOG_INTERVAL_S - 1, LOG_INTERVAL_S, LOG_INTERVAL_S + 1):
            log.report("here", ValueError("x"))
            log.warn_sometimes("there", "said")
    lines = [record.getMessage() for record in caplog.records]
    assert [line.startswith("inferspan failed at 'here' (1") for line in lines].count(True) == 1
    assert [line.startswith("inferspan failed at 'here' (4") for line in lines].count(True) == 1
    assert lines.count("said") == 1
    assert lines.count("said (2 more like it since the last such line)") == 1
    assert len(lines) == 4
    assert log.counts() == {"here": 5, "there": 5}


def test_a_warning_is_given_once(caplog: pytest.LogCaptureFixture) -> None:
    log = ErrorLog()
    with caplog.at_level(logging.WARNING, "inferspan"):
        log.warn_once("key", "message")
        log.warn_once("key", "message")
    assert [record.getMessage() for record in caplog.records] == ["message"]


def test_places_are_bounded() -> None:
    log = ErrorLog()
    for number in range(PLACES_MAX + 10):
        log.warn_sometimes(f"place {number}", "m")
        log.report(f"place {number}", ValueError())
    assert len(log.counts()) == PLACES_MAX + 1
    assert sum(log.counts().values()) == 2 * (PLACES_MAX + 10)


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interrupts_pass(interrupt: type[BaseException]) -> None:
    with pytest.raises(interrupt), Contained("place"):
        raise interrupt


def test_everything_else_ends_here(contained_errors: list[BaseException]) -> None:
    class Odd(BaseException):
        pass

    with record_contained_errors() as collected:
        for error in (ValueError(), Odd()):
            with Contained("place"):
                raise error
    with Contained("place"):
        raise ValueError("after")
    assert [type(error) for error in collected] == [ValueError, Odd]
    assert len(contained_errors) == 3
    contained_errors.clear()
