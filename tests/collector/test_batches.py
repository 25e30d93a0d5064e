"""Text columns of the batches: what goes in comes out, whatever is done with it in between."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.batches import Strings, Texts

# Bytes and characters differ in length; an empty text is none.
ENTRIES = st.lists(st.none() | st.text("aé€😀\x00", min_size=1, max_size=4), max_size=9)


@given(ENTRIES)
def test_texts_hold_what_they_were_made_of(entries) -> None:
    column = Texts.of(entries)
    assert column.objects().tolist() == entries
    assert len(column) == len(entries)
    assert column.lengths().tolist() == [len((text or "").encode()) for text in entries]
    assert column.offsets.dtype == np.int64


def test_an_empty_text_is_absent() -> None:
    assert Texts.of(["", None, "a"]).objects().tolist() == [None, None, "a"]


@given(st.lists(ENTRIES, max_size=4))
def test_stacked_columns_hold_the_entries_of_all(parts) -> None:
    expected = [entry for part in parts for entry in part]
    assert Texts.concat([Texts.of(part) for part in parts]).objects().tolist() == expected
    assert Strings.concat([Strings.of(part) for part in parts]).objects().tolist() == expected


@given(ENTRIES, st.data())
def test_rows_are_taken_by_index_or_mask(entries, data) -> None:
    places = st.lists(st.integers(0, len(entries) - 1), max_size=6) if entries else st.just([])
    rows = np.array(data.draw(places), np.int64)
    mask = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(entries), max_size=len(entries))), np.bool_
    )
    for column in (Texts.of(entries), Strings.of(entries)):
        assert column.take(rows).objects().tolist() == [entries[row] for row in rows]
        chosen = [entry for entry, kept in zip(entries, mask, strict=True) if kept]
        assert column.take(mask).objects().tolist() == chosen


@given(st.none() | st.text("aé", min_size=1, max_size=3), st.integers(0, 4))
def test_a_constant_column_says_the_same_in_every_row(text, rows) -> None:
    assert Texts.constant(text, rows).objects().tolist() == [text] * rows
    assert Strings.constant(text, rows).objects().tolist() == [text] * rows
