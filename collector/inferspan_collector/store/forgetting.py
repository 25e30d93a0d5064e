"""Forget on request: rows of a prediction id leave, counters stay, no retry brings them back.

A leaving row is overwritten before it is deleted, and `scrubbing` overwrites what blocks become
free; what is left is a keyed hash in `remembered`, for as long as a label of it may come.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import duckdb

from inferspan_collector.batches import Texts
from inferspan_collector.config import Config
from inferspan_collector.store import feature_blocks
from inferspan_collector.store.database import sql
from inferspan_collector.store.keys import PADDING, Secret
from inferspan_collector.store.naming import waiting_rows
from inferspan_collector.store.remembered import Remembered

ROWS_MAX: Final = 10_000
"""Predictions that one request erases, and labels; the rest is for the next."""
ENTITY_IDS_MAX: Final = 100
"""Prediction ids of an entity that one request erases; the rest is for the next."""
FORGOTTEN: Final = "forgotten"
"""What became of a label that names what was forgotten."""
_ERASE_PREDICTIONS: Final = sql("inferspan_collector.store", "erase_predictions.sql")
_ERASE_LABELS: Final = sql("inferspan_collector.store", "erase_labels.sql")
_FIND: Final = sql("inferspan_collector.store", "find_forgotten.sql")
_OF_MODEL: Final = "($2::VARCHAR IS NULL OR model = $2)"
_NAMED: Final = {
    "named_predictions": f"prediction_id = $1 AND {_OF_MODEL}",
    "named_labels": f"entity_id = $1 AND {_OF_MODEL}",
}
_OTHERWISE: Final = {
    "VARCHAR": "CASE WHEN {0} = '' THEN '-' ELSE '' END",
    "BOOLEAN": "{0} IS NOT TRUE",
    "BLOB": "CASE WHEN {0} = ''::BLOB THEN '-'::BLOB ELSE ''::BLOB END",
} | dict.fromkeys(
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UBIGINT", "DOUBLE"),
    "CASE WHEN {0} = 0 THEN 1 ELSE 0 END",
)
"""Type → another value that says nothing; what is absent becomes one, too."""
_TABLES: Final = {"predictions": _ERASE_PREDICTIONS, "labels": _ERASE_LABELS}
_DETAILS: Final = {
    "predictions": ("prediction_details", "prediction_probabilities", "rebuilt_spans"),
    "labels": ("label_details",),
}


@dataclass(frozen=True, slots=True)
class ToForget:
    """Whose rows are to leave, of one model or of every one: those of a prediction's id, or all of
    an entity.
    """

    prediction_id: str | None = None
    model: str | None = None
    entity_id: str | None = None


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
    """Erases what is asked for. One thread owns it."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, config: Config, remembered: Remembered
    ) -> None:
        self._cursor = cursor
        self._remember_ns = config.rows_kept_ns
        self._remembered = remembered

    def find(self, asked: ToForget) -> Forgotten:
        """What `forget` would erase now; TEMP tables `forgetting_predictions`, `…_labels`."""
        if asked.prediction_id is None:
            return self._of_entity(asked, self.find)
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
        if asked.prediction_id is None:
            return self._forget_entity(asked, now_ns)
        found = self.find(asked)
        spans = self._cursor.execute(
            "SELECT trace_high, trace_low, span, span_row FROM forgetting_predictions"
        ).fetchall()
        until_ns = now_ns + self._remember_ns
        self._remembered.add_id(asked.model, asked.prediction_id, until_ns)
        self._remembered.add_spans(spans, until_ns)
        self._cursor.execute(
            "DELETE FROM outbox WHERE prediction_id = ? AND series_id IN"
            " (SELECT series_id FROM series WHERE ?::VARCHAR IS NULL OR model = ?)",
            [PADDING + asked.prediction_id, asked.model, asked.model],
        )
        self._overwrite_named("named_predictions", asked.prediction_id, asked.model)
        for table, erase in _TABLES.items():
            self._cursor.execute(
                f"CREATE OR REPLACE TEMP TABLE leaving AS SELECT row_id FROM forgetting_{table}"
            )
            self._overwrite(table)
            for details in _DETAILS[table]:
                self._overwrite(details)
            if table == "predictions":
                feature_blocks.forget(self._cursor)
            self._cursor.execute(erase)
        self._cursor.execute("UPDATE kept SET scrub_due = TRUE")
        return found

    def _of_entity(self, asked: ToForget, each: Callable[[ToForget], Forgotten]) -> Forgotten:
        """Do something for some prediction ids of an entity, and add up what it says."""
        ids = self._cursor.execute(
            "SELECT DISTINCT prediction_id, model FROM named_predictions"
            " WHERE entity_id = $1 AND ($2::VARCHAR IS NULL OR model = $2) ORDER BY ALL LIMIT $3",
            [asked.entity_id, asked.model, ENTITY_IDS_MAX],
        ).fetchall()
        found = [each(ToForget(prediction_id, model)) for prediction_id, model in ids]
        labels = self._cursor.execute(
            f"SELECT count(*) FROM named_labels WHERE {_NAMED['named_labels']}",
            [asked.entity_id, asked.model],
        ).fetchall()[0][0]
        return Forgotten(
            predictions=sum(part.predictions for part in found),
            labels=sum(part.labels for part in found) + labels,
            trace_ids=tuple(sorted({trace for part in found for trace in part.trace_ids})),
            more=len(ids) == ENTITY_IDS_MAX or any(part.more for part in found),
        )

    def _forget_entity(self, asked: ToForget, now_ns: int) -> Forgotten:
        """Erase the rows of an entity's predictions, and the labels that name it.

        Their ids are remembered, not the entity: it may come again, a retry may not.
        """
        forgotten = self._of_entity(asked, lambda one: self.forget(one, now_ns))
        labels = self._cursor.execute(
            "SELECT label_id, revision, content_hash FROM named_labels"
            f" WHERE {_NAMED['named_labels']}",
            [asked.entity_id, asked.model],
        ).fetchnumpy()
        if len(labels["label_id"]):
            ids = labels["label_id"].tolist()
            until_ns = now_ns + self._remember_ns
            self._remembered.add_labels(sorted(set(ids)), until_ns)
            numbers = waiting_rows(Texts.of(ids), labels["revision"], labels["content_hash"])
            self._cursor.execute(
                "DELETE FROM waiting_labels WHERE list_contains(?, label_row)", [numbers.tolist()]
            )
        self._overwrite_named("named_labels", asked.entity_id, asked.model)
        self._cursor.execute("UPDATE kept SET scrub_due = TRUE")
        return forgotten

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

    def _overwrite_named(self, table: str, name: str | None, model: str | None) -> None:
        """The same of the rows of a table of `_NAMED` that are of a name."""
        self._cursor.execute(
            "CREATE OR REPLACE TEMP TABLE leaving_names AS SELECT rowid AS place"
            f" FROM {table} WHERE {_NAMED[table]}",
            [name, model],
        )
        columns = self._cursor.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?"
            " AND database_name = current_database()",
            [table],
        ).fetchall()
        said = ", ".join(
            f"{column} = {_OTHERWISE[kind].format(column)}" for column, kind in columns
        )
        chosen = "WHERE rowid IN (SELECT place FROM leaving_names)"
        self._cursor.execute(f"UPDATE {table} SET {said} {chosen}")
        self._cursor.execute(f"DELETE FROM {table} {chosen}")
