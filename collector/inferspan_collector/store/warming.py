"""Compiled code of the store, made ready before the first request waits for it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector import join
from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch, Strings, Texts
from inferspan_collector.config import Config
from inferspan_collector.store import loading
from inferspan_collector.store.database import sql
from inferspan_collector.store.known import Known
from inferspan_collector.store.nearby import Since
from inferspan_collector.store.recent_keys import RecentKeys
from inferspan_collector.store.transaction import Transaction

_GROWING: Final = 4_000
"""Keys for which the table of an index has to grow."""
_ID: Final = "0123456789abcdef" * 2
_IDS: Final = ("prediction_id", "label_id")
"""What else has an id, a ranking's item or an entity, is left to SQL."""


def warm() -> None:
    """Compile what a transaction calls, or load it from the disk: a store in memory takes a
    prediction, its label and a retry, forgets the oldest key, and is read as at a start.
    """
    config = Config()
    section = config.store.model_copy(update={"hot_keys": 3, "cold_keys": 8})
    config = config.model_copy(update={"store": section})
    with duckdb.connect(config={"threads": 1}) as cursor:
        cursor.execute(sql("inferspan_collector.store", "schema.sql"))
        statements = join.prepare(cursor, config)
        known = Known(cursor, config)
        for row in range(1, 4):
            _commit(cursor, known, statements, Since(row, row))
        known.recent.leave_to_sql(
            known.recent.hashes(*(np.zeros(1, np.uint64),) * 3, np.zeros(1, np.int32)), Since()
        )
        RecentKeys(_GROWING, 1).begin(_GROWING, Since(), Since())
        known.sealed.seal(cursor, Since(4, 4))
        known.sealed.find(*(np.zeros(1, np.uint64),) * 2)
        loading.load(cursor, Known(cursor, config), Since(), Since(4, 4))


def ordinary_request() -> Decoded:
    """A prediction and its label, that say as little as they may."""
    return Decoded(_row(PredictionBatch, _ID), _row(LabelBatch, _ID))


def _commit(
    cursor: duckdb.DuckDBPyConnection, known: Known, statements: str, newest: Since
) -> None:
    text = f"{_ID[:-1]}{newest.prediction}"
    # Stacked, as the writer does it: code is compiled anew for arrays that cannot be written.
    predictions = PredictionBatch.concat([_row(PredictionBatch, text)])
    labels = LabelBatch.concat([_row(LabelBatch, text)])
    cursor.begin()
    Transaction(cursor, known, newest, predictions, labels, statements).run(evaluations=True)
    known.recent.undo()
    Transaction(cursor, known, newest, predictions, labels, statements).run(evaluations=False)
    cursor.commit()
    known.recent.keep()


def _row(cls: type[Any], text: str) -> Any:
    """One row that says as little as it may."""
    columns: dict[str, Any] = {}
    empty = cls.empty()
    for field in fields(cls):
        column = getattr(empty, field.name)
        if field.name == "slices":
            columns[field.name] = {}
        elif isinstance(column, Strings):
            columns[field.name] = Strings.constant("warm", 1)
        elif isinstance(column, Texts):
            columns[field.name] = Texts.of([text if field.name in _IDS else None])
        else:
            columns[field.name] = np.zeros((1, *column.shape[1:]), column.dtype)
    return cls(**columns)
