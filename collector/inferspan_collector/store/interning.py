"""Texts that many rows share become numbers once: series, slice combinations, classes.

Only the writer interns, inside its transaction; what a failed transaction interned is forgotten
with it. Every table of this room has a limit; what is over folds into `__other__`.
Names of stages stay texts, and are held to their limit here as the rest is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Self

import duckdb
import numpy as np

from inferspan_collector.batches import Int32, PredictionBatch, Strings, UInt64
from inferspan_collector.config import Config
from inferspan_collector.store import grouping
from inferspan_collector.store.cells import SERIES_KEYS
from inferspan_collector.telemetry import OTHER

SeriesKey = tuple[str | None, ...]
SliceKey = tuple[tuple[str, str], ...]

_IDENTITY: Final = tuple(
    SERIES_KEYS.index(key) for key in ("environment", "model", "version", "variant")
)
_MODEL: Final = SERIES_KEYS.index("model")


@dataclass(slots=True)
class _Known:
    """What the store has interned."""

    series: dict[SeriesKey, int] = field(default_factory=dict)
    identities: dict[int, int] = field(default_factory=dict)
    models: set[str | None] = field(default_factory=set)
    slices: dict[SliceKey, int] = field(default_factory=dict)
    slice_values: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    classes: dict[str, set[str]] = field(default_factory=dict)
    stages: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, cursor: duckdb.DuckDBPyConnection) -> Self:
        """Read the committed state."""
        known = cls()
        for series_id, identity, *key in cursor.execute(
            f"SELECT series_id, identity, {', '.join(SERIES_KEYS)} FROM series ORDER BY series_id"
        ).fetchall():
            known.series[tuple(key)] = series_id
            known.identities[series_id] = identity or 0
            known.models.add(key[_MODEL])
        sets: dict[int, list[tuple[str, str]]] = {}
        for slices_id, key, value in cursor.execute(
            "SELECT slices_id, slice_key, slice_value FROM slice_sets"
        ).fetchall():
            sets.setdefault(slices_id, []).extend([(key, value)] if key else [])
        known.slices = {tuple(sorted(sets[slices_id])): slices_id for slices_id in sorted(sets)}
        for model, key, value in cursor.execute(
            "SELECT DISTINCT model, slice_key, slice_value FROM prediction_cells"
            " JOIN series USING (series_id) WHERE slice_key <> '' AND slice_value <> ?",
            [OTHER],
        ).fetchall():
            known.slice_values.setdefault((model, key), set()).add(value)
        for model, text in cursor.execute("SELECT model, class FROM classes").fetchall():
            known.classes.setdefault(model, set()).add(text)
        for model, text in cursor.execute("SELECT model, stage FROM stage_names").fetchall():
            known.stages.setdefault(model, set()).add(text)
        return known


class Interner:
    """The interned texts of one store, as the writer knows them."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, config: Config) -> None:
        self._cursor = cursor
        self._config = config
        self._folded: dict[str, int] = {}
        self.reload()

    def reload(self) -> None:
        """Forget what was not committed: at start, and after a rollback.

        Raises:
            duckdb.Error: the store cannot be read; what was known before stays.
        """
        self._known = _Known.read(self._cursor)
        self._folded = {}

    def series(self, batch: PredictionBatch) -> tuple[Int32, UInt64]:
        """Number the series of each row.

        Returns:
            int32[N] series ids, and uint64[N] hashes of what of it belongs to a prediction's key.
            The hash is of the texts as they came: folding a series never merges two keys.
        """
        columns = [getattr(batch, name) for name in SERIES_KEYS]
        distinct, inverse = _distinct(columns, len(batch))
        identities = [identity(key) for key in distinct]
        ids = [self._series_of(key, own) for key, own in zip(distinct, identities, strict=True)]
        return np.array(ids, np.int32)[inverse], np.array(identities, np.uint64)[inverse]

    @property
    def series_keys(self) -> dict[SeriesKey, int]:
        """Every series and its number, in ascending order of numbers from 1 on."""
        return self._known.series

    @property
    def series_identities(self) -> dict[int, int]:
        """The identity of each series by its number; 0 where it stands for folded ones."""
        return self._known.identities

    @property
    def slice_sets(self) -> dict[SliceKey, int]:
        """Every combination of slices and its number, in ascending order of numbers from 0 on."""
        return self._known.slices

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

    def admit_classes(self, seen: Collection[tuple[str, str]]) -> None:
        """Give cells of their own to classes of a model, as far as the limit goes."""
        admitted = self._admit("class", seen, self._known.classes, self._config.limits.classes)
        if admitted:
            self._cursor.executemany("INSERT INTO classes VALUES (?, ?)", admitted)

    def admit_stages(self, seen: Collection[tuple[str, str]]) -> None:
        """The same for names of a model's stages."""
        admitted = self._admit("stage", seen, self._known.stages, self._config.limits.stages)
        if admitted:
            self._cursor.executemany("INSERT INTO stage_names VALUES (?, ?)", admitted)

    def _admit(
        self,
        kind: str,
        seen: Collection[tuple[str, str]],
        known_of: dict[str, set[str]],
        most: int,
    ) -> list[tuple[str, str]]:
        """Know texts of models from now on, at most so many of each; which of them are new."""
        admitted = []
        for model, text in sorted(seen):
            known = known_of.setdefault(model, set())
            if text in known:
                continue
            if len(known) < most:
                known.add(text)
                admitted.append((model, text))
            else:
                self._fold(kind)
        return admitted

    def take_folded(self) -> dict[str, int]:
        """What was folded since the last call, by kind: series, slice, class or stage."""
        taken, self._folded = self._folded, {}
        return taken

    def _fold(self, kind: str) -> None:
        self._folded[kind] = self._folded.get(kind, 0) + 1

    def class_of(self, model: str, text: str | None) -> str | None:
        """The class that counts: itself where it was admitted, `__other__` where not."""
        if text is None or text in self._known.classes.get(model, ()):
            return text
        return OTHER

    def _series_of(self, key: SeriesKey, identity: int | None) -> int:
        positive = self._config.model(str(key[_MODEL])).positive_class
        if positive is not None:
            # What the configuration says holds whatever the spans say.
            key = (*key[:-1], self._config.model(str(key[_MODEL])).canonical(positive))
        known = self._known.series.get(key)
        if known is not None:
            return known
        if len(self._known.series) >= self._config.limits.models:
            self._fold("series")
            key, identity = self._fold_series(key), None
            if key in self._known.series:
                return self._known.series[key]
        series_id = len(self._known.series) + 1
        self._known.series[key] = series_id
        self._known.identities[series_id] = identity or 0
        self._known.models.add(key[_MODEL])
        self._cursor.execute(
            f"INSERT INTO series VALUES (?, ?, {', '.join('?' * len(key))})",
            [series_id, identity, *key],
        )
        return series_id

    def _fold_series(self, key: SeriesKey) -> SeriesKey:
        """Over the limit a known model keeps its name and nothing else, others not even that.

        So that at most one series per known model comes on top of the limit.
        """
        model = key[_MODEL] if key[_MODEL] in self._known.models else OTHER
        folded = {"service": OTHER, "model": model, "version": OTHER}
        return tuple(folded.get(name) for name in SERIES_KEYS)

    def _slices_of(self, model: str, pairs: list[tuple[str, str]]) -> int:
        folded = tuple((key, self._fold_slice(model, key, value)) for key, value in pairs)
        known = self._known.slices.get(folded)
        if known is not None:
            return known
        if len(self._known.slices) >= self._config.limits.slice_combinations:
            self._fold("slice")
            return 0
        slices_id = len(self._known.slices)
        self._known.slices[folded] = slices_id
        self._cursor.executemany(
            "INSERT INTO slice_sets VALUES (?, ?, ?)",
            [(slices_id, "", ""), *((slices_id, key, value) for key, value in folded)],
        )
        return slices_id

    def _fold_slice(self, model: str, key: str, value: str) -> str:
        known = self._known.slice_values.setdefault((model, key), set())
        if value in known:
            return value
        if len(known) < self._config.limits.slice_values:
            known.add(value)
            return value
        self._fold("slice")
        return OTHER


def identity(key: SeriesKey) -> int:
    """The hash of what of a series belongs to a prediction's key."""
    parts = repr([key[place] for place in _IDENTITY]).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(parts, digest_size=8).digest(), "little")


def _distinct(columns: list[Strings], rows: int) -> tuple[list[SeriesKey], Int32]:
    """The distinct rows of several text columns, and which of them each row is."""
    if rows == 0:
        return [], np.empty(0, np.int32)
    codes = [column.codes for column in columns]
    group, first = grouping.groups(codes)
    texts = [
        tuple(
            None if column.codes[row] < 0 else column.values[column.codes[row]]
            for column in columns
        )
        for row in first
    ]
    return texts, group
