"""Combinations that rows share are numbered, each once, and the new ones are written at once."""

from __future__ import annotations

from pathlib import Path

from records import Label, Prediction
from stores import Store

from inferspan_collector.store.dictionary import Dictionary


def test_a_combination_has_one_number_however_often_it_comes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.database.cursor() as cursor:
        sets = Dictionary(cursor, "feature_sets")
        some, other = ("fraud", '["a"]', None), ("fraud", None, '["b"]')
        assert sets.numbers([some, other, some]) == [1, 2, 1]
        assert sets.numbers([]) == []
        assert [sets.number(other), sets.number(("risk", None, None))] == [2, 3]
        sets.reload()
        assert sets.numbers([other, ("risk", None, None), some]) == [2, 3, 1]
        found = cursor.execute("FROM feature_sets ORDER BY set_id").fetchall()
        assert found == [(1, *some), (2, *other), (3, "risk", None, None)]
    store.database.close()


def test_labels_of_many_sources_take_no_more_statements_than_those_of_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.commit((Prediction("a"),))
    labels = [Label("a", label_id=f"label-{n}", source=f"source-{n % 20}") for n in range(40)]
    with store.database.cursor() as cursor:
        cursor.execute("CALL enable_logging('QueryLog')")
        store.commit(tuple(labels))
        inserts = "SELECT count(*) FROM duckdb_logs WHERE message LIKE 'INSERT INTO label_sets%'"
        assert cursor.execute(inserts).fetchall() == [(1,)]
        cursor.execute("CALL disable_logging()")
        found = cursor.execute("SELECT source FROM labels JOIN label_sets USING (set_id)")
        sources = sorted(source for (source,) in found.fetchall())
    assert sources == sorted(label.source or "" for label in labels)
    store.database.close()
