"""Our own counters: exact under threads, and bounded whatever labels they are given."""

from __future__ import annotations

import threading
import time

import pytest

from inferspan_collector.telemetry import (
    COMMITS,
    COUNTERS,
    OTHER,
    REFUSED,
    REQUESTS,
    SERIES_MAX,
    STAGE_CPU,
    STAGE_TIME,
    Telemetry,
)


def test_a_counter_is_read_by_some_or_all_of_its_labels() -> None:
    telemetry = Telemetry()
    telemetry.add(REQUESTS, transport="http", code="200")
    telemetry.add(REQUESTS, 3, transport="http", code="503")
    telemetry.add(REQUESTS, 5, transport="grpc", code="200")

    assert telemetry.get(REQUESTS, transport="http", code="503") == 3
    assert telemetry.get(REQUESTS, code="200") == 6
    assert telemetry.get(REQUESTS) == 9
    assert telemetry.get(REQUESTS, transport="labels") == 0


def test_nothing_counted_makes_no_series() -> None:
    telemetry = Telemetry()
    telemetry.add(REQUESTS, 0, transport="http", code="200")
    assert telemetry.snapshot()[REQUESTS] == {}


def test_a_label_left_out_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError, match="code"):
        Telemetry().add(REQUESTS, transport="http")


def test_labels_beyond_the_limit_fold_and_are_all_counted() -> None:
    telemetry = Telemetry()
    for number in range(2 * SERIES_MAX):
        telemetry.add(REFUSED, signal="labels", transport="http", reason=str(number))
    telemetry.add(REFUSED, signal="labels", transport="http", reason="0")

    counts = telemetry.snapshot()[REFUSED]
    assert len(counts) == SERIES_MAX + 1
    assert counts[OTHER, OTHER, OTHER] == SERIES_MAX
    assert telemetry.get(REFUSED, reason="0") == 2
    assert telemetry.get(REFUSED) == 2 * SERIES_MAX + 1


def test_a_snapshot_holds_every_counter_and_stays_as_it_was() -> None:
    telemetry = Telemetry()
    telemetry.add(COMMITS)
    snapshot = telemetry.snapshot()
    telemetry.add(COMMITS)

    assert set(snapshot) == set(COUNTERS)
    assert snapshot[COMMITS] == {(): 1}
    assert telemetry.get(COMMITS) == 2


def test_the_time_of_a_stage_is_counted_though_it_fails() -> None:
    telemetry = Telemetry()
    took: list[int] = []

    def failing() -> None:
        began, cpu = time.perf_counter_ns(), time.thread_time_ns()
        sum(range(10_000))
        took.extend((time.perf_counter_ns() - began, time.thread_time_ns() - cpu))
        raise ValueError("of the stage")

    with pytest.raises(ValueError, match="of the stage"), telemetry.timed("decode"):
        failing()
    assert telemetry.get(STAGE_TIME, stage="decode") >= took[0] > 0
    assert telemetry.get(STAGE_CPU, stage="decode") >= took[1] > 0


def test_threads_lose_no_count() -> None:
    telemetry = Telemetry()
    start = threading.Barrier(4)

    def count() -> None:
        start.wait()
        for number in range(2_000):
            telemetry.add(REQUESTS, transport="http", code=str(number % 7))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert telemetry.get(REQUESTS) == 8_000


def test_names_are_those_of_prometheus_and_each_is_there_once() -> None:
    names = [counter.name for counter in COUNTERS]
    assert len(set(names)) == len(names)
    assert [name for name in names if name.endswith("_total")] == []
    assert [name for name in names if not name.startswith("inferspan_")] == []
