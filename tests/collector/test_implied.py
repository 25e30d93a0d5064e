"""`absent_means`: what it means that no label came, as long as none does."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from join_oracle import DAY_NS, current_predictions, outcome_cells
from records import MINUTE_NS, START_NS, Label, Prediction, decoded
from stores import RANKS, Store, record_sets, tidied

from inferspan_collector.config import ConfigError, load
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store import implied
from inferspan_collector.store.cells import CellQuery, Committed
from inferspan_collector.store.database import Database
from inferspan_collector.telemetry import LABELS, Telemetry
from inferspan_collector.testing import ManualClock
from waiting import wait_until

SILENCE = {"absent_means": {"value": "legit", "after": "10d"}}
CONFIG = load(
    None,
    {
        "models": {
            "fraud": {"targets": {"default": {"sources": ["clicks", "bank"], **SILENCE}}},
            "price": {
                "tolerance": 0.5,
                "targets": {"default": {"absent_means": {"value": 0, "after": "30m"}}},
            },
        },
        "store": {"retention": {"minutes": "400d"}},
        "jaeger": {"otlp": "http://127.0.0.1:1", "evaluations_per_second": 1_000_000},
    },
)
MINUTE = START_NS // MINUTE_NS
DUE = START_NS + 10 * DAY_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path, CONFIG)
    yield opened
    opened.database.close()


def test_silence_means_its_value_once_it_has_lasted(store: Store) -> None:
    store.commit((Prediction("a"), Prediction("b", "legit", span=2)))
    tidied(store, DUE - 1)
    assert store.cells() == {}
    tidied(store, DUE + implied.CHECK_NS)

    assert store.cells() == {(MINUTE, "fraud", "legit", 0): 1, (MINUTE, "legit", "legit", 1): 1}
    assert store.telemetry.get(LABELS, result="implied") == 2
    assert store.telemetry.get(LABELS, result="joined") == 0


def test_a_label_that_came_is_not_spoken_over(store: Store) -> None:
    store.commit((Prediction(), Label()))
    tidied(store, DUE)

    assert store.cells() == {(MINUTE, "fraud", "fraud", 1): 1}
    assert store.telemetry.get(LABELS, result="implied") == 0


def test_a_label_that_comes_after_all_takes_it_back(store: Store) -> None:
    store.commit((Prediction(),))
    tidied(store, DUE)
    # By no measure of the order among labels greater than what silence implied, but said.
    late = Label(label_id="a", time=START_NS - DAY_NS, received=DUE + DAY_NS)
    assert store.commit((late,)) == [Committed(0, ("joined",))]
    assert store.cells() == {(MINUTE, "fraud", "fraud", 1): 1}

    store.commit((replace(late, deleted=True, actual=None, revision=1),))
    tidied(store, DUE + 2 * DAY_NS)
    assert store.cells() == {}


def test_a_second_look_and_a_restart_change_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, CONFIG)
    store.commit((Prediction(),))
    for later in range(3):
        tidied(store, DUE + later * implied.CHECK_NS)
    before = store.cells()
    store.database.close()

    store = Store(tmp_path, CONFIG)
    tidied(store, DUE + DAY_NS)
    assert store.cells() == before
    assert store.telemetry.get(LABELS) == 0
    store.database.close()


def test_a_prediction_that_comes_when_it_is_long_due_is_seen(store: Store) -> None:
    tidied(store, DUE + 5 * DAY_NS)
    received = DUE + 5 * DAY_NS + 1
    store.commit((Prediction(received=received),))
    tidied(store, received + implied.CHECK_NS)

    assert store.cells() == {(MINUTE, "fraud", "legit", 0): 1}


def test_silence_is_of_the_row_that_was_silent(store: Store) -> None:
    later = START_NS + DAY_NS
    store.commit((Prediction(kind=3, span=2),))
    tidied(store, DUE)
    assert store.cells().total() == 1
    store.commit((Prediction(kind=2, event_time=later),))
    # Another span of the key counts now, and its time has not come.
    assert store.cells() == {}
    tidied(store, DUE + DAY_NS)
    assert store.cells() == {(later // MINUTE_NS, "fraud", "legit", 0): 1}


def test_a_call_that_raised_is_not_judged_by_silence(store: Store) -> None:
    store.commit((Prediction(error_type="ValueError", predicted=None),))
    tidied(store, DUE)
    assert store.cells() == {}


def test_numbers_can_be_meant(store: Store) -> None:
    priced = Prediction(
        predicted=None, model="price", task="regression", positive_class=None, value=0.25
    )
    store.commit((priced,))
    tidied(store, START_NS + 30 * MINUTE_NS)

    assert store.cells(model="price") == {(MINUTE, None, None, 1): 1}


def test_many_are_done_in_steps(store: Store) -> None:
    n = implied.STEP_LABELS + 10
    store.commit(tuple(Prediction(f"o{i}", span=i + 1) for i in range(n)))

    assert tidied(store, DUE) > 2
    assert store.cells() == {(MINUTE, "fraud", "legit", 0): n}


def test_labels_that_wait_too_long_are_counted_once_and_join_later(store: Store) -> None:
    tidied(store, START_NS)
    store.commit((Label(received=START_NS), Label("order-2", label_id="b", received=START_NS)))
    store.commit((Prediction("order-2", span=2),))
    for minutes in (9, 10, 11, 30):
        tidied(store, START_NS + minutes * MINUTE_NS)
        expected = 0 if minutes < 10 else 1
        assert store.telemetry.get(LABELS, result="unmatched") == expected

    store.commit((Prediction(),))
    assert store.cells().total() == 2


def test_what_silence_implied_is_told_from_what_was_said(store: Store) -> None:
    store.commit(
        (
            Prediction("silent", slices={"country": "DE"}),
            Prediction("said", span=2, slices={"country": "DE"}),
            Prediction("failed", span=3, error_type="ValueError"),
            Prediction("late word", span=4, slices={"country": "FR"}),
            Label("said", "legit"),
        )
    )
    assert store.reader.implied(CellQuery()) == {}
    tidied(store, DUE + implied.CHECK_NS)
    by_country = CellQuery(every=60, by=("slice.country",))
    hour = START_NS // (60 * MINUTE_NS) * 60
    assert store.reader.implied(CellQuery()) == {(0, ()): 2}
    assert store.reader.implied(by_country) == {(hour, ("DE",)): 1, (hour, ("FR",)): 1}
    assert store.reader.implied(CellQuery(target="chargeback")) == {}
    rows = {row.prediction_id: row.implied for row in store.reader.predictions("fraud")}
    assert rows == {"silent": True, "said": False, "failed": False, "late word": True}

    store.commit((Label("late word", "fraud", "l4", received=DUE),))
    assert store.reader.implied(by_country) == {(hour, ("DE",)): 1}


def test_the_pipeline_says_what_silence_means_by_its_clock(tmp_path: Path) -> None:
    clock = ManualClock(START_NS)
    pipeline = Pipeline(Database.open(tmp_path), CONFIG, Telemetry(), clock.now_ns).start()
    pipeline.submit(decoded(Prediction()), "http").result(30)
    clock.advance(10 * 86_400)

    wait_until(lambda: pipeline.reader.outcome_cells(CellQuery()).n.tolist() == [1], 30)
    pipeline.close()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"value": "legit", "after": "91d"}, "longer than rows live"),
        ({"value": "", "after": "1d"}, "is no truth"),
        ({"value": "legit", "after": "soon"}, "not a span of time"),
        ({"value": "legit"}, "after: Field required"),
        ({"value": "legit", "aftr": "1d", "after": "1d"}, "do you mean after"),
    ],
)
def test_what_is_configured_wrongly_is_said(section: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(None, {"models": {"fraud": {"targets": {"default": {"absent_means": section}}}}})


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(record_sets(), st.randoms(use_true_random=False), st.integers(0, 3))
def test_what_silence_means_depends_on_records_and_time_alone(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[Prediction | Label],
    order: random.Random,
    minutes: int,
) -> None:
    """In any order, looked at any number of times before the last: events are minutes apart."""
    last = DUE + minutes * MINUTE_NS - 1
    # All are committed soon after their receipt, as a collector does.
    records = [replace(r, received=last - 30 * MINUTE_NS) for r in records]
    arriving = list(records)
    order.shuffle(arriving)
    store = Store(tmp_path_factory.mktemp("implied"), CONFIG)
    try:
        while arriving:
            size = order.randint(1, len(arriving))
            store.commit(*((record,) for record in arriving[:size]))
            arriving = arriving[size:]
            tidied(store, last - order.choice([0, MINUTE_NS, 2 * MINUTE_NS]))
        tidied(store, last + implied.CHECK_NS)
        tidied(store, last)

        def silence(p: Prediction) -> str | None:
            return "legit" if p.event_time + 10 * DAY_NS <= last + implied.CHECK_NS else None

        expected: Counter[object] = Counter(
            outcome_cells(records, "default", RANKS, None, silence=silence)
        )
        assert expected == store.cells()
        current = current_predictions(r for r in records if isinstance(r, Prediction))
        assert len(current) == store.predictions()
    finally:
        store.database.close()
