"""Rows and counters leave by age and size; figures of what is kept do not change."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from join_oracle import DAY_NS, Cell, current_predictions, outcome_cells
from records import MINUTE_NS, START_NS, Label, Prediction, decoded
from stores import HOUR_NS, RANKS, WINDOWS, Store, figures, record_sets, rows, tidied, tidied_at

from inferspan_collector.config import Config, load
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store import retention
from inferspan_collector.store.cells import CellQuery, Committed
from inferspan_collector.store.database import Database
from inferspan_collector.store.forgetting import ToForget
from inferspan_collector.telemetry import ERASED, Telemetry
from inferspan_collector.testing import ManualClock
from waiting import wait_until

START_MINUTE = START_NS // MINUTE_NS


def kept(rows: str = "90d", **section: object) -> Config:
    """A configuration of the store."""
    return load(None, {"store": {"retention": {"rows": rows}, **section}})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.database.close()


def test_rows_leave_after_the_longest_window_and_figures_stay(store: Store) -> None:
    store.commit((Prediction(slices={"country": "DE"}), Label(), Label("order-9", label_id="x")))
    before = figures(store)
    last = START_NS + 90 * DAY_NS

    tidied(store, last)
    assert rows(store)["predictions"] == 1
    tidied(store, last + 2 * MINUTE_NS)
    # Looked at a moment ago: not yet.
    assert rows(store)["predictions"] == 1
    tidied(store, last + retention.CHECK_NS)

    assert rows(store) == dict.fromkeys(rows(store), 0)
    assert figures(store) == before
    assert store.telemetry.get(ERASED, table="predictions", reason="age") == 1
    assert store.telemetry.get(ERASED, table="labels", reason="age") == 2


def test_a_retry_is_known_as_long_as_the_row_lives(store: Store) -> None:
    store.commit((Prediction(), Label()))
    tidied(store, START_NS + 90 * DAY_NS)
    assert store.commit((Prediction(), Label())) == [Committed(0, ("duplicate",))]


def test_the_longest_window_of_any_target_decides(tmp_path: Path) -> None:
    config = load(
        None,
        {
            "store": {"retention": {"rows": "7d"}},
            "models": {"fraud": {"targets": {"chargeback": {"window": "120d"}}}},
        },
    )
    store = Store(tmp_path, config)
    store.commit((Prediction(),))
    tidied(store, START_NS + 120 * DAY_NS)
    late = Label(received=START_NS + 8 * DAY_NS)
    joined = Label(label_id="c", target="chargeback", received=START_NS + 119 * DAY_NS)

    assert store.commit((late, joined)) == [Committed(0, ("late", "joined"))]
    store.database.close()


def test_a_label_that_came_first_stays_and_wins_as_long_as_its_prediction_lives(
    store: Store,
) -> None:
    store.commit((Label(revision=5, actual="fraud"),))
    store.commit((Prediction(received=START_NS + 80 * DAY_NS),))
    tidied(store, START_NS + 120 * DAY_NS)

    correction = Label(revision=4, actual="legit", received=START_NS + 120 * DAY_NS)
    assert store.commit((correction,)) == [Committed(0, ("superseded",))]
    assert store.cells() == {(START_MINUTE // 60 * 60, "fraud", "fraud", 1): 1}
    tidied(store, START_NS + 211 * DAY_NS)
    assert rows(store) == dict.fromkeys(rows(store), 0)


@pytest.mark.parametrize("erased", [False, True])
def test_a_link_is_late_beyond_the_life_of_its_row_whether_that_is_there_or_not(
    store: Store, erased: bool
) -> None:
    later = START_NS + 40 * DAY_NS
    store.commit((Prediction(span=1),))
    store.commit((Prediction(span=2, event_time=START_NS + MINUTE_NS, received=later),))
    if erased:
        tidied(store, START_NS + 100 * DAY_NS)
    assert rows(store)["predictions"] == 2 - erased

    late = Label(None, "fraud", link_trace=1, link_span=1, received=START_NS + 100 * DAY_NS)
    store.commit((late,))
    assert store.cells() == {}
    of_the_later = replace(late, label_id="other", link_span=2, actual="legit", revision=8)
    store.commit((of_the_later,))
    assert sum(n for (_, _, actual, _), n in store.cells().items() if actual == "legit") == 1


def test_a_label_by_link_wins_as_long_as_the_prediction_that_it_means(store: Store) -> None:
    store.commit((Prediction(span=1),))
    later = START_NS + 80 * DAY_NS
    store.commit((Prediction(span=2, event_time=START_NS + MINUTE_NS, received=later),))
    link = Label(None, link_trace=1, link_span=1, received=START_NS + 20 * DAY_NS, source="bank")
    store.commit((replace(link, actual="legit"),))
    hour = START_MINUTE // 60 * 60

    for day in (100, 120, 160):
        tidied(store, START_NS + day * DAY_NS)
        # The row that it links to says what it means, however old.
        assert rows(store)["predictions"] == 2
        other = Label(label_id=f"of-{day}", received=START_NS + day * DAY_NS)
        assert store.commit((other,)) == [Committed(0, ("superseded",))]
        assert store.cells() == {(hour, "fraud", "legit", 0): 1}
    tidied(store, START_NS + 251 * DAY_NS)
    assert rows(store) == dict.fromkeys(rows(store), 0)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_span_that_was_superseded_counts_for_nobody_after_the_other_was_erased(
    store: Store, restarts: bool
) -> None:
    store.commit((Prediction(kind=2),))
    store.commit((Prediction(kind=3, span=2, received=START_NS + 40 * DAY_NS),))
    later = START_NS + 91 * DAY_NS
    tidied(store, later)
    if restarts:
        store.database.close()
        store.open()

    assert store.commit((Label(received=later),)) == [Committed(0, ("waiting",))]
    assert store.cells() == {}


def test_numbers_of_erased_rows_are_not_given_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit((Prediction("a"), Label("a")), (Prediction("b", span=2),))
    now = START_NS + 91 * DAY_NS
    tidied(store, now)
    store.database.close()

    store = Store(tmp_path)
    store.commit((Prediction("c", span=3, received=now), Label("c", "legit", "l3", received=now)))
    with store.database.cursor() as cursor:
        assert cursor.execute("SELECT row_id FROM predictions").fetchall() == [(3,)]
        assert cursor.execute("SELECT row_id FROM labels").fetchall() == [(2,)]
    store.database.close()


def windows_of_a_day(store: Store) -> Counter[int]:
    """Predictions per minute of the day in which the tests begin."""
    day = START_MINUTE // 1440 * 1440
    cells = store.reader.prediction_cells(CellQuery(every=1, start=day, end=day + 1440))
    return Counter(dict(zip(cells.window.tolist(), cells.n.tolist(), strict=True)))


def test_minutes_become_hours_and_a_later_correction_stands_in_the_hour_too(store: Store) -> None:
    hour = START_NS // HOUR_NS * HOUR_NS
    for n, minute in enumerate((0, 7, 7, 59, 60)):
        store.commit(
            (Prediction(f"o{n}", span=n + 1, event_time=hour + minute * MINUTE_NS), Label(f"o{n}"))
        )
    first = hour // MINUTE_NS
    assert windows_of_a_day(store) == {first: 1, first + 7: 2, first + 59: 1, first + 60: 1}

    tidied(store, hour + 14 * DAY_NS + HOUR_NS)
    store.commit((Label("o1", "legit", revision=1),))

    assert windows_of_a_day(store) == {first: 4, first + 60: 1}
    assert store.cells() == {
        (first, "fraud", "fraud", 1): 3,
        (first, "fraud", "legit", 0): 1,
        (first + 60, "fraud", "fraud", 1): 1,
    }
    by_hour = store.reader.prediction_cells(CellQuery(every=60))
    assert dict(zip(by_hour.window.tolist(), by_hour.n.tolist(), strict=True)) == {
        first: 4,
        first + 60: 1,
    }
    with store.database.cursor() as cursor:
        minutes = cursor.execute("SELECT DISTINCT minute FROM prediction_cells").fetchall()
    assert {minute for (minute,) in minutes} == {first, first + 60}
    store.writer.compact()
    assert windows_of_a_day(store) == {first: 4, first + 60: 1}


def test_hours_leave_at_last(store: Store) -> None:
    later = START_NS + 40 * DAY_NS
    store.commit((Prediction(), Label(), Prediction("b", span=2, event_time=later)))
    tidied(store, START_NS + 400 * DAY_NS)
    assert store.predictions() == 2
    tidied(store, START_NS + 400 * DAY_NS + HOUR_NS)

    assert store.predictions() == 1
    assert store.cells() == {}


def test_a_clock_that_was_set_back_does_not_stop_it(store: Store) -> None:
    tidied(store, START_NS + 10_000 * DAY_NS)
    assert store.writer.tidying_due(START_NS)


def fill(store: Store, n: int, apart_ns: int) -> None:
    """More rows of the one there is, with ids that do not compress, received so far apart."""
    with store.database.cursor() as cursor:
        names = cursor.execute(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = 'predictions'"
        ).fetchall()
        values: Mapping[str, str] = {
            "row_id": "row_id + i",
            "key_high": "hash(i + 3)",
            "id_text": "NULL",
            "key_low": "hash(i)",
            "received": f"received + i * {apart_ns}",
            "trace_high": "hash(i + 1)",
            "span": "hash(i + 2)",
        }
        columns = ", ".join(values.get(name, name) for (name,) in names)
        cursor.execute(
            f"INSERT INTO predictions SELECT {columns} FROM predictions, range(1, {n}) AS r(i)"
        )
        cursor.execute("CHECKPOINT")


def size_of(store: Store) -> int:
    with store.database.cursor() as cursor:
        query = "SELECT sum(block_size * used_blocks) FROM pragma_database_size()"
        return int(cursor.execute(query).fetchall()[0][0])


def test_a_store_over_its_size_loses_its_oldest_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, kept(size_limit="15MB"))
    store.commit((Prediction(),))
    fill(store, 500_000, 10**9)
    full = size_of(store)
    now = START_NS + 500_000 * 10**9
    for n in range(5):
        tidied(store, now + n * retention.CHECK_NS)

    assert full > 15_000_000 >= size_of(store)
    with store.database.cursor() as cursor:
        left = cursor.execute("SELECT count(*), min(row_id), max(row_id) FROM predictions")
        assert left.fetchall()[0][1:] == (500_001 - rows(store)["predictions"], 500_000)
    assert "store.size_limit is 15000000" in caplog.text
    assert store.telemetry.get(ERASED, table="predictions", reason="size") > 0
    assert store.predictions() == 1
    store.database.close()


def test_rows_of_the_last_hour_stay_whatever_the_size(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path, kept(size_limit="10MB"))
    store.commit((Prediction(),))
    fill(store, 300_000, 1_000_000)
    tidied(store, START_NS + 30 * MINUTE_NS)

    assert rows(store)["predictions"] == 300_000
    assert "younger than an hour" in caplog.text
    store.database.close()


@pytest.mark.parametrize("reopened", [False, True])
def test_a_clock_that_jumps_ahead_erases_nothing_at_once(tmp_path: Path, reopened: bool) -> None:
    store = Store(tmp_path)
    store.commit((Prediction(), Label(), Label("order-9", label_id="x")))
    store.writer.forget(ToForget("secret"), START_NS)
    before, kept = figures(store), rows(store)
    tidied_at(store, START_NS)
    wrong = START_NS + 3_000 * DAY_NS

    tidied_at(store, wrong)
    if reopened:
        store.database.close()
        store.open()
    tidied_at(store, wrong + 50 * MINUTE_NS)
    assert (figures(store), rows(store)) == (before, kept)
    assert store.reader.sizes().held_until == wrong + DAY_NS
    assert store.commit((Prediction("secret", span=9),)) == [Committed(0, ())]

    # Set right again: the wait is over, and nothing was lost.
    tidied_at(store, START_NS + HOUR_NS)
    assert (figures(store), rows(store)) == (before, kept)
    assert store.reader.sizes().held_until == 0
    tidied(store, START_NS + 90 * DAY_NS + 2 * HOUR_NS)
    assert rows(store) == dict.fromkeys(rows(store), 0)
    store.database.close()


def test_what_a_sleeping_machine_kept_too_long_leaves_when_it_was_awake_as_long(
    store: Store,
) -> None:
    store.commit((Prediction(),))
    tidied(store, START_NS + 90 * DAY_NS - HOUR_NS)
    awake = START_NS + 90 * DAY_NS + 7 * HOUR_NS
    for hour in range(8):
        tidied_at(store, awake + hour * HOUR_NS)
        assert rows(store)["predictions"] == 1
    tidied_at(store, awake + 8 * HOUR_NS)
    assert rows(store)["predictions"] == 0


def test_the_pipeline_tidies_while_nobody_sends(tmp_path: Path) -> None:
    clock, telemetry = ManualClock(START_NS), Telemetry()
    config = load(None, {"store": {"retention": {"rows": "30m"}}})
    pipeline = Pipeline(Database.open(tmp_path), config, telemetry, clock.now_ns).start()
    pipeline.submit(decoded(Prediction(), Label()), "http").result(30)
    clock.advance(50 * 60)

    wait_until(lambda: telemetry.get(ERASED, table="labels") == 1, 30)
    assert pipeline.reader.predictions("fraud") == []
    assert pipeline.reader.outcome_cells(CellQuery()).n.tolist() == [1]
    pipeline.close()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(record_sets(), st.randoms(use_true_random=False))
def test_no_figure_depends_on_when_rows_leave(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[Prediction | Label],
    order: random.Random,
) -> None:
    # Spans of one key that come further apart than rows live are two predictions.
    latest = START_NS + 80 * DAY_NS
    records = [
        replace(r, received=min(r.received, latest)) if isinstance(r, Prediction) else r
        for r in records
    ]
    arriving: list[Any] = sorted(records, key=lambda record: record.received)
    store = Store(tmp_path_factory.mktemp("retention"))
    try:
        while arriving:
            size = order.randint(1, len(arriving))
            for record in arriving[:size]:
                store.commit((record,))
            arriving = arriving[size:]
            if arriving:
                tidied(store, arriving[0].received)
        for target, ranks in (("default", RANKS), ("chargeback", {})):
            expected = as_folded(outcome_cells(records, target, ranks, None, WINDOWS), since(store))
            assert expected == store.cells(target=target)
        current = current_predictions(r for r in records if isinstance(r, Prediction))
        assert len(current) == store.predictions()
    finally:
        store.database.close()


def as_folded(cells: Counter[Cell], minutes_since: int) -> Counter[Cell]:
    """Cells with those before a minute in their whole hours."""
    folded: Counter[Cell] = Counter()
    for (minute, *rest), n in cells.items():
        hour = minute // 60 * 60
        folded[(hour if minute < minutes_since else minute, *rest)] += n  # type: ignore[index]
    return folded


def since(store: Store) -> int:
    """From which minute on cells are those of minutes."""
    with store.database.cursor() as cursor:
        return int(cursor.execute("SELECT minutes_since FROM kept").fetchall()[0][0])
