"""Forgetting an id: its rows leave for good, its counters stay, and no retry brings it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from join_oracle import DAY_NS
from records import START_NS, Label, Prediction, decoded
from stores import CONFIG, Store, figures, rows, tidied

from inferspan_collector.pipeline import Pipeline
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.database import FILE_NAME, Database
from inferspan_collector.store.forgetting import ROWS_MAX, Forgotten, ToForget
from inferspan_collector.submission import Overloaded
from inferspan_collector.telemetry import ERASED, Telemetry
from waiting import wait_until

NOW = START_NS + DAY_NS
TRACE = (7 << 64) + 5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.database.close()


def test_the_rows_leave_the_figures_stay_and_the_traces_are_named(store: Store) -> None:
    store.commit(
        (
            Prediction("secret", trace=TRACE),
            Prediction("secret", version="8", span=2, trace=9),
            Prediction("other", span=3),
        ),
        (Label("secret"), Label("secret", "legit", "l2", revision=1), Label("other", label_id="o")),
    )
    before = figures(store)

    forgotten = store.writer.forget(ToForget("secret", "fraud"), NOW)

    assert forgotten == Forgotten(2, 2, (f"{9:032x}", f"{TRACE:032x}"), more=False)
    assert figures(store) == before
    assert [row.prediction_id for row in store.reader.predictions("fraud")] == ["other"]
    assert rows(store) == {"predictions": 1, "labels": 1, "outcomes": 1, "waiting_labels": 0}
    assert [entry.prediction_id for entry in store.reader.outbox(10)] == ["other"]
    assert store.telemetry.get(ERASED, table="labels", reason="request") == 2


def test_a_dry_run_erases_nothing(store: Store) -> None:
    store.commit((Prediction("secret", trace=TRACE), Label("secret")))

    found = store.writer.forget(ToForget("secret"), NOW, dry_run=True)

    assert found == Forgotten(1, 1, (f"{TRACE:032x}",), more=False)
    assert rows(store)["predictions"] == 1
    assert store.commit((Label("secret", revision=1),)) == [Committed(0, ("joined",))]


def test_twice_is_as_good_as_once(store: Store) -> None:
    store.commit((Prediction("secret"), Label("secret")))
    store.writer.forget(ToForget("secret"), NOW)

    assert store.writer.forget(ToForget("secret"), NOW) == Forgotten(0, 0, (), more=False)


def test_another_models_prediction_of_the_same_id_stays(store: Store) -> None:
    store.commit((Prediction("17"), Prediction("17", model="price", span=2), Label("17")))
    store.writer.forget(ToForget("17", "price"), NOW)

    assert [row.prediction_id for row in store.reader.predictions("fraud")] == ["17"]
    assert rows(store)["labels"] == 1
    again = (Prediction("17", model="price", span=2), Prediction("17", span=3))
    assert store.commit(again) == [Committed(1, ())]


@pytest.mark.parametrize("reopened", [False, True])
def test_no_retry_brings_it_back_within_the_label_window(tmp_path: Path, reopened: bool) -> None:
    store = Store(tmp_path)
    linked = Label(None, label_id="by link", model=None, link_trace=TRACE, link_span=4)
    records = (
        Prediction("other", span=9),
        Label("secret"),
        Prediction("secret", trace=TRACE, span=4),
        linked,
        Label("other", label_id="o"),
    )
    store.commit(records)
    before = figures(store)
    store.writer.forget(ToForget("secret"), NOW)
    if reopened:
        store.database.close()
        store = Store(tmp_path)

    again = store.commit(records, (Label("secret", revision=3), Prediction("secret", span=77)))

    assert again == [
        Committed(0, ("forgotten", "forgotten", "duplicate")),
        Committed(0, ("forgotten",)),
    ]
    assert figures(store) == before
    tidied(store, NOW + 89 * DAY_NS)
    assert store.commit((Prediction("secret", span=4),)) == [Committed(0, ())]
    tidied(store, NOW + 91 * DAY_NS)
    assert store.commit((Prediction("secret", span=4),)) == [Committed(1, ())]
    store.database.close()


def test_labels_of_the_other_rows_of_a_batch_stay(store: Store) -> None:
    store.commit(tuple(Prediction(f"row-{i}", trace=TRACE, span=4, span_row=i) for i in range(3)))
    store.writer.forget(ToForget("row-1"), NOW)

    labels = [Label(f"row-{i}", link_trace=TRACE, link_span=4, label_id=f"{i}") for i in range(3)]
    assert store.commit(tuple(labels)) == [Committed(0, ("joined", "forgotten", "joined"))]


def by_link(row: int, label_id: str) -> Label:
    return Label(None, "legit", label_id, model=None, index=row, link_trace=TRACE, link_span=4)


@pytest.mark.parametrize("reopened", [False, True])
def test_labels_by_link_of_the_other_rows_of_a_batch_stay(tmp_path: Path, reopened: bool) -> None:
    store = Store(tmp_path)
    batch = tuple(Prediction(f"row-{i}", trace=TRACE, span=4, span_row=i) for i in range(3))
    store.commit(batch, tuple(by_link(row, f"before-{row}") for row in range(3)))
    assert store.writer.forget(ToForget("row-1"), NOW).labels == 1
    if reopened:
        store.database.close()
        store = Store(tmp_path)

    outcomes = {row.prediction_id: row.expected for row in store.reader.predictions("fraud")}
    assert outcomes == {"row-0": "legit", "row-2": "legit"}
    again = tuple(by_link(row, f"after-{row}") for row in range(3))
    assert [one.labels[1] for one in store.commit(again)] == ["forgotten"]
    kept = store.commit(tuple(by_link(row, f"before-{row}") for row in range(3)))
    assert kept == [Committed(0, ("duplicate", "forgotten", "duplicate"))]
    store.database.close()


def test_an_id_that_was_never_here_is_kept_away(store: Store) -> None:
    store.commit((Label("secret"),))
    store.writer.forget(ToForget("secret"), NOW)

    assert store.commit((Prediction("secret"),)) == [Committed(0, ())]
    assert rows(store) == dict.fromkeys(rows(store), 0)


def test_more_than_one_request_erases_is_said(store: Store) -> None:
    store.commit(tuple(Prediction("batch", index=n, span_row=n) for n in range(ROWS_MAX + 5)))
    before = figures(store)

    first = store.writer.forget(ToForget("batch"), NOW)
    second = store.writer.forget(ToForget("batch"), NOW)

    assert (first.predictions, first.more) == (ROWS_MAX, True)
    assert (second.predictions, second.more) == (5, False)
    assert figures(store) == before


def test_a_row_number_is_not_given_again(store: Store) -> None:
    store.commit((Prediction("a"), Label("a")), (Prediction("secret", span=2),))
    store.writer.forget(ToForget("secret"), NOW)
    store.database.close()
    store.__init__(store.database.path.parent)  # type: ignore[misc]

    store.commit((Prediction("c", span=3),))
    with store.database.cursor() as cursor:
        found = cursor.execute("SELECT row_id FROM predictions ORDER BY row_id").fetchall()
    assert found == [(1,), (3,)]


def bytes_of(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.glob(f"{FILE_NAME}*")))


def test_the_files_do_not_hold_it_any_more(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.database.cursor() as cursor:
        # As it stands, so that it can be looked for; packed texts only hide.
        cursor.execute("PRAGMA force_compression='uncompressed'")
    text = "m-a-very-secret-id"
    # Among others, so that it is neither the first nor the last of its column.
    around = tuple(Prediction(f"{c}-{n}", span=n + 2) for c in "az" for n in range(3000))
    store.commit(around, (Prediction(text, predicted="m-secret-class"), Label(text, label_id="m")))
    with store.database.cursor() as cursor:
        cursor.execute("CHECKPOINT")
    assert text.encode() in bytes_of(tmp_path)

    store.writer.forget(ToForget(text), NOW)
    tidied(store, NOW)

    assert text.encode() not in bytes_of(tmp_path)
    assert text[:8].encode() not in bytes_of(tmp_path)
    store.database.close()
    assert text.encode() not in bytes_of(tmp_path)


def test_what_was_not_scrubbed_before_a_stop_is_after_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit((Prediction("secret"),))
    store.writer.forget(ToForget("secret"), NOW)
    store.database.close()

    store = Store(tmp_path)
    assert tidied(store, NOW) > 0
    with store.database.cursor() as cursor:
        assert cursor.execute("SELECT scrub_due FROM kept").fetchall() == [(False,)]
    store.database.close()


def test_the_pipeline_forgets_between_transactions(tmp_path: Path) -> None:
    telemetry = Telemetry()
    pipeline = Pipeline(Database.open(tmp_path), CONFIG, telemetry, lambda: NOW).start()
    pipeline.submit(decoded(Prediction("secret"), Label("secret")), "http").result(30)

    assert pipeline.forget(ToForget("secret"), dry_run=True).result(30).predictions == 1
    assert pipeline.forget(ToForget("secret")).result(30).predictions == 1
    assert pipeline.reader.predictions("fraud") == []
    wait_until(lambda: not (tmp_path / f"{FILE_NAME}.wal").exists(), 30, "scrubbing")
    pipeline.close()
    with pytest.raises(Overloaded):
        pipeline.forget(ToForget("secret")).result(1)
