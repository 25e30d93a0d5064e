"""Our errors are counted and logged now and then; an interrupt is not ours."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Iterator
from functools import partial

import pytest

import inferspan
from inferspan.containment import LOG_INTERVAL_S, PLACES_MAX, Contained, ErrorLog
from inferspan.testing import CapturedSpans, record_contained_errors


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


class TimeLimit(BaseException):
    """What worker pools raise in a thread that has taken too long."""


def test_what_another_thread_raises_in_this_one_ends_it(spans: CapturedSpans) -> None:
    # A function without a frame of Python: what it injects is raised in ours, as by a timer.
    inject = partial(
        ctypes.pythonapi.PyThreadState_SetAsyncExc,
        ctypes.c_ulong(threading.get_ident()),
        ctypes.py_object(TimeLimit),
    )

    @inferspan.predict(model="m", task="binary_classification", output=inject)
    def scores() -> str:
        return "fraud"

    with pytest.raises(TimeLimit):
        scores()
    assert spans.prediction("m").end_time


def test_places_are_bounded() -> None:
    log = ErrorLog()
    for number in range(PLACES_MAX + 10):
        log.warn_sometimes(f"place {number}", "m")
        log.report(f"place {number}", ValueError())
    assert len(log.counts()) == PLACES_MAX + 1
    assert sum(log.counts().values()) == 2 * (PLACES_MAX + 10)


class Broken(logging.Handler):
    """Raises as logging's own do where the standard error stream is closed."""

    def emit(self, record: logging.LogRecord) -> None:
        raise ValueError("I/O operation on closed file")


def test_a_log_that_cannot_be_written_costs_nobody_a_call(spans: CapturedSpans) -> None:
    broken, log = Broken(), ErrorLog()
    logging.getLogger("inferspan").addHandler(broken)
    try:
        log.report("here", ValueError("x"))
        log.warn_once("key", "said")
        log.warn_sometimes("there", "said")
        undeclared = inferspan.predict(model="undeclared, and nobody can be told")(lambda: object())
        assert undeclared() is not None
    finally:
        logging.getLogger("inferspan").removeHandler(broken)
    assert log.counts() == {"here": 1, "there": 1}
    assert len(spans.predictions) == 1


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), Contained("place"):
        raise KeyboardInterrupt


def test_a_report_may_interrupt_a_report() -> None:
    """As a signal handler does, at any moment: here while the clock is read under the lock."""
    nested: list[str] = []

    def clock() -> float:
        if not nested:
            nested.append("once")
            log.report("inner", ValueError("in a signal handler"))
        return 0.0

    log = ErrorLog(clock)
    log.warn_sometimes("outer", "said")
    assert log.counts() == {"outer": 1, "inner": 1}


@pytest.mark.parametrize("leaving", [SystemExit, GeneratorExit])
def test_what_a_value_raises_when_we_look_at_it_costs_no_call(
    leaving: type[BaseException], spans: CapturedSpans, contained_errors: list[BaseException]
) -> None:
    class Odd(list[str]):
        def __iter__(self) -> Iterator[str]:
            raise leaving

        def __getattribute__(self, name: str) -> object:
            raise leaving

    odd = Odd(["a"])

    @inferspan.predict(model="m", task="regression", capture="values")
    def score(x: object) -> object:
        return odd

    assert score(odd) is odd
    assert len(spans.predictions) == 1
    assert {type(error) for error in contained_errors} == {leaving}
    contained_errors.clear()


def test_everything_else_ends_here(contained_errors: list[BaseException]) -> None:
    class Odd(BaseException):
        pass

    with record_contained_errors() as collected:
        for error in (ValueError(), Odd(), SystemExit(), GeneratorExit()):
            with Contained("place"):
                raise error
    with Contained("place"):
        raise ValueError("after")
    assert [type(error) for error in collected] == [ValueError, Odd, SystemExit, GeneratorExit]
    assert len(contained_errors) == 5
    contained_errors.clear()
