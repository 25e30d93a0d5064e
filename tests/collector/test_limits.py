"""What is over a limit folds into __other__ or is left out, is counted, and bends no figure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from records import SECOND_NS, START_NS, Label, Prediction
from stores import Store

from inferspan_collector.config import load
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.telemetry import FOLDED, OTHER, SKIPPED_EVALUATIONS


@contextmanager
def limited(directory: Path, **sections: dict[str, Any]) -> Iterator[Store]:
    store = Store(directory, load(None, sections))
    try:
        yield store
    finally:
        store.database.close()


def shown(store: Store, key: str) -> dict[str | None, int]:
    found = store.reader.prediction_cells(CellQuery(by=(key,)))
    return {group[0]: int(n) for group, n in zip(found.groups, found.n, strict=True)}


def test_slice_values_beyond_the_limit_fold_and_a_restart_remembers_which(tmp_path: Path) -> None:
    rows = [Prediction(f"order-{i}", span=i + 1, slices={"country": f"c{i}"}) for i in range(4)]
    for part in (rows[:3], rows[3:]):
        with limited(tmp_path, limits={"slice_values": 2}) as store:
            store.commit(tuple(part))
            found = shown(store, "slice.country")
            folded = store.telemetry.get(FOLDED, label="slice")

    assert found == {"c0": 1, "c1": 1, OTHER: 2}
    assert folded == 1


def test_combinations_beyond_the_limit_count_without_their_slices(tmp_path: Path) -> None:
    # The empty combination is one of the two.
    with limited(tmp_path, limits={"slice_combinations": 2}) as store:
        for i in range(3):
            store.commit((Prediction(f"order-{i}", span=i + 1, slices={"country": f"c{i}"}),))

        assert shown(store, "slice.country") == {"c0": 1}
        assert store.predictions() == 3
        assert store.telemetry.get(FOLDED, label="slice") == 2


def test_classes_beyond_the_limit_fold_in_the_matrix_and_stay_right_or_wrong(
    tmp_path: Path,
) -> None:
    with limited(tmp_path, limits={"classes": 2}) as store:
        store.commit((Prediction("a", "a"), Label("a", "b")))
        store.commit((Prediction("c", "c", span=2), Label("c", "d", "label-2")))
        store.commit((Prediction("e", "e", span=3), Label("e", "e", "label-3")))
        minute = START_NS // 60_000_000_000
        assert store.cells() == {
            (minute, "a", "b", 0): 1,
            (minute, OTHER, OTHER, 0): 1,
            (minute, OTHER, OTHER, 1): 1,
        }

        store.commit((Label("c", "c", "label-2", revision=1),))
        assert store.cells()[minute, OTHER, OTHER, 1] == 2
        assert store.cells()[minute, OTHER, OTHER, 0] == 0


def test_models_beyond_the_limit_fold_and_their_ids_do_not_collide(tmp_path: Path) -> None:
    with limited(tmp_path, limits={"models": 2}) as store:
        for i in range(6):
            store.commit((Prediction(model=f"m{i}", version=None, span=i + 1),))
        for i in range(3):
            store.commit((Prediction(model="m0", service=f"s{i}", version=f"v{i}", span=i + 9),))

        assert shown(store, "model") == {"m0": 4, "m1": 1, OTHER: 4}
        series = store.reader.prediction_cells(CellQuery(by=("service", "model", "version")))
        assert len(set(series.groups)) <= 2 + 2 + 1
        assert store.telemetry.get(FOLDED, label="series") == 7


def evaluations(n: int, wrong: int) -> list[tuple[Prediction | Label, ...]]:
    return [
        (
            Prediction(f"order-{i}", trace=i + 1, span=i + 1),
            Label(f"order-{i}", "legit" if i < wrong else "fraud", f"label-{i}"),
        )
        for i in range(n)
    ]


def test_wrong_predictions_come_first_when_spans_are_rationed(tmp_path: Path) -> None:
    """Ten seconds' worth at once: what a sender held back is no more than its rate."""
    jaeger = {"otlp": "http://127.0.0.1:1", "evaluations_per_second": 1}
    with limited(tmp_path, jaeger=jaeger) as store:
        store.commit(*evaluations(50, wrong=8))

        outcomes = [entry.outcome for entry in store.reader.outbox(100)]
        assert sorted(outcomes) == ["correct"] * 2 + ["incorrect"] * 8
        assert store.telemetry.get(SKIPPED_EVALUATIONS, reason="rate") == 40

        store.now += SECOND_NS
        correction = Label("order-9", "legit", "label-9", revision=1)
        store.commit((correction,))
        assert len(store.reader.outbox(100)) == 11


def test_the_share_of_right_ones_is_chosen_by_id_and_wrong_ones_are_all_shown(
    tmp_path: Path,
) -> None:
    jaeger = {
        "otlp": "http://127.0.0.1:1",
        "evaluations_per_second": 10_000,
        "correct_share": 0.25,
    }
    kept = []
    for order in (1, -1):
        with limited(tmp_path / str(order), jaeger=jaeger) as store:
            requests = evaluations(400, wrong=10)[::order]
            for first in range(0, 400, 80):
                store.commit(*requests[first : first + 80])
            entries = store.reader.outbox(1_000)
            assert sum(entry.outcome == "incorrect" for entry in entries) == 10
            kept.append({entry.prediction_id for entry in entries})
            skipped = store.telemetry.get(SKIPPED_EVALUATIONS, reason="sampled")
            assert skipped == 400 - len(entries)

    assert kept[0] == kept[1]
    assert 60 < len(kept[0]) - 10 < 140


def test_a_full_outbox_takes_nothing_more_and_says_so(tmp_path: Path) -> None:
    jaeger = {"otlp": "http://127.0.0.1:1", "outbox_entries": 3}
    with limited(tmp_path, jaeger=jaeger) as store:
        store.commit(*evaluations(5, wrong=5))
        assert len(store.reader.outbox(10)) == 3
        assert store.telemetry.get(SKIPPED_EVALUATIONS, reason="outbox_full") == 2

        store.writer.delete_outbox([entry.sequence for entry in store.reader.outbox(10)])
        store.now += SECOND_NS
        store.commit((Label("order-0", "fraud", "label-0", revision=1),))
        assert [entry.outcome for entry in store.reader.outbox(10)] == ["correct"]


def test_what_no_longer_holds_is_taken_back_in_the_trace(tmp_path: Path) -> None:
    jaeger = {"otlp": "http://127.0.0.1:1"}
    with limited(tmp_path, jaeger=jaeger) as store:
        client = Prediction(kind=3, trace=1, span=2)
        store.commit((client, Label()))
        store.commit((replace(client, kind=2, trace=1, span=1),))
        store.commit((Label(actual=None, deleted=True, revision=1),))

        found = [(e.prediction_span_id[-1], e.outcome) for e in store.reader.outbox(10)]
        spans = {entry.span_id for entry in store.reader.outbox(10)}
        assert sorted(found) == [
            ("1", "correct"),
            ("1", "retracted"),
            ("2", "correct"),
            ("2", "retracted"),
        ]
        assert len(spans) == 4
