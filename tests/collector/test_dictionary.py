"""Combinations that rows share are numbered, each once, and the new ones are written at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import Label, Prediction
from stores import Store

from inferspan_collector.store import dictionary
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


def test_what_is_remembered_is_bounded_by_its_texts_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dictionary, "CHARACTERS_MAX", 300)
    store = Store(tmp_path)
    long = [("fraud", str(n) * 100, None) for n in range(5)]
    with store.database.cursor() as cursor:
        sets = Dictionary(cursor, "feature_sets")
        assert sets.numbers(long[:3]) == [1, 2, 3]
        assert sets.numbers([long[3], long[0]]) == [4, 5], "three of them filled it"
        assert sets.numbers([long[3], long[0]]) == [4, 5]
        sets.reload()
        assert sets.numbers([long[0], long[1]]) == [5, 2]
    store.database.close()


def test_what_was_read_is_known_again_however_many_have_left_since(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = [("fraud", f"[{n}]", None) for n in range(5_000)]
    with store.database.cursor() as cursor:
        Dictionary(cursor, "feature_sets").numbers(names)
        cursor.execute("DELETE FROM feature_sets WHERE set_id BETWEEN 100 AND 4_900")
        sets = Dictionary(cursor, "feature_sets")
        assert sets.numbers([names[7], names[4_950], names[200]]) == [8, 4_951, 5_001]
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
