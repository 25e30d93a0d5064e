"""A dry run of labels says what storing them would say, and nothing of it stays."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import START_NS, Label, Prediction, decoded, label_batch
from stores import HOUR_NS, FaultyStore, record_sets, rows
from test_naming import of_entity

from inferspan_collector.config import load
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store.database import Database
from inferspan_collector.store.forgetting import ToForget
from inferspan_collector.submission import Unstorable
from inferspan_collector.telemetry import LABELS, Telemetry


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FaultyStore]:
    opened = FaultyStore(tmp_path)
    yield opened
    opened.database.close()


def rehearsed(store: FaultyStore, *labels: Label) -> tuple[str, ...]:
    return store.writer.rehearse(label_batch(labels), store.now)


def test_a_dry_run_tells_late_outranked_and_repeated_labels_apart(store: FaultyStore) -> None:
    store.commit((Prediction("a"), Label("a", label_id="bank", source="bank")))
    day = 24 * 3_600 * 10**9
    said = rehearsed(
        store,
        Label("a", label_id="bank", source="bank"),
        Label("a", label_id="click", source="clicks"),
        Label("a", label_id="better", source="bank", time=START_NS + HOUR_NS),
        Label("a", label_id="late", received=START_NS + 91 * day),
        Label("b", label_id="of nothing so far"),
    )
    assert said == ("duplicate", "superseded", "joined", "late", "waiting")


def test_a_dry_run_knows_what_was_forgotten(store: FaultyStore) -> None:
    store.commit((Prediction("a"), Prediction("b", span=2)))
    store.writer.forget(ToForget("a"), store.now)
    assert rehearsed(store, Label("a"), Label("b", label_id="b")) == ("forgotten", "joined")


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(record_sets(), st.randoms(use_true_random=False))
def test_a_dry_run_says_what_follows_and_leaves_everything_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[Prediction | Label],
    order: random.Random,
) -> None:
    asked, other = (FaultyStore(tmp_path_factory.mktemp(name)) for name in ("asked", "other"))
    arriving = [*records, *order.sample(records, k=len(records) // 3)]
    order.shuffle(arriving)
    try:
        while arriving:
            size = order.randint(1, len(arriving))
            group, arriving = arriving[:size], arriving[size:]
            labels = [record for record in group if isinstance(record, Label)]
            before = rows(asked)
            said = rehearsed(asked, *labels)
            assert rows(asked) == before
            predictions = tuple(record for record in group if isinstance(record, Prediction))
            if not predictions:
                assert asked.commit(tuple(labels))[0].labels == said
                assert other.commit(tuple(labels))[0].labels == said
                continue
            for store in (asked, other):
                store.commit(predictions, tuple(labels))
        assert asked.everything() == other.everything()
        for result in ("joined", "late", "superseded", "waiting", "duplicate"):
            counted = [store.telemetry.get(LABELS, result=result) for store in (asked, other)]
            assert counted[0] == counted[1]
    finally:
        asked.database.close()
        other.database.close()


def test_a_dry_run_of_labels_about_too_much_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    config = load(None, {"limits": {"entity_pairs": 1}})
    pipeline = Pipeline(Database.open(tmp_path), config, Telemetry(), lambda: START_NS).start()
    try:
        named = [Prediction(name, span=n, entity_id="customer-1") for n, name in enumerate("ab", 1)]
        pipeline.submit(decoded(*named), "labels").result(30)
        many, one = (label_batch([label]) for label in (of_entity(), Label("a")))
        with pytest.raises(Unstorable, match=r"limits\.entity_pairs"):
            pipeline.rehearse(many).result(30)
        assert pipeline.rehearse(one).result(30) == ("joined",)
    finally:
        pipeline.close()
