"""Cells are the same whether DuckDB adds them up or they are read as they are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from records import MINUTE_NS, START_NS, Label, Prediction
from stores import Store

from inferspan_collector.store import coded_cells
from inferspan_collector.store.cells import CellQuery

QUERIES = [
    CellQuery(every=1, by=by, model=model)
    for by in ((), ("version",), ("slice.country", "version"), ("slice.country", "slice.tier"))
    for model in (None, "fraud", "absent")
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.database.close()


def corrected(store: Store) -> None:
    """Sixty predictions of two versions, labelled in several commits and a third corrected."""
    for number in range(60):
        about = {
            "version": "67"[number % 2],
            "slices": {"country": "DE" if number % 3 else "FR", "tier": "gold"},
            "event_time": START_NS + number % 4 * MINUTE_NS,
            "duration": (1 + number % 5) * 1_000_000,
        }
        prediction = Prediction(f"p{number}", trace=number + 1, span=number + 1, **about)  # type: ignore[arg-type]
        store.commit((prediction, Label(f"p{number}", "fraud", f"l{number}")))
        if number % 3 == 0:
            store.commit((Label(f"p{number}", "legit", f"l{number}", revision=1),))


def everything(store: Store) -> list[object]:
    found: list[object] = []
    for query in QUERIES:
        calls, said = store.reader.prediction_cells(query), store.reader.outcome_cells(query)
        columns = (calls.window, calls.groups, calls.failed, calls.bucket, calls.n)
        found.append(Counter(zip(*columns, strict=True)))
        texts = said.predicted.objects(), said.actual.objects()
        columns = (said.window, said.groups, *texts, said.correct, said.n)  # type: ignore[assignment]
        found.append(Counter(zip(*columns, strict=True)))
    return found


def test_it_makes_no_difference_who_adds_them_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrected(store)
    as_stored = everything(store)
    monkeypatch.setattr(coded_cells, "_CELLS_MAX", 0)
    assert everything(store) == as_stored
    monkeypatch.undo()
    monkeypatch.setattr(coded_cells, "_PLACES_MAX", 0)
    assert everything(store) == as_stored
    monkeypatch.undo()
    store.writer.compact()
    assert everything(store) == as_stored


def test_no_cell_stands_twice_and_what_was_taken_back_is_none(store: Store) -> None:
    corrected(store)
    for query in QUERIES:
        said = store.reader.outcome_cells(query)
        texts = said.predicted.objects(), said.actual.objects()
        cells = list(zip(said.window, said.groups, *texts, said.correct, strict=True))
        assert len(cells) == len(set(cells))
        assert (said.n > 0).all()
        if query.by == () and query.model == "fraud":
            assert (said.n.sum(), said.n[said.correct == 0].sum()) == (60, 20)


def test_a_counter_of_a_class_that_never_arrived_is_no_figure(store: Store) -> None:
    corrected(store)
    with store.database.cursor() as cursor:
        cursor.execute("DELETE FROM arrival_cells WHERE actual = 'legit'")
    with pytest.raises(RuntimeError, match="a class that no arrival named"):
        store.reader.outcome_cells(CellQuery(every=1))
