"""What memory answers is what SQL answers, whatever memory has forgotten and whatever failed."""

from __future__ import annotations

import errno
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records import MINUTE_NS, START_NS, Label, Prediction
from stores import CONFIG, DAY_NS, FaultyStore, Store, holding, record_sets, tidied

from inferspan_collector.config import Config
from inferspan_collector.config.memory import COLD_KEY_BYTES, HOT_KEY_BYTES
from inferspan_collector.store.cells import Committed

SQL_ALONE = holding(0, 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FaultyStore]:
    opened = FaultyStore(tmp_path)
    yield opened
    opened.database.close()


def test_the_index_holds_no_more_than_is_said_of_it(tmp_path: Path) -> None:
    # One more of each than fits into a table: twice the room for one key.
    store = Store(tmp_path, holding(2_458, 3_277))
    for first in range(0, 6_000, 500):
        ids = range(first, first + 500)
        store.commit(tuple(Prediction(f"order-{n}", span=n + 1) for n in ids))
        held, limit = store.writer.index_bytes
        assert 0 < held <= limit == 2_458 * HOT_KEY_BYTES + 3_277 * COLD_KEY_BYTES
    store.database.close()


def test_each_span_that_a_label_links_to_is_held_once_and_counted(store: FaultyStore) -> None:
    assert store.writer.links_bytes == 0
    links = [Label(None, None, label_id=str(n), link_trace=1, link_span=n) for n in range(1, 4)]
    store.commit(tuple(links))
    store.commit((Label(None, None, label_id="another", link_trace=1, link_span=3),))
    assert store.writer.links_bytes == 3 * 8


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    record_sets(),
    st.randoms(use_true_random=False),
    st.sampled_from([holding(8, 100), holding(9, 1), holding(16, 3), holding(40, 0), CONFIG]),
)
def test_the_index_answers_as_sql_does_whatever_it_has_forgotten(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[Prediction | Label],
    order: random.Random,
    config: Config,
) -> None:
    arriving = [*records, *order.sample(records, k=len(records) // 3)]
    order.shuffle(arriving)
    sql = FaultyStore(tmp_path_factory.mktemp("sql"), SQL_ALONE)
    store = FaultyStore(tmp_path_factory.mktemp("index"), config)
    try:
        while arriving:
            size = order.randint(1, min(8, len(arriving)))
            group = [(record,) for record in arriving[:size]]
            arriving = arriving[size:]
            if order.random() < 0.2:
                at = order.choice(["COMMIT", "after COMMIT"])
                for each in (sql, store):
                    each.fail(at, *group)
            assert sql.commit(*group) == store.commit(*group)
            if order.random() < 0.2:
                store.database.close()
                store.open()
        assert sql.everything() == store.everything()
    finally:
        sql.database.close()
        store.database.close()


@pytest.mark.parametrize("at", ["INSERT INTO predictions", "INSERT INTO outcomes", "COMMIT"])
def test_what_was_not_committed_is_not_remembered(store: FaultyStore, at: str) -> None:
    store.commit((Prediction("old", span=7),))
    store.fail(at, (Prediction(), Label(), Label("old", label_id="label-2")))

    again = store.commit((Prediction(), Label(), Label("old", label_id="label-2")))

    assert again == [Committed(1, ("joined", "joined"))]
    assert store.predictions() == 2


def test_what_was_committed_although_it_failed_is_remembered(store: FaultyStore) -> None:
    store.fail("after COMMIT", (Prediction(), Label(), Label("early", label_id="label-2")))

    again = store.commit((Prediction(), Label(), Label("early", label_id="label-2")))
    assert again == [Committed(0, ("duplicate", "duplicate"))]
    assert store.commit((Label(revision=1, actual="legit"), Prediction("early", span=2))) == [
        Committed(1, ("joined",))
    ]
    assert store.cells().total() == 2


@pytest.mark.parametrize("cold_keys", [1_000, 1, 0])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_key_that_has_left_memory_is_found_in_the_file(
    tmp_path: Path, cold_keys: int, restarts: bool
) -> None:
    store = FaultyStore(tmp_path, holding(4, cold_keys))
    for i in range(100):
        store.commit((Prediction(f"order-{i}", span=i + 1),))
        store.commit((Label(f"order-{i - 50}", label_id=f"late-{i}"),))
    if restarts:
        store.database.close()
        store.open()

    assert store.commit((Prediction("order-0"),)) == [Committed(0, ())]
    assert store.commit((Label("order-61"),)) == [Committed(0, ("joined",))]
    assert store.commit((Label("order-61", revision=1),)) == [Committed(0, ("joined",))]
    assert store.commit((Label("order-61", revision=1),)) == [Committed(0, ("duplicate",))]
    # The labels of the first fifty waited until there was a prediction, or wait still.
    assert store.commit((Prediction("order--7", span=500),)) == [Committed(1, ())]
    assert store.cells().total() == 52
    store.database.close()


def test_a_prediction_in_a_batch_larger_than_memory_is_found_by_its_labels(tmp_path: Path) -> None:
    store = FaultyStore(tmp_path, holding(8, 100))
    store.commit((Label(revision=1),))
    store.commit(tuple(Prediction(f"order-{n}", span=n + 1) for n in range(20)))

    assert store.commit((Label(),)) == [Committed(0, ("superseded",))]
    assert store.cells().total() == 1
    store.database.close()


def test_a_new_key_is_not_looked_for_in_the_file_however_many_have_left_memory(
    tmp_path: Path,
) -> None:
    store = FaultyStore(tmp_path, holding(64, 1))
    for first in range(0, 2_000, 10):
        ids = range(first, first + 10)
        store.commit(tuple(Prediction(f"order-{n}", span=n + 1) for n in ids))

    store.faults["found_predictions"] = [duckdb.IOException("the file was searched")]
    assert store.commit((Prediction("new", span=9_999), Label("new"))) == [
        Committed(1, ("joined",))
    ]
    with pytest.raises(duckdb.IOException):
        store.commit((Label("order-3"),))
    store.database.close()


@pytest.mark.parametrize("more", [0, 1, 2, 3])
def test_a_new_key_that_is_taken_for_an_older_one_counts_once(tmp_path: Path, more: int) -> None:
    store = FaultyStore(tmp_path, holding(8, 0))
    # More than memory holds at once: until their rows are sealed, every key may be one of them.
    store.commit(tuple(Prediction(f"order-{n}", span=n + 1) for n in range(10)))
    new = Prediction("new", span=100)
    assert store.commit((new,)) == [Committed(1, ())]
    for n in range(more):
        store.commit((Label("order-1", label_id=f"label-{n}"),))

    assert store.commit((new,)) == [Committed(0, ())]
    store.database.close()


def test_a_key_of_which_the_oldest_rows_were_erased_is_found_all_the_same(tmp_path: Path) -> None:
    store = FaultyStore(tmp_path, holding(4, 1))
    for i in range(40):
        store.commit((Prediction(f"order-{i}", span=i + 1),))
    again = Prediction("order-3", span=77, received=store.now + 80 * DAY_NS)
    store.commit((again,))
    tidied(store, store.now + 100 * DAY_NS)

    assert store.commit((again,)) == [Committed(0, ())]
    assert store.commit((Prediction("order-4", span=5),)) == [Committed(1, ())]
    store.database.close()


def test_a_key_that_came_again_after_its_rows_were_erased_counts_once(tmp_path: Path) -> None:
    store = FaultyStore(tmp_path, holding(16, 1_000))
    for n in range(16):
        store.commit((Prediction(f"order-{n % 15}", span=n + 1),))
    tidied(store, store.now + 100 * DAY_NS)
    again = Prediction("order-0", span=77, received=store.now + 100 * DAY_NS)
    assert store.commit((again,)) == [Committed(1, ())]
    # Memory has room for one more; the other takes the place of the oldest.
    for n in range(2):
        store.commit((Prediction(f"new-{n}", span=78 + n, received=store.now + 100 * DAY_NS),))

    assert store.commit((again,)) == [Committed(0, ())]
    store.database.close()


@pytest.mark.parametrize("more", range(3))
def test_a_key_counts_once_where_its_oldest_row_was_erased_among_others(
    tmp_path: Path, more: int
) -> None:
    store = FaultyStore(tmp_path, holding(8, 1_000))
    store.commit((Prediction("order-0"),))
    then = store.now + 99 * DAY_NS
    young = [Prediction(f"order-{n}", span=n + 1, received=then) for n in range(1, 17 + more)]
    for each in young[:10]:
        store.commit((each,))
    tidied(store, store.now + 100 * DAY_NS)
    for each in young[10:-2]:
        store.commit((each,))
    # What is written of the rows that are found so far is written anew with these.
    again = Prediction("order-0", span=77, received=then)
    assert store.commit((*young[-2:], again)) == [Committed(3, ())]

    assert store.commit((again,)) == [Committed(0, ())]
    store.database.close()


def test_a_new_key_counts_once_after_duplicates_and_a_failure(tmp_path: Path) -> None:
    store = FaultyStore(tmp_path, holding(4, 0))
    for n in range(8):
        store.commit((Prediction(f"order-{n}", span=n + 1),))
    for _ in range(8):
        store.commit((Prediction("order-7", span=8),))
    new = Prediction("new", span=99)
    store.fail("COMMIT", (new,))
    assert store.commit((new,)) == [Committed(1, ())]
    for n in range(6):
        store.commit((Prediction(f"newer-{n}", span=100 + n),))

    assert store.commit((new,)) == [Committed(0, ())]
    store.database.close()


def test_a_store_that_has_no_room_for_where_older_rows_are_starts_and_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FaultyStore(tmp_path, holding(4, 100))
    for n in range(30):
        store.commit((Prediction(f"order-{n}", span=n + 1),))
    store.database.close()
    monkeypatch.setattr(tempfile, "TemporaryFile", _full)
    store.open()

    assert store.commit((Prediction("order-1", span=2), Label("order-2"))) == [
        Committed(0, ("joined",))
    ]
    assert store.commit((Prediction("order-29", span=30), Prediction("new", span=99))) == [
        Committed(1, ())
    ]
    store.database.close()


def _full(**_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("named", [{"version": "8"}, {"environment": "staging"}])
def test_a_label_that_names_what_no_prediction_has_waits(
    store: FaultyStore, named: dict[str, str]
) -> None:
    store.commit((Prediction(),))

    assert store.commit((Label(**named),)) == [Committed(0, ("waiting",))]  # type: ignore[arg-type]
    assert store.cells() == {}


def test_a_prediction_with_thousands_of_labels_is_taken_in_at_the_next_start(
    store: FaultyStore,
) -> None:
    store.commit((Prediction(),))
    store.commit(tuple(Label(label_id=f"label-{i}", target=f"t-{i % 9}") for i in range(5_000)))
    before = store.everything()

    store.database.close()
    store.open()

    assert store.everything() == before
    assert store.commit((Prediction(), Label(target="t-0", label_id="label-0"))) == [
        Committed(0, ("duplicate",))
    ]


def test_rows_are_told_apart_beyond_the_number_that_an_entry_can_hold(store: FaultyStore) -> None:
    rows = 2**32 - 3
    store.database.cursor().execute(
        "UPDATE kept SET prediction_rows = ?, label_rows = ?", [rows, rows]
    )
    store.database.close()
    store.open()
    ids = [f"order-{i}" for i in range(6)]
    for i, each in enumerate(ids):
        store.commit((Prediction(each, span=i + 1),))

    for i, each in enumerate(ids):
        label = Label(each, label_id=each)
        assert store.commit((label,)) == [Committed(0, ("joined",))]
        assert store.commit((label, Prediction(each, span=i + 1))) == [Committed(0, ("duplicate",))]
    for each in ids:
        corrected = Label(each, actual="legit", label_id=each, revision=1)
        assert store.commit((corrected,)) == [Committed(0, ("joined",))]
    assert store.cells() == {(START_NS // MINUTE_NS, "fraud", "legit", 0): len(ids)}


@pytest.mark.parametrize("model", ["fraud", "__other__"])
def test_series_that_fold_into_others_are_joined_all_the_same(tmp_path: Path, model: str) -> None:
    few = CONFIG.model_copy(update={"limits": CONFIG.limits.model_copy(update={"models": 1})})
    store = FaultyStore(tmp_path, few)
    store.commit((Prediction(),))
    other = Prediction("order-2", model=model, version="8", span=2)
    assert store.commit((other, other)) == [Committed(1, ())]

    assert store.commit((Label("order-2", model=model),)) == [Committed(0, ("joined",))]
    assert store.commit((other,)) == [Committed(0, ())]
    store.database.close()


def test_an_id_of_hexadecimal_digits_is_shown_as_it_came(store: FaultyStore) -> None:
    ids = ["0123456789abcdef" * 2, "0123456789ABCDEF" * 2, "0" * 32, "0" * 31, "order-✓"]
    for i, each in enumerate(ids):
        store.commit((Prediction(each, span=i + 1), Label(each, label_id=each)))

    shown = [row.prediction_id for row in store.reader.predictions("fraud", outcome="correct")]
    assert sorted(shown) == sorted(ids)
