"""The join is a function of the set of records, and equals the oracle's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from join_oracle import current_predictions, outcome_cells
from records import MINUTE_NS, START_NS, Label, Prediction
from stores import RANKS, WINDOWS, Store, record_sets

from inferspan_collector.store.cells import CellQuery, Committed
from inferspan_collector.telemetry import DUPLICATES, LABELS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.database.close()


def test_a_label_joins_its_prediction(store: Store) -> None:
    assert [Committed(1, ())] == store.commit((Prediction(),))
    assert [Committed(0, ("joined",))] == store.commit((Label(actual="legit"),))

    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "legit", 0): 1}


def test_a_label_that_comes_first_waits_and_joins(store: Store) -> None:
    assert [Committed(0, ("waiting",))] == store.commit((Label(),))
    assert store.reader.waiting_labels(START_NS + 10 * MINUTE_NS) == {"fraud": 1}

    store.commit((Prediction(),))

    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "fraud", 1): 1}
    assert store.reader.waiting_labels(START_NS + 10 * MINUTE_NS) == {}


def test_a_retry_changes_nothing(store: Store) -> None:
    store.commit((Prediction(), Label()), (Prediction(), Label()))
    again = store.commit((Prediction(), Label()))

    assert [Committed(0, ("duplicate",))] == again
    assert store.predictions() == 1
    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "fraud", 1): 1}
    assert store.telemetry.get(DUPLICATES, kind="retry") == 2
    assert store.telemetry.get(LABELS, result="duplicate") == 2


def test_a_correction_takes_back_what_it_replaces(store: Store) -> None:
    store.commit((Prediction(), Label(actual="fraud")))
    store.commit((Label(actual="legit", revision=1),))

    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "legit", 0): 1}


def test_another_content_under_the_same_id_and_revision_is_decided_by_its_time(
    store: Store,
) -> None:
    later = START_NS + 5 * MINUTE_NS
    store.commit((Prediction(), Label(actual="legit", time=later, received=later)))
    results = store.commit((Label(actual="fraud"),))
    assert results == [Committed(0, ("superseded",))]
    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "legit", 0): 1}

    withdrawn = later + MINUTE_NS
    store.commit((Label(actual=None, deleted=True, time=withdrawn, received=withdrawn),))
    assert store.cells() == {}


def test_a_retry_received_later_is_still_a_duplicate(store: Store) -> None:
    store.commit((Prediction(), Label()))
    again = Label(time=START_NS + 7 * MINUTE_NS, received=START_NS + 7 * MINUTE_NS)

    assert store.commit((again,)) == [Committed(0, ("duplicate",))]


def test_a_deletion_is_a_tombstone_that_late_older_revisions_do_not_lift(store: Store) -> None:
    store.commit((Prediction(), Label(revision=2, deleted=True, actual=None)))
    results = store.commit((Label(revision=1),))

    assert [Committed(0, ("superseded",))] == results
    assert store.cells() == {}


def test_the_source_ranked_higher_wins_over_the_later_label(store: Store) -> None:
    store.commit(
        (
            Prediction(),
            Label(label_id="a", source="bank", actual="legit"),
            Label(label_id="b", source="clicks", time=START_NS + 9 * MINUTE_NS),
        )
    )

    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "legit", 0): 1}


def test_targets_do_not_mix(store: Store) -> None:
    store.commit((Prediction(), Label(), Label(label_id="c", target="chargeback", actual="legit")))

    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "fraud", 1): 1}
    assert store.cells(target="chargeback") == {(START_NS // MINUTE_NS, "fraud", "legit", 0): 1}


def test_a_label_holds_for_every_version_and_variant(store: Store) -> None:
    store.commit(
        (Prediction(), Prediction(version="8", span=2), Prediction(variant="shadow", span=3)),
        (Label(),),
    )

    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "fraud", 1): 3}


def test_a_label_that_names_its_environment_stays_there(store: Store) -> None:
    store.commit(
        (Prediction(environment="prod"), Prediction(environment="staging", span=2)),
        (Label(environment="staging"),),
    )

    assert store.cells(environment="prod") == {}
    assert store.cells(environment="staging").total() == 1


def test_a_label_can_name_its_prediction_by_link_alone(store: Store) -> None:
    store.commit((Prediction(trace=(7 << 64) + 5, span=9),))
    results = store.commit(
        (Label(prediction_id=None, model=None, link_trace=(7 << 64) + 5, link_span=9),)
    )

    assert [Committed(0, ("joined",))] == results


def test_windows_are_counted_where_they_hold_a_prediction(store: Store) -> None:
    day = 1_440
    store.commit(
        (
            Prediction(slices={"country": "DE"}),
            Prediction("b", span=2, event_time=START_NS + 30 * day * MINUTE_NS),
            Prediction("c", span=3, slices={"country": "FR"}),
        )
    )

    assert store.reader.count_windows(CellQuery()) == 1
    assert store.reader.count_windows(CellQuery(every=1)) == 2
    assert store.reader.count_windows(CellQuery(every=day, by=("slice.country", "model"))) == 2
    assert store.reader.count_windows(CellQuery(model="unknown", every=1)) == 0


def test_a_link_means_one_row_of_a_batch_span(store: Store) -> None:
    store.commit((Prediction("a"), Prediction("b", span_row=1), Prediction("c", span_row=2)))
    link = Label(prediction_id=None, model=None, link_trace=1, link_span=1, index=1)
    store.commit((link,))

    (row,) = store.reader.predictions("fraud", outcome="correct")
    assert row.prediction_id == "b"


@pytest.mark.parametrize("label_first", [True, False])
def test_a_link_to_a_clients_span_finds_the_servers(store: Store, label_first: bool) -> None:
    link = Label(prediction_id=None, model=None, link_trace=1, link_span=2)
    client, server = Prediction(kind=3, span=2), Prediction(kind=2, span=1)
    for record in (link, server, client) if label_first else (server, client, link):
        store.commit((record,))

    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "fraud", 1): 1}
    assert store.reader.waiting_labels(2**62) == {}


def test_the_servers_span_counts_and_not_its_clients(store: Store) -> None:
    client = Prediction(kind=3, predicted="legit", span=2, event_time=START_NS + 1)
    store.commit((client, Label()))
    store.commit((Prediction(kind=2),))

    assert store.predictions() == 1
    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "fraud", 1): 1}
    assert store.telemetry.get(DUPLICATES, kind="superseded") == 1


def test_a_call_that_raised_is_counted_apart_and_never_judged(store: Store) -> None:
    store.commit((Prediction(error_type="ValueError", predicted=None), Label()))

    assert store.predictions() == 1
    assert store.cells() == {}


def test_numbers_are_judged_within_the_tolerance(store: Store) -> None:
    priced = Prediction(
        "a", None, model="price", task="regression", positive_class=None, value=10.0
    )
    store.commit(
        (priced, replace(priced, prediction_id="b", span=2), replace(priced, span=3)),
        (
            Label("a", "10.5", model="price", value=10.5),
            Label("b", "10.6", "label-2", model="price", value=10.6),
        ),
    )

    minute = START_NS // MINUTE_NS
    assert {(minute, None, None, 1): 1, (minute, None, None, 0): 1} == store.cells(model="price")


def test_without_a_declared_task_a_class_is_judged_by_equality(store: Store) -> None:
    store.commit((Prediction(task=None, positive_class=None), Label()))

    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "fraud", 1): 1}


def test_other_spellings_of_a_class_count_as_the_class(store: Store) -> None:
    said = Prediction("a", "1", model="churn", positive_class="true")
    store.commit((said, Label("a", "yes", model="churn")))

    assert store.cells(model="churn", by=("positive_class",)) == {
        (START_NS // MINUTE_NS, "yes", "yes", 1): 1
    }
    found = store.reader.outcome_cells(CellQuery(by=("positive_class",)))
    assert list(found.groups) == [("yes",)]
    assert [row.predicted for row in store.reader.predictions("churn", predicted="yes")] == ["yes"]


def test_a_commit_survives_reopening(tmp_path: Path) -> None:
    first = Store(tmp_path)
    first.commit((Prediction(slices={"country": "DE"}), Label()))
    first.database.close()

    second = Store(tmp_path)
    results = second.commit((Prediction(slices={"country": "DE"}), Label(revision=1)))

    assert [Committed(0, ("joined",))] == results
    assert second.cells(by=("slice.country",)).total() == 1
    second.database.close()


# --- any set, any order -------------------------------------------------------------------------


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(record_sets(), st.randoms(use_true_random=False), st.booleans())
def test_the_join_equals_the_oracle_in_any_order_and_grouping(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[Prediction | Label],
    order: random.Random,
    compact: bool,
) -> None:
    arriving = [*records, *order.sample(records, k=len(records) // 3)]
    order.shuffle(arriving)
    store = Store(tmp_path_factory.mktemp("join"))
    try:
        while arriving:
            size = order.randint(1, len(arriving))
            store.commit(*((record,) for record in arriving[:size]))
            arriving = arriving[size:]
            if compact:
                store.writer.compact()

        for target in ("default", "chargeback"):
            ranks = RANKS if target == "default" else {}
            expected = outcome_cells(records, target, ranks, None, WINDOWS)
            assert expected == store.cells(target=target)
        current = current_predictions(r for r in records if isinstance(r, Prediction))
        assert len(current) == store.predictions()
        for country in ("a", "b"):
            here = [p for p in current if p.slices.get("country") == country]
            found = store.reader.prediction_cells(CellQuery(by=("slice.country",)))
            assert len(here) == sum(
                n for group, n in zip(found.groups, found.n, strict=True) if group == (country,)
            )
        rows = store.reader.prediction_cells(CellQuery(by=("slice.country", "slice.tier")))
        assert sum({"country", "tier"} <= set(p.slices) for p in current) == rows.n.sum()
    finally:
        store.database.close()
