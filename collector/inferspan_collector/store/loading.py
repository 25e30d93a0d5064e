"""The index of recent keys, filled from the file: at start, and after a commit in doubt."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import duckdb
import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Int8, UInt64
from inferspan_collector.several_classes import RANK
from inferspan_collector.store import keys
from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.compiled.rows import EXCEPTIONAL, KEYLESS, MAYBE_COLD, ORDINARY
from inferspan_collector.store.facts import CLASSES_MAX, UNKNOWN
from inferspan_collector.store.known import Known
from inferspan_collector.store.nearby import Since
from inferspan_collector.store.recent_keys import Arriving, ArrivingLabels, KeyHashes
from inferspan_collector.telemetry import OTHER

_CHUNK: Final = 500_000
"""Rows read at once: some 40 MB."""

_RANKED: Final = f"""
SELECT
    series_id,
    coalesce(task = '{semconv.RANKING}', FALSE) OR coalesce(operation = '{RANK}', FALSE) AS ranked
FROM series
"""
_PREDICTIONS: Final = f"""
SELECT
    p.row_id, p.key_high, p.key_low, coalesce(d.position, 0)::INTEGER AS position,
    p.trace_high, p.trace_low, p.span, coalesce(d.span_row, 0)::UBIGINT AS span_row,
    p.series_id, d.identity IS NOT NULL AS folded, p.slices_id,
    CASE WHEN p.predicted IS NULL OR s.ranked THEN -1 ELSE coalesce(c.code, {UNKNOWN}) END::INTEGER
        AS predicted,
    (p.event_time // {MINUTE_NS})::INTEGER AS minute, coalesce(p.value, 'nan') AS value,
    d.error_type IS NOT NULL AS failed, p.received // {MINUTE_NS} AS received,
    x.row_id IS NOT NULL AS superseded
FROM (SELECT * FROM predictions WHERE row_id >= $start AND row_id < $end) AS p
LEFT JOIN (SELECT * FROM prediction_details WHERE row_id >= $start AND row_id < $end) AS d
    ON d.row_id = p.row_id
LEFT JOIN (SELECT * FROM superseded_predictions WHERE row_id >= $start AND row_id < $end) AS x
    ON x.row_id = p.row_id
JOIN ({_RANKED}) AS s ON s.series_id = p.series_id
LEFT JOIN class_codes AS c ON c.class = p.predicted
"""
_COLD: Final = """
SELECT p.key_high, p.key_low, coalesce(d.position, 0)::INTEGER AS position, p.series_id
FROM (SELECT * FROM predictions WHERE row_id >= $start AND row_id < $end) AS p
LEFT JOIN (SELECT * FROM prediction_details WHERE row_id >= $start AND row_id < $end) AS d
    ON d.row_id = p.row_id
"""
_LABELS: Final = f"""
SELECT
    l.row_id, l.label_high, l.label_low, l.revision, l.content_hash, l.key_high, l.key_low,
    coalesce(d.position, 0)::INTEGER AS position, l.set_id,
    coalesce(d.deleted OR d.item_id IS NOT NULL, FALSE) AS exceptional,
    l.received // {MINUTE_NS} AS received
FROM (SELECT * FROM labels WHERE row_id >= $start AND row_id < $end) AS l
LEFT JOIN (SELECT * FROM label_details WHERE row_id >= $start AND row_id < $end) AS d
    ON d.row_id = l.row_id
"""


def load(cursor: duckdb.DuckDBPyConnection, known: Known, since: Since, until: Since) -> None:
    """Let the index see stored rows, from `since` on and before `until`.

    The newest predictions get entries, as many as there is room for; older keys become cold. Cost:
    about 0.25 µs a row, on two cores 0.2, and the memory of two chunks. A thread reads ahead; it
    has ended when this returns.
    """
    _code_classes(cursor, known)
    hot = max(since.prediction, until.prediction - known.recent.capacity)
    for columns in _chunks(cursor, _COLD, since.prediction, hot):
        hashes = _prediction_keys(known, columns)
        known.recent.cold.add(hashes.low, hashes.high)
        if len(known.recent) > 0:
            # After a commit in doubt: of keys that it holds there is more now.
            known.recent.leave_to_sql(hashes, since)
    if not known.recent.cold.empty:
        known.recent.loosen(Since(hot, 0))
        if known.recent.capacity > 0:
            known.seal_before(cursor, Since(hot, until.label))
    known.recent.reserve(len(known.recent) + until.prediction - hot)
    for columns in _chunks(cursor, _PREDICTIONS, hot, until.prediction):
        _see_predictions(known, until, _in_order(columns))
    sets = _Sets(cursor, known)
    for columns in _chunks(cursor, _LABELS, since.label, until.label):
        _see_labels(known, sets, until, _in_order(columns))
    _link(cursor, known, since.label, until)
    if known.recent.is_loose(known.sealed.until):
        known.recent.loosen(until)
    known.recent.keep()


class _Sets:
    """What the index asks of each label's set, by the set's number."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, known: Known) -> None:
        rows = cursor.execute(
            "SELECT set_id, environment, model, version, target FROM label_sets"
        ).fetchall()
        size = max((row[0] for row in rows), default=0) + 1
        self.model = np.zeros(size, np.uint64)
        self.environment = np.full(size, -1, np.int32)
        self.version = np.full(size, -1, np.int32)
        self.named = np.zeros(size, np.bool_)
        self.window = np.zeros(size, np.int64)
        for number, environment, model, version, target in rows:
            self.environment[number] = known.series.name(environment)
            self.version[number] = known.series.name(version)
            self.model[number] = keys.name_hash(model)
            self.window[number] = known.window_minutes(model, target)
            self.named[number] = model is not None and model != OTHER


def _code_classes(cursor: duckdb.DuckDBPyConnection, known: Known) -> None:
    for (text,) in cursor.execute(
        f"SELECT DISTINCT predicted FROM predictions JOIN ({_RANKED}) AS s USING (series_id)"
        f" WHERE predicted IS NOT NULL AND NOT s.ranked LIMIT {CLASSES_MAX}"
    ).fetchall():
        known.classes.of(text)
    cursor.execute("CREATE OR REPLACE TEMP TABLE class_codes (class VARCHAR, code INTEGER)")
    if known.classes.texts:
        texts = np.empty(len(known.classes.texts), np.object_)
        texts[:] = known.classes.texts
        cursor.register("codes", {"class": texts, "code": np.arange(len(texts), dtype=np.int32)})
        cursor.execute("INSERT INTO class_codes SELECT class, code FROM codes")


def _chunks(
    cursor: duckdb.DuckDBPyConnection, statement: str, start: int, end: int
) -> Generator[dict[str, Any]]:
    """Rows of a statement, chunk by chunk; each is read while the one before is worked on.

    Until the last one has come the cursor is not to be used otherwise.
    """

    def read(at: int) -> dict[str, Any]:
        bounds = {"start": at, "end": min(at + _CHUNK, end)}
        columns: dict[str, Any] = cursor.execute(statement, bounds).fetchnumpy()
        return columns

    ahead: Future[dict[str, Any]] | None = None
    with ThreadPoolExecutor(1, "inferspan-loading") as reader:
        try:
            for at in range(start, end, _CHUNK):
                last, ahead = ahead, reader.submit(read, at)
                if last is not None:
                    yield last.result()
            if ahead is not None:
                yield ahead.result()
        finally:
            # A failure holds this frame, and the frame what it has read.
            last = ahead = None


def _in_order(columns: dict[str, Any]) -> dict[str, Any]:
    """A chunk's rows in the order of their ids."""
    rows = columns["row_id"]
    # They come in the file's order, which is theirs; where they do not, sorting is cheap. DuckDB
    # would sort them all, at a third of the cost of reading them.
    if (np.diff(rows) < 0).any():
        order = np.argsort(rows)
        columns = {name: column[order] for name, column in columns.items()}
    return columns


def _prediction_keys(known: Known, columns: dict[str, Any]) -> KeyHashes:
    models = known.series_models[columns["series_id"]]
    return known.recent.hashes(columns["key_high"], columns["key_low"], models, columns["position"])


def _beyond(known: Known, hashes: KeyHashes, columns: dict[str, Any], exceptional: Any) -> Int8:
    beyond = np.where(exceptional, EXCEPTIONAL, ORDINARY).astype(np.int8)
    cold, _ = known.older(hashes, columns["key_high"], columns["key_low"])
    beyond[cold] = MAYBE_COLD
    return beyond


def _see_predictions(known: Known, until: Since, columns: dict[str, Any]) -> None:
    hashes = _prediction_keys(known, columns)
    other = np.array([model == OTHER for model in known.series.models])[columns["series_id"]]
    # What superseded a row may have left before it: then it is the only one of its key.
    exceptional = columns["folded"] | other | columns["superseded"]
    exceptional |= columns["predicted"] == UNKNOWN
    spans = [columns[name] for name in ("trace_high", "trace_low", "span", "span_row")]
    known.recent.begin(len(hashes.low), until, known.sealed.until)
    known.recent.see_predictions(
        Arriving(
            keys=hashes,
            rows=columns["row_id"],
            beyond=_beyond(known, hashes, columns, exceptional),
            span=known.span_hashes(*spans),
            series=columns["series_id"],
            slices=columns["slices_id"],
            predicted=columns["predicted"],
            minute=columns["minute"],
            value=columns["value"],
            failed=columns["failed"],
            received=columns["received"],
        ),
        known.series,
        until,
    )


def _see_labels(known: Known, sets: _Sets, until: Since, columns: dict[str, Any]) -> None:
    numbers = columns["set_id"]
    hashes = known.recent.hashes(
        columns["key_high"], columns["key_low"], sets.model[numbers], columns["position"]
    )
    absent = known.recent.absent(hashes)
    if not known.recent.begin(int(absent.sum()), until, known.sealed.until):
        known.recent.cold.add(hashes.low[absent], hashes.high[absent])
        known.recent.loosen(until)
    beyond = _beyond(known, hashes, columns, columns["exceptional"])
    beyond[~sets.named[numbers] | ((columns["key_high"] | columns["key_low"]) == 0)] = KEYLESS
    own: tuple[UInt64, UInt64] = columns["label_high"], columns["label_low"]
    known.recent.see_labels(
        ArrivingLabels(
            keys=hashes,
            rows=columns["row_id"],
            beyond=beyond,
            label=known.recent.row_hashes(
                *own, columns["revision"].view(np.uint64), columns["content_hash"]
            ),
            environment=sets.environment[numbers],
            version=sets.version[numbers],
            received=columns["received"],
            window=sets.window[numbers],
        ),
        known.series,
        until,
    )


def _link(cursor: duckdb.DuckDBPyConnection, known: Known, first_label: int, newest: Since) -> None:
    columns = cursor.execute(
        "SELECT link_trace_high AS high, link_trace_low AS low, link_span AS span, position"
        " FROM label_details WHERE link_span <> 0 AND row_id >= ?",
        [first_label],
    ).fetchnumpy()
    if len(columns["span"]) == 0:
        return
    trace = np.stack([columns["high"], columns["low"]], axis=1)
    known.link_spans(cursor, trace, columns["span"], columns["position"], newest)
