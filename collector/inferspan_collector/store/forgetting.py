"""Forget on request: rows of a prediction id leave, counters stay, no retry brings them back.

What is left of an id is a keyed hash, for as long as a label of it may come; the key is the
file's own. Who has the file can still test whether a given id was forgotten, and nothing else.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import duckdb
import numpy as np

from inferspan_collector.batches import Bool, Decoded, LabelBatch, PredictionBatch, Texts, taken
from inferspan_collector.config import Config
from inferspan_collector.store.database import sql
from inferspan_collector.store.keys import PADDING, Secret

ROWS_MAX: Final = 10_000
"""Predictions that one request erases, and labels; the rest is for the next."""
FORGOTTEN: Final = "forgotten"
"""What became of a label that names what was forgotten."""
_ERASE_PREDICTIONS: Final = sql("inferspan_collector.store", "erase_predictions.sql")
_ERASE_LABELS: Final = sql("inferspan_collector.store", "erase_labels.sql")
_FIND: Final = sql("inferspan_collector.store", "find_forgotten.sql")
_ANY_MODEL: Final = ""
_OTHERWISE: Final = {
    "VARCHAR": "CASE WHEN {0} = '' THEN '-' ELSE '' END",
    "BOOLEAN": "{0} IS NOT TRUE",
} | dict.fromkeys(
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UBIGINT", "DOUBLE"),
    "CASE WHEN {0} = 0 THEN 1 ELSE 0 END",
)
"""Type → another value that says nothing; what is absent becomes one, too."""
_TABLES: Final = {"predictions": _ERASE_PREDICTIONS, "labels": _ERASE_LABELS}
_DETAILS: Final = {"predictions": "prediction_details", "labels": "label_details"}


@dataclass(frozen=True, slots=True)
class ToForget:
    """Whose rows are to leave: of one model, or of every one."""

    prediction_id: str
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What left, or would."""

    predictions: int
    labels: int
    trace_ids: tuple[str, ...]
    """Where the same data lies in a trace store, to be deleted there."""
    more: bool
    """Whether there is more than one request erases: ask again."""


class Forgetting:
    """Erases what is asked for, and knows what was. One thread owns it."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, config: Config) -> None:
        self._cursor = cursor
        self._remember_ns = config.rows_kept_ns
        self.reload()

    def reload(self) -> None:
        """Read what is committed: at start, and after a rollback."""
        keys = self._cursor.execute("SELECT key FROM forgetting_key").fetchall()
        self._key: bytes | None = keys[0][0] if keys else None
        self._hashes = {
            hash_ for (hash_,) in self._cursor.execute("SELECT hash FROM forgotten").fetchall()
        }

    def find(self, asked: ToForget) -> Forgotten:
        """What `forget` would erase now; TEMP tables `forgetting_predictions`, `…_labels`."""
        cursor = self._cursor
        key = Secret.of(cursor).keys(Texts.of([asked.prediction_id]))
        cursor.execute(
            "CREATE OR REPLACE TEMP TABLE asked AS SELECT $high::UBIGINT AS key_high,"
            " $low::UBIGINT AS key_low, $model AS model, $most::BIGINT AS most",
            {
                "high": int(key.high[0]),
                "low": int(key.low[0]),
                "model": asked.model,
                "most": ROWS_MAX + 1,
            },
        )
        cursor.execute(_FIND)
        counts = [
            int(cursor.execute(f"SELECT count(*) FROM forgetting_{table}").fetchall()[0][0])
            for table in _TABLES
        ]
        # One more was looked for than is taken.
        for table in _TABLES:
            cursor.execute(
                f"DELETE FROM forgetting_{table} WHERE row_id NOT IN"
                f" (SELECT row_id FROM forgetting_{table} ORDER BY row_id LIMIT {ROWS_MAX})"
            )
        traces = cursor.execute(
            "SELECT DISTINCT trace_high, trace_low FROM forgetting_predictions"
            " WHERE trace_high <> 0 OR trace_low <> 0 ORDER BY ALL"
        ).fetchall()
        return Forgotten(
            predictions=min(counts[0], ROWS_MAX),
            labels=min(counts[1], ROWS_MAX),
            trace_ids=tuple(f"{high:016x}{low:016x}" for high, low in traces),
            more=max(counts) > ROWS_MAX,
        )

    def forget(self, asked: ToForget, now_ns: int) -> Forgotten:
        """Erase the rows and remember the id, inside the open transaction.

        The same asked again finds nothing and changes nothing.
        """
        found = self.find(asked)
        spans = self._cursor.execute(
            "SELECT trace_high, trace_low, span FROM forgetting_predictions"
        ).fetchall()
        texts = [_id_text(asked.model or _ANY_MODEL, asked.prediction_id)]
        texts += [_span_text(*span) for span in spans]
        self._remember(texts, now_ns + self._remember_ns)
        self._cursor.execute(
            "DELETE FROM outbox WHERE prediction_id = ? AND series_id IN"
            " (SELECT series_id FROM series WHERE ?::VARCHAR IS NULL OR model = ?)",
            [PADDING + asked.prediction_id, asked.model, asked.model],
        )
        for table, erase in _TABLES.items():
            self._cursor.execute(
                f"CREATE OR REPLACE TEMP TABLE leaving AS SELECT row_id FROM forgetting_{table}"
            )
            self._overwrite(table)
            self._overwrite(_DETAILS[table])
            self._cursor.execute(erase)
        self._cursor.execute("UPDATE kept SET scrub_due = TRUE")
        return found

    def drop_expired(self, now_ns: int) -> None:
        """Drop what no retry can bring back any more, in a transaction of its own."""
        self._cursor.execute("DELETE FROM forgotten WHERE until < ?", [now_ns])
        self.reload()

    def without(self, group: Sequence[Decoded]) -> tuple[list[Decoded], list[Bool] | None]:
        """A group of requests without the rows that name what was forgotten.

        Returns:
            The requests, and of each which of its labels are forgotten; None where nothing is.
        """
        if not self._hashes:
            return list(group), None
        kept, masks = [], []
        for part in group:
            predictions, labels = self._of_predictions(part), self._of_labels(part.labels)
            masks.append(labels)
            kept.append(
                replace(
                    part,
                    predictions=taken(part.predictions, ~predictions),
                    labels=taken(part.labels, ~labels),
                )
            )
        return kept, masks

    def _of_predictions(self, part: Decoded) -> Bool:
        batch: PredictionBatch = part.predictions
        models, ids = batch.model.objects(), batch.prediction_id.objects()
        return self._known(
            (_id_text(m, i), _id_text("", i)) for m, i in zip(models, ids, strict=True)
        )

    def _of_labels(self, batch: LabelBatch) -> Bool:
        rows = zip(
            batch.model.objects(),
            batch.prediction_id.objects(),
            batch.link_trace.tolist(),
            batch.link_span.tolist(),
            strict=True,
        )
        return self._known(
            (
                _id_text(model, id_),
                _id_text("", id_),
                *([_span_text(trace[0], trace[1], span)] if span else ()),
            )
            for model, id_, trace, span in rows
        )

    def _known(self, rows: Iterable[Sequence[str]]) -> Bool:
        known = [any(self._hash(text) in self._hashes for text in texts) for texts in rows]
        return np.array(known, np.bool_)

    def _remember(self, texts: Sequence[str], until_ns: int) -> None:
        if self._key is None:
            self._key = secrets.token_bytes(32)
            self._cursor.execute("INSERT INTO forgetting_key VALUES (?)", [self._key])
        hashes = {self._hash(text) for text in texts}
        self._cursor.execute("DELETE FROM forgotten WHERE list_contains(?, hash)", [[*hashes]])
        self._cursor.executemany(
            "INSERT INTO forgotten VALUES (?, ?)", [(hash_, until_ns) for hash_ in hashes]
        )
        self._hashes |= hashes

    def _hash(self, text: str) -> int:
        assert self._key is not None, "what is remembered has a key"
        digest = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key
        )
        return int.from_bytes(digest.digest(), "little")

    def _overwrite(self, table: str) -> None:
        """Overwrite the leaving rows, and erase them.

        Of a row that is only deleted, the block keeps all. And all columns are overwritten, with
        other values than they had, though most say nothing: DuckDB packs several into one block,
        writes anew those alone that have changed, and gives the block free when none is left in it.
        """
        columns = self._cursor.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?"
            " AND database_name = current_database() AND column_name <> 'row_id'",
            [table],
        ).fetchall()
        said = ", ".join(f"{name} = {_OTHERWISE[kind].format(name)}" for name, kind in columns)
        self._cursor.execute(
            f"UPDATE {table} SET row_id = -row_id, {said}"
            " WHERE row_id IN (SELECT row_id FROM leaving)"
        )
        self._cursor.execute(f"DELETE FROM {table} WHERE row_id < 0")


def _id_text(model: str | None, prediction_id: str | None) -> str:
    return f"id\0{model or ''}\0{prediction_id or ''}"


def _span_text(trace_high: int, trace_low: int, span: int) -> str:
    return f"span\0{trace_high}\0{trace_low}\0{span}"
