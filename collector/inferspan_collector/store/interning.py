"""Texts that many rows share become numbers once: series, slice combinations, classes.

Only the writer interns, inside its transaction; what a failed transaction interned is forgotten
with it. Every table of this room has a limit; what is over folds into `__other__`.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np

from inferspan_collector.batches import Int32, PredictionBatch, Strings
from inferspan_collector.config import Config
from inferspan_collector.telemetry import OTHER

SeriesKey = tuple[str | None, ...]
SliceKey = tuple[tuple[str, str], ...]

_SERIES_COLUMNS = (
    "environment",
    "service",
    "model",
    "version",
    "variant",
    "operation",
    "task",
    "positive_class",
)
_IDENTITY = (0, 2, 3, 4)
"""Places of environment, model, version and variant in a series key."""
_MODEL = 2


class Interner:
    """The interned texts of one store, as the writer knows them."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, config: Config) -> None:
        self._cursor = cursor
        self._config = config
        self.reload()

    def reload(self) -> None:
        """Forget everything and read the committed state: at start, and after a rollback."""
        self._series: dict[SeriesKey, tuple[int, int]] = {}
        self._identities: dict[SeriesKey, int] = {}
        for row in self._cursor.execute(
            f"SELECT series_id, identity_id, {', '.join(_SERIES_COLUMNS)} FROM series"
        ).fetchall():
            key = row[2:]
            self._series[key] = (row[0], row[1])
            self._identities[_identity(key)] = row[1]
        self._models = {key[_MODEL] for key in self._series}
        sets: dict[int, list[tuple[str, str]]] = {}
        for slices_id, slice_key, value in self._cursor.execute(
            "SELECT slices_id, slice_key, slice_value FROM slice_sets"
        ).fetchall():
            sets.setdefault(slices_id, []).extend([(slice_key, value)] if slice_key else [])
        self._slices: dict[SliceKey, int] = {tuple(sorted(s)): i for i, s in sets.items()}
        self._slice_values: dict[tuple[str, str], set[str]] = {}
        for model, slice_key, value in self._cursor.execute(
            "SELECT DISTINCT model, slice_key, slice_value FROM prediction_cells"
            " JOIN series USING (series_id) WHERE slice_key <> ''"
        ).fetchall():
            self._slice_values.setdefault((model, slice_key), set()).add(value)
        self._classes: dict[str, set[str]] = {}
        for model, text in self._cursor.execute("SELECT model, class FROM classes").fetchall():
            self._classes.setdefault(model, set()).add(text)
        self._folded: dict[str, int] = {}

    def series(self, batch: PredictionBatch) -> tuple[Int32, Int32]:
        """Number the series of each row.

        Returns:
            int32[N] series ids and int32[N] identity ids.
        """
        columns = [getattr(batch, name) for name in _SERIES_COLUMNS]
        distinct, inverse = _distinct(columns, len(batch))
        ids = np.array([self._series_of(key) for key in distinct], np.int32).reshape(-1, 2)
        return ids[inverse, 0], ids[inverse, 1]

    def slices(self, batch: PredictionBatch) -> Int32:
        """Number the slice combination of each row: int32[N]."""
        if not batch.slices:
            return np.zeros(len(batch), np.int32)
        names = sorted(batch.slices)
        columns = [batch.model, *(batch.slices[name] for name in names)]
        distinct, inverse = _distinct(columns, len(batch))
        ids = [
            self._slices_of(
                str(model),
                [(k, v) for k, v in zip(names, values, strict=True) if v is not None],
            )
            for model, *values in distinct
        ]
        return np.array(ids, np.int32)[inverse]

    def admit_classes(self, seen: Sequence[tuple[str, str]]) -> None:
        """Give cells of their own to classes of a model, as far as the limit goes."""
        admitted = []
        for model, text in sorted(seen):
            known = self._classes.setdefault(model, set())
            if len(known) < self._config.limits.classes:
                known.add(text)
                admitted.append((model, text))
            else:
                self._fold("class")
        if admitted:
            self._cursor.executemany("INSERT INTO classes VALUES (?, ?)", admitted)

    def take_folded(self) -> dict[str, int]:
        """What was folded since the last call, by kind: series, slice or class."""
        taken, self._folded = self._folded, {}
        return taken

    def _fold(self, kind: str) -> None:
        self._folded[kind] = self._folded.get(kind, 0) + 1

    def _series_of(self, key: SeriesKey) -> tuple[int, int]:
        configured = self._config.model(str(key[_MODEL]))
        positive = configured.positive_class if key[-1] is None else key[-1]
        if positive is not None:
            key = (*key[:-1], configured.class_aliases.get(positive, positive))
        known = self._series.get(key)
        if known is not None:
            return known
        if len(self._series) >= self._config.limits.models:
            self._fold("series")
            key = self._fold_series(key)
            if key in self._series:
                return self._series[key]
        identity = self._identities.setdefault(_identity(key), len(self._identities) + 1)
        ids = (len(self._series) + 1, identity)
        self._series[key] = ids
        self._models.add(key[_MODEL])
        self._cursor.execute(
            f"INSERT INTO series VALUES (?, ?, {', '.join('?' * len(key))})", [*ids, *key]
        )
        return ids

    def _fold_series(self, key: SeriesKey) -> SeriesKey:
        """Over the limit, a known model keeps its name and loses version and variant first."""
        environment, service, model, _, _, operation, task, positive = key
        if model in self._models:
            return (environment, service, model, OTHER, None, operation, task, positive)
        return (None, OTHER, OTHER, None, None, None, None, None)

    def _slices_of(self, model: str, pairs: list[tuple[str, str]]) -> int:
        folded = tuple((key, self._fold_slice(model, key, value)) for key, value in pairs)
        known = self._slices.get(folded)
        if known is not None:
            return known
        if len(self._slices) >= self._config.limits.slice_combinations:
            self._fold("slice")
            return 0
        slices_id = len(self._slices)
        self._slices[folded] = slices_id
        self._cursor.executemany(
            "INSERT INTO slice_sets VALUES (?, ?, ?)",
            [(slices_id, "", ""), *((slices_id, key, value) for key, value in folded)],
        )
        return slices_id

    def _fold_slice(self, model: str, key: str, value: str) -> str:
        known = self._slice_values.setdefault((model, key), set())
        if value in known:
            return value
        if len(known) < self._config.limits.slice_values:
            known.add(value)
            return value
        self._fold("slice")
        return OTHER


def _identity(key: SeriesKey) -> SeriesKey:
    return tuple(key[place] for place in _IDENTITY)


def _distinct(columns: list[Strings], rows: int) -> tuple[list[tuple[str | None, ...]], Int32]:
    """The distinct rows of several text columns, and which of them each row is."""
    if rows == 0:
        return [], np.empty(0, np.int32)
    codes, inverse = np.unique(
        np.stack([column.codes for column in columns], axis=1), axis=0, return_inverse=True
    )
    texts = [
        tuple(
            None if code < 0 else column.values[code]
            for column, code in zip(columns, row, strict=True)
        )
        for row in codes
    ]
    return texts, inverse.reshape(-1).astype(np.int32)
