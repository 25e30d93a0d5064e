"""Labels by entity and by response: whichever comes first, all that are meant have them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from join_oracle import DAY_NS, HORIZON_NS, current_predictions, is_about, outcome_cells
from records import MINUTE_NS, START_NS, Label, Prediction, label_batch
from stores import RANKS, Store, classes, minutes, tidied

from inferspan_collector.config import load
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.forgetting import ToForget
from inferspan_collector.telemetry import LABELS

CONFIG = load(
    None,
    {
        "models": {
            "fraud": {"targets": {"default": {"sources": ["clicks", "bank"], "horizon": "2m"}}}
        }
    },
)
MINUTE = START_NS // MINUTE_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path, CONFIG)
    yield opened
    opened.database.close()


def of_entity(entity: str = "customer-1", label_id: str = "e1", **said: object) -> Label:
    said.setdefault("time", START_NS + MINUTE_NS)
    return Label(None, label_id=label_id, entity_id=entity, **said)  # type: ignore[arg-type]


def of_response(response: str, **said: object) -> Label:
    return Label(None, model=None, response_id=response, **said)  # type: ignore[arg-type]


@pytest.mark.parametrize("label_first", [True, False])
def test_a_label_of_an_entity_is_about_its_predictions_within_the_horizon(
    store: Store, label_first: bool
) -> None:
    near, also = (
        Prediction("a", entity_id="customer-1"),
        Prediction("b", span=2, entity_id="customer-1"),
    )
    before = Prediction("c", span=3, entity_id="customer-1", event_time=START_NS - HORIZON_NS)
    after = Prediction("d", span=4, entity_id="customer-1", event_time=START_NS + 2 * MINUTE_NS)
    other = Prediction("e", span=5, entity_id="customer-2")
    predictions, label = (near, also, before, after, other), of_entity()
    for records in ((label,), predictions) if label_first else (predictions, (label,)):
        (committed,) = store.commit(records)
        if label in records:
            assert committed.labels == ("waiting" if label_first else "joined",)

    assert store.cells() == {(MINUTE, "fraud", "fraud", 1): 2}
    assert store.telemetry.get(LABELS, result="joined") == (2 if label_first else 1)


def test_a_dry_run_says_of_labels_by_name_what_would_become_of_them(store: Store) -> None:
    store.commit(
        (
            Prediction("a", entity_id="customer-1"),
            Prediction("b", span=2, entity_id="customer-1", response_id="chatcmpl-1"),
        )
    )
    labels = (
        of_entity(label_id="near"),
        Label("b", label_id="by id"),
        of_entity(label_id="beyond the horizon", time=START_NS + HORIZON_NS + 1),
        of_entity("customer-9", "another's"),
        of_response("chatcmpl-1", label_id="response"),
        of_response("chatcmpl-1", label_id="another version", version="8"),
        of_response("chatcmpl-1", label_id="late", received=START_NS + 91 * DAY_NS),
        Label("z", label_id="unknown id"),
    )
    asked = [store.reader.resolve_labels(label_batch(labels)).tolist()]
    asked += [[bool(store.reader.resolve_labels(label_batch([x]))[0]) for x in labels]]
    assert store.reader.waiting_count() == 0

    (committed,) = store.commit(labels)
    joined = [result not in ("waiting", "late") for result in committed.labels]
    assert asked == [joined] * 2 == [[True, True, False, False, True, False, False, False]] * 2


@pytest.mark.parametrize("name", [{"entity_id": "customer-1"}, {"response_id": "chatcmpl-1"}])
def test_a_label_by_name_is_counted_while_it_waits(store: Store, name: dict[str, str]) -> None:
    label = Label(None, label_id="waits", **name)  # type: ignore[arg-type]
    store.commit((label, of_entity("customer-9", "stays"), Label("other", label_id="by id")))
    store.commit((label,))
    assert store.reader.waiting_count() == 3
    assert store.reader.waiting_labels(START_NS + 2 * MINUTE_NS) == {"fraud": 3}
    assert store.reader.waiting_labels(START_NS) == {}

    store.commit((Prediction("a", **name),))  # type: ignore[arg-type]
    assert store.reader.waiting_count() == 2
    # It has met somebody: it never waits again.
    store.commit((Prediction("b", span=2, **name),))  # type: ignore[arg-type]
    assert store.reader.waiting_count() == 2


def test_labels_by_name_stop_waiting_when_they_are_erased(store: Store) -> None:
    store.commit((of_entity(), of_entity("customer-2", "e2"), of_response("r", label_id="e3")))
    store.writer.forget(ToForget(entity_id="customer-1"), START_NS)
    assert store.reader.waiting_count() == 2

    tidied(store, START_NS + 91 * DAY_NS)
    assert store.reader.waiting_count() == 0


def test_a_label_by_name_that_waits_too_long_is_counted_as_unmatched(store: Store) -> None:
    store.writer.tidy(START_NS)
    store.commit((of_entity(received=START_NS + MINUTE_NS),))
    tidied(store, START_NS + 12 * MINUTE_NS)
    assert store.telemetry.get(LABELS, result="unmatched") == 1


@pytest.mark.parametrize("label_first", [True, False])
def test_a_label_of_a_response_needs_nothing_else(store: Store, label_first: bool) -> None:
    prediction, label = Prediction(response_id="chatcmpl-1"), of_response("chatcmpl-1")
    for record in (label, prediction) if label_first else (prediction, label):
        store.commit((record,))

    assert store.cells() == {(MINUTE, "fraud", "fraud", 1): 1}
    assert store.commit((label, of_response("chatcmpl-2", label_id="x"))) == [
        Committed(0, ("duplicate", "waiting"))
    ]


def test_such_labels_are_corrected_withdrawn_and_outranked_as_others_are(store: Store) -> None:
    store.commit((Prediction("a", entity_id="customer-1"), of_entity()))
    store.commit((of_entity(actual="legit", revision=1),))
    assert store.cells() == {(MINUTE, "fraud", "legit", 0): 1}
    store.commit((Label("a", "fraud", "by id", source="bank"),))
    assert store.cells() == {(MINUTE, "fraud", "fraud", 1): 1}
    assert store.commit((of_entity(revision=2, actual="legit"),)) == [Committed(0, ("superseded",))]
    withdrawn = of_entity(revision=3, actual=None, deleted=True, source="bank")
    store.commit((withdrawn,))
    assert store.cells() == {}


def test_answers_stand_where_their_labels_stood(store: Store) -> None:
    store.commit((Prediction("a", entity_id="customer-1"), Prediction("b", span=2)))
    by_id = Label("b", label_id="b")
    unknown = of_entity("customer-9", "e9")

    assert store.commit((of_entity(), by_id, unknown), (by_id, of_entity())) == [
        Committed(0, ("joined", "joined", "waiting")),
        Committed(0, ("duplicate", "duplicate")),
    ]


def test_a_name_is_known_after_reopening_and_leaves_with_the_rows(tmp_path: Path) -> None:
    store = Store(tmp_path, CONFIG)
    store.commit((Prediction("a", entity_id="customer-1"),))
    store.database.close()
    store = Store(tmp_path, CONFIG)
    assert store.commit((of_entity(),)) == [Committed(0, ("joined",))]
    tidied(store, START_NS + 91 * DAY_NS)
    with store.database.cursor() as cursor:
        for table in ("named_predictions", "named_labels"):
            assert cursor.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)]
    store.database.close()


def test_an_entity_is_forgotten_with_all_that_names_it(store: Store) -> None:
    mine = (
        Prediction("a", entity_id="customer-1"),
        Prediction("b", span=2, trace=2, entity_id="customer-1"),
        of_entity(),
        Label("b", label_id="by id"),
    )
    other = (Prediction("c", span=3, entity_id="customer-2"), of_entity("customer-2", "e2"))
    store.commit(mine, other)
    before = store.cells(), store.predictions()
    asked = ToForget(entity_id="customer-1")

    looked = store.writer.forget(asked, START_NS, dry_run=True)
    forgotten = store.writer.forget(asked, START_NS)

    assert looked == forgotten
    # The label of the entity, what was made of it for each prediction, and the one by id.
    assert (forgotten.predictions, forgotten.labels, len(forgotten.trace_ids)) == (2, 4, 2)
    assert (store.cells(), store.predictions()) == before
    assert [row.prediction_id for row in store.reader.predictions("fraud")] == ["c"]
    assert store.writer.forget(asked, START_NS).predictions == 0
    again = store.commit(mine, other)
    assert again == [Committed(0, ("forgotten", "forgotten")), Committed(0, ("duplicate",))]
    assert (store.cells(), store.predictions()) == before
    # The customer may come again.
    assert store.commit((Prediction("new", span=9, entity_id="customer-1"),)) == [Committed(1, ())]


entities = st.sampled_from([None, "customer-1", "customer-2"])
responses = st.sampled_from([None, None, "r1", "r2"])
predictions = st.builds(
    Prediction,
    prediction_id=st.sampled_from(["a", "b", "c"]),
    predicted=classes,
    version=st.sampled_from(["7", "8"]),
    event_time=minutes,
    kind=st.sampled_from([1, 3]),
    entity_id=entities,
    response_id=responses,
)
labels = st.builds(
    Label,
    prediction_id=st.sampled_from([None, None, "a", "b"]),
    actual=classes,
    entity_id=st.sampled_from(["customer-1", "customer-2"]),
    response_id=responses,
    version=st.sampled_from([None, None, "7"]),
    time=minutes.map(lambda time: time + MINUTE_NS),
    revision=st.integers(0, 2),
    source=st.sampled_from([None, "clicks", "bank"]),
    deleted=st.sampled_from([False, False, True]),
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(predictions, max_size=6),
    st.lists(labels, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_join_by_names_equals_the_oracle_in_any_order(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[Prediction],
    said: list[Label],
    order: random.Random,
) -> None:
    records = [
        *(replace(p, span=n + 1) for n, p in enumerate(drawn)),
        *(replace(label, label_id=f"l{n}") for n, label in enumerate(said)),
    ]
    arriving = [*records, *order.sample(records, k=len(records) // 3)]
    order.shuffle(arriving)
    store = Store(tmp_path_factory.mktemp("naming"), CONFIG)
    try:
        while arriving:
            size = order.randint(1, len(arriving))
            store.commit(*((record,) for record in arriving[:size]))
            arriving = arriving[size:]
        assert outcome_cells(records, "default", RANKS, None) == store.cells()
        spans = [r for r in records if isinstance(r, Prediction)]
        met = [any(is_about(r, p) for p in spans) for r in records if isinstance(r, Label)]
        assert store.reader.waiting_count() == met.count(False)
        current = current_predictions(r for r in records if isinstance(r, Prediction))
        assert len(current) == store.predictions()
    finally:
        store.database.close()
