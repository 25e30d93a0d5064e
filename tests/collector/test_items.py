"""Labels of single items of rankings: one winner per item, in any order, and counted apart."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from join_oracle import current_predictions, is_about, key_of, rows_meant
from records import MINUTE_NS, START_NS, Label, Prediction, label_batch
from stores import CONFIG, RANKS, Store, tidied

from inferspan import semconv
from inferspan_collector.config import load
from inferspan_collector.decode import decode_traces
from inferspan_collector.quality.measures.rankings import State
from inferspan_collector.quality.row_figures import ranked
from inferspan_collector.receivers.label_lines import read_lines
from inferspan_collector.store.cells import CellQuery, Committed
from inferspan_collector.store.forgetting import ToForget
from inferspan_collector.store.staging import content_hashes
from inferspan_collector.testing import NOW_NS, prediction_span, traces_request

SHOP = Prediction(
    predicted='["shoe","hat","sock"]', model="shop", task="ranking", positive_class=None
)
Judged = Counter[tuple[int, int, float, int]]
"""Minute, place (0 = not in the ranking), relevance, items shown."""


def item(item_id: str, relevance: float, label_id: str = "l", **said: object) -> Label:
    """A label that says how relevant one item was."""
    label = Label(label_id=label_id, item_id=item_id, model="shop", value=relevance)
    return replace(label, actual=str(relevance), **said)  # type: ignore[arg-type]


def judged(store: Store, **query: object) -> Judged:
    """What is known of the items of rankings."""
    found = store.reader.judged_items(CellQuery(every=1, **query))  # type: ignore[arg-type]
    columns = (found.window, found.place, found.relevance, found.shown)
    return Counter(zip(*(column.tolist() for column in columns), strict=True))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.database.close()


MINUTE = START_NS // MINUTE_NS


@pytest.mark.parametrize("label_first", [True, False])
def test_each_item_has_a_label_of_its_own(store: Store, label_first: bool) -> None:
    labels = (item("hat", 2.0), item("shoe", 0.0, "m"), item("glove", 1.0, "n"))
    for record in (labels, (SHOP,)) if label_first else ((SHOP,), labels):
        store.commit(record)

    assert judged(store) == {(MINUTE, 2, 2.0, 3): 1, (MINUTE, 1, 0.0, 3): 1, (MINUTE, 0, 1.0, 3): 1}
    assert store.reader.waiting_labels(2**62) == {}


def test_a_ranking_weighs_as_many_calls_as_it_stands_for(store: Store) -> None:
    store.commit((replace(SHOP, adjusted_count=4.0), item("hat", 1.0), item("shoe", 0.0, "m")))

    found = store.reader.judged_items(CellQuery(every=1))
    assert found.weight.tolist() == [4.0, 4.0]
    (measured,) = ranked(found).values()
    (state,) = measured.states.values()
    assert isinstance(state, State)
    assert state.means[0].weights.total.over(1) == 4.0


def test_labels_of_items_leave_the_prediction_unlabelled(store: Store) -> None:
    store.commit((SHOP, item("hat", 1.0), item("shoe", 1.0, "m")))

    assert store.predictions(model="shop") == 1
    assert store.cells() == {}
    assert int(store.reader.arrivals().added.sum()) == 0
    (row,) = store.reader.predictions("shop", outcome="unlabeled")
    assert row.predicted == SHOP.predicted


def test_a_label_of_the_whole_ranking_stands_beside_those_of_its_items(store: Store) -> None:
    whole = Label(label_id="whole", actual='["hat"]', model="shop")
    store.commit((SHOP, item("hat", 1.0)))
    store.commit((whole,))

    assert store.cells() == {(MINUTE, None, None, -1): 1}
    assert judged(store).total() == 1
    store.commit((replace(item("hat", 1.0), deleted=True, revision=1),))
    assert store.cells() == {(MINUTE, None, None, -1): 1}
    assert judged(store) == {}


def test_the_same_label_of_an_item_again_changes_nothing(store: Store) -> None:
    store.commit((SHOP, item("hat", 1.0)))

    assert store.commit((item("hat", 1.0),)) == [Committed(0, ("duplicate",))]
    assert store.commit((item("shoe", 1.0),)) == [Committed(0, ("joined",))]
    assert judged(store).total() == 2


def test_a_correction_and_a_withdrawal_hold_for_their_item_alone(store: Store) -> None:
    store.commit((SHOP, item("hat", 1.0), item("shoe", 1.0, "m")))
    store.commit((item("hat", 3.0, revision=1),))
    assert judged(store) == {(MINUTE, 2, 3.0, 3): 1, (MINUTE, 1, 1.0, 3): 1}

    store.commit((item("hat", 0.0, revision=2, deleted=True),))
    assert judged(store) == {(MINUTE, 1, 1.0, 3): 1}
    assert store.commit((item("hat", 5.0, revision=1, time=START_NS),)) == [
        Committed(0, ("superseded",))
    ]


def test_a_label_of_an_item_waits_where_there_is_no_ranking(store: Store) -> None:
    other = replace(SHOP, predicted="shoe", task="multiclass_classification")
    assert store.commit((other, item("shoe", 1.0))) == [Committed(1, ("waiting",))]
    assert list(store.reader.resolve_labels(label_batch([item("shoe", 1.0)]))) == [False]

    store.commit((replace(SHOP, span=2, event_time=START_NS + 1),))
    assert judged(store).total() == 1
    assert list(store.reader.resolve_labels(label_batch([item("shoe", 1.0)]))) == [True]


def test_another_span_of_the_same_key_brings_its_own_ranking(store: Store) -> None:
    store.commit((SHOP, item("hat", 1.0)))
    later = replace(SHOP, predicted='["hat"]', span=2, event_time=START_NS + MINUTE_NS)
    store.commit((later,))

    assert judged(store) == {(MINUTE + 1, 1, 1.0, 1): 1}


def test_what_is_known_of_items_can_be_grouped(store: Store) -> None:
    store.commit((replace(SHOP, slices={"country": "DE"}), item("hat", 1.0)))

    found = store.reader.judged_items(CellQuery(by=("model", "slice.country")))
    assert (list(found.groups), found.place.tolist()) == ([("shop", "DE")], [2])
    assert judged(store, target="chargeback") == {}
    assert judged(store, model="other") == {}


def test_an_item_by_entity_is_about_every_ranking_that_was_shown(tmp_path: Path) -> None:
    store = Store(tmp_path, load(None, {"models": {"shop": {"targets": {"default": {}}}}}))
    shown = replace(SHOP, entity_id="customer-1")
    store.commit((shown, replace(shown, prediction_id="order-2", span=2, predicted='["sock"]')))
    bought = item("sock", 1.0, prediction_id=None, entity_id="customer-1")

    assert store.commit((bought,)) == [Committed(0, ("joined",))]
    assert judged(store) == {(MINUTE, 3, 1.0, 3): 1, (MINUTE, 1, 1.0, 1): 1}
    store.database.close()


def test_what_is_known_of_items_leaves_with_the_prediction(store: Store) -> None:
    store.commit((SHOP, item("hat", 1.0)))
    store.writer.forget(ToForget("order-1"), store.now)
    assert judged(store) == {}

    kept = replace(SHOP, prediction_id="order-2")
    store.commit((kept, item("hat", 1.0, prediction_id="order-2")))
    tidied(store, START_NS + 200 * 1440 * MINUTE_NS)
    assert judged(store) == {}
    assert store.commit((item("hat", 2.0, "m", prediction_id="order-2"),)) == [
        Committed(0, ("waiting",))
    ]


def test_the_same_is_known_after_a_restart(store: Store) -> None:
    store.commit((SHOP, item("hat", 1.0)))
    store.database.close()
    store.open()
    store.commit((item("hat", 2.0, revision=1), item("hat", 1.0)))

    assert judged(store) == {(MINUTE, 2, 2.0, 3): 1}


# --- from the wire -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "declared", [{semconv.TASK_TYPE: "ranking"}, {semconv.OPERATION_NAME: "rank"}]
)
def test_a_ranking_keeps_its_order_from_span_to_store(
    store: Store, declared: dict[str, str]
) -> None:
    said = {
        **declared,
        semconv.OUTPUT_CLASSES_PREDICTED: ["shoe", "hat", "shoe", "ape"],
        semconv.OUTPUT_OFFSETS: [0, 4],
        semconv.OUTPUT_SCORES: [0.9, 0.5, 0.4, 0.3],
    }
    request = traces_request([prediction_span("order-1", said, model="shop")])
    found = decode_traces(request.SerializeToString(), received_ns=NOW_NS, json=False)
    store.writer.commit([found], NOW_NS)

    (row,) = store.reader.predictions("shop")
    assert json.loads(row.predicted or "") == ["shoe", "hat", "ape"]
    store.commit((item("ape", 1.0),))
    assert store.reader.judged_items(CellQuery()).place.tolist() == [3]


def test_aliases_of_classes_hold_for_items(tmp_path: Path) -> None:
    aliases = {"models": {"shop": {"class_aliases": {"sneaker": "shoe", "7": "hat"}}}}
    store = Store(tmp_path, load(None, aliases))
    store.commit((replace(SHOP, predicted='["zoo","sneaker","ant"]'), item("sneaker", 1.0)))

    (row,) = store.reader.predictions("shop")
    assert row.predicted == '["zoo","shoe","ant"]'
    assert judged(store) == {(MINUTE, 2, 1.0, 3): 1}
    store.database.close()


@pytest.mark.parametrize(
    ("truth", "relevance"),
    [({"value": 2}, 2.0), ({"class": True}, 1.0), ({"class": "false"}, 0.0), ({"class": "3"}, 3.0)],
)
def test_a_line_says_how_relevant_an_item_was(truth: dict[str, object], relevance: float) -> None:
    line = {"prediction_id": "order-1", "item_id": 7, "model": "shop", **truth}
    (read,) = read_lines(json.dumps(line).encode(), ndjson=True, received_ns=NOW_NS)

    assert read.label is not None
    assert (read.label.item_id, read.label.value) == ("7", relevance)


@pytest.mark.parametrize(
    "truth", [{"value": -1}, {"class": "bought"}, {"classes": ["a"]}, {"text": "liked it"}]
)
def test_what_is_no_relevance_is_refused_with_the_remedy(truth: dict[str, object]) -> None:
    line = {"prediction_id": "order-1", "item_id": "hat", "model": "shop", **truth}
    (read,) = read_lines(json.dumps(line).encode(), ndjson=True, received_ns=NOW_NS)

    assert (read.label, read.reason) == (None, "bad_relevance")
    assert "is not how relevant the item 'hat' was: send value from 0 on" in read.error


def test_labels_of_two_items_are_two_labels_without_an_id_too() -> None:
    line = {"prediction_id": "order-1", "model": "shop", "value": 1}
    lines = [json.dumps(line | {"item_id": name}) for name in ("hat", "shoe", "hat")]
    read = read_lines("\n".join(lines).encode(), ndjson=True, received_ns=NOW_NS)

    first, second, again = (one.label_id for one in read)
    assert first == again != second


# --- any set, any order --------------------------------------------------------------------------

rankings = st.builds(
    Prediction,
    prediction_id=st.sampled_from(["order-1", "order-2"]),
    predicted=st.sampled_from(['["a","b","c"]', '["c"]', "b", "[no json", "[]", None]),
    model=st.just("shop"),
    task=st.sampled_from(["ranking", "ranking", "multiclass_classification", None]),
    operation=st.sampled_from(["predict", "rank"]),
    version=st.sampled_from(["7", "8"]),
    event_time=st.integers(0, 2).map(lambda m: START_NS + m * MINUTE_NS),
    error_type=st.sampled_from([None, None, None, "ValueError"]),
)
item_labels = st.builds(
    Label,
    label_id=st.sampled_from(["label-1", "label-2", "label-3"]),
    prediction_id=st.sampled_from(["order-1", "order-2", None]),
    item_id=st.sampled_from(["a", "b", "z", None]),
    model=st.just("shop"),
    actual=st.just("1"),
    value=st.sampled_from([0.0, 1.0, 2.0]),
    version=st.sampled_from([None, None, "7"]),
    link_trace=st.just(1),
    link_span=st.integers(0, 4),
    revision=st.integers(0, 2),
    time=st.integers(0, 2).map(lambda m: START_NS + m * MINUTE_NS),
    source=st.sampled_from([None, "clicks", "bank"]),
    deleted=st.sampled_from([False, False, False, True]),
).map(lambda label: replace(label, received=label.time + 1))


def expected(records: Iterable[Prediction | Label]) -> Judged:
    """The rules, one ranking and one item at a time."""
    rows = list(records)
    predictions = [r for r in rows if isinstance(r, Prediction)]
    same_key: dict[object, list[Prediction]] = {}
    for p in predictions:
        same_key.setdefault(key_of(p), []).append(p)
    found: Judged = Counter()
    for p in current_predictions(predictions):
        if p.error_type is not None or "rank" not in (p.operation, (p.task or "")[:4]):
            continue
        shown = shown_by(p.predicted)
        about: dict[str, list[Label]] = {}
        for label in rows:
            if not isinstance(label, Label) or not label.item_id:
                continue
            if any(is_about(label, row) for row in rows_meant(label, p, same_key[key_of(p)])):
                about.setdefault(label.item_id, []).append(label)
        for name, labels in about.items():
            winner = max(labels, key=precedence)
            if not winner.deleted:
                place = shown.index(name) + 1 if name in shown else 0
                found[p.event_time // MINUTE_NS, place, winner.value, len(shown)] += 1
    return found


def shown_by(predicted: str | None) -> list[str]:
    try:
        shown = json.loads(predicted or "[]")
    except ValueError:
        shown = [predicted]
    return shown if isinstance(shown, list) else [str(predicted)]


def precedence(label: Label) -> tuple[object, ...]:
    content = int(content_hashes(label_batch([label]))[0])
    rank = {"clicks": 0, "bank": 1}.get(label.source or "", -1)
    return (rank, label.revision, label.time, label.label_id, label.deleted, content)


RANKED = load(
    None,
    {
        "models": {
            "shop": {"targets": {"default": {"sources": sorted(RANKS, key=RANKS.__getitem__)}}}
        }
    },
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(rankings, max_size=6),
    st.lists(item_labels, max_size=10),
    st.randoms(use_true_random=False),
    st.sampled_from([(0, 0), (8, 100), (1_000, 1_000)]),
)
def test_items_equal_the_oracle_in_any_order_and_grouping(
    tmp_path_factory: pytest.TempPathFactory,
    predictions: list[Prediction],
    labels: list[Label],
    order: random.Random,
    holding: tuple[int, int],
) -> None:
    records = [*(replace(p, span=n) for n, p in enumerate(predictions, 1)), *labels]
    arriving = [*records, *order.sample(records, k=len(records) // 3)]
    order.shuffle(arriving)
    section = CONFIG.store.model_copy(
        update=dict(zip(("hot_keys", "cold_keys"), holding, strict=True))
    )
    store = Store(tmp_path_factory.mktemp("items"), RANKED.model_copy(update={"store": section}))
    try:
        while arriving:
            size = order.randint(1, len(arriving))
            store.commit(*((record,) for record in arriving[:size]))
            arriving = arriving[size:]
            if order.random() < 0.2:
                store.database.close()
                store.open()

        assert judged(store) == expected(records)
    finally:
        store.database.close()
