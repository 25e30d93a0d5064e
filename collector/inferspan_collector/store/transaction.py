"""One transaction's work: what is new, what it joins, what it counts, and its rows in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector import failpoints, join, latency_sketch
from inferspan_collector.batches import (
    Bool,
    Int32,
    Int64,
    LabelBatch,
    Objects,
    PredictionBatch,
    Texts,
)
from inferspan_collector.join import Said
from inferspan_collector.store import counting, feature_blocks, keys, nearby, outbox, staging
from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.compiled import rows as hot_rows
from inferspan_collector.store.compiled.rows import EXCEPTIONAL, MAYBE_COLD
from inferspan_collector.store.counting import Judgement, Outcomes
from inferspan_collector.store.known import Known
from inferspan_collector.store.nearby import Older, Since
from inferspan_collector.store.recent_keys import KeyHashes, Seen
from inferspan_collector.store.staging import Columns

_RESULTS: Final = {
    hot_rows.AGAIN: "duplicate",
    hot_rows.WAITING: "waiting",
    hot_rows.JOINED: "joined",
}
_NO_ROWS: Final = np.empty(0, np.int64)
_NOTHING: Final = join.InSql(_NO_ROWS, _NO_ROWS, _NO_ROWS, {}, (), (), (), 0, ())


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """What became of a batch, for its senders and our counters."""

    new_predictions: Bool
    label_results: Objects
    superseded: int
    """Predictions, new or stored, whose key another one has won."""
    met: int
    """Labels that had waited and have joined."""
    due: outbox.Due | None


class Transaction:
    """Joins a batch and writes it, inside the open transaction of a cursor."""

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        known: Known,
        newest: Since,
        predictions: PredictionBatch,
        labels: LabelBatch,
        statements: str,
    ) -> None:
        self._cursor = cursor
        self._statements = statements
        self._known = known
        self._newest = newest
        self._predictions = known.predictions(predictions, newest.prediction)
        self._labels = staging.known_labels(labels, known.secret, newest.label)
        self._judgements: dict[int, Judgement] = {}
        self.unindexed: list[KeyHashes] = []
        """Keys of which the index will know nothing: cold from the commit on."""

    def run(self, evaluations: bool) -> Written:
        """Do all of it; `evaluations` asks for what spans could be made of."""
        seen, seen_labels, since, older = self._see()
        in_sql = self._in_sql(seen, seen_labels, since, older)
        new = (seen.what == hot_rows.NEW) | _among(self._predictions.rows, in_sql.new_predictions)
        new_labels = (seen_labels.what >= hot_rows.WAITING) | _among(
            self._labels.rows, in_sql.new_labels
        )
        results = self._results(seen_labels, in_sql)
        waiting = [row for row, result in in_sql.results.items() if result == "waiting"]
        waits = seen_labels.what == hot_rows.WAITING
        waits |= _among(self._labels.rows, np.array(waiting, np.int64))
        self._append(new, new_labels, new_labels & waits)
        losing = _among(self._predictions.rows, in_sql.losing)
        self._count_predictions(new & ~losing, in_sql)
        lost = [*self._predictions.rows[losing].tolist(), *(row[0] for row in in_sql.superseded)]
        staging.insert(self._cursor, "superseded_predictions", {"row_id": np.array(lost, np.int64)})
        met = self._met(seen_labels)
        outcomes = self._write_outcomes(met, in_sql)
        due = self._due(met, outcomes, in_sql) if evaluations else None
        return Written(new, results, len(lost), in_sql.met, due)

    def _see(self) -> tuple[Seen, Seen, Since, Older]:
        """Ask the index; what it does not answer is left to SQL, from some row on."""
        known, recent = self._known, self._known.recent
        newest, sealed = self._newest, known.sealed.until
        fits = recent.begin(len(self._predictions) + len(self._labels), newest, sealed)
        self._linked = known.link(self._cursor, self._labels, newest)
        arriving = known.arriving(self._predictions)
        arriving_labels = known.arriving_labels(self._labels)
        if not fits:
            for batch in (arriving, arriving_labels):
                batch.beyond[:] = np.maximum(batch.beyond, MAYBE_COLD)
                recent.leave_to_sql(batch.keys, newest)
                self.unindexed.append(batch.keys)
        elif recent.is_loose(sealed):
            # They may be new, and then have neither an entry nor a sealed row.
            for batch in (arriving, arriving_labels):
                if (cold := batch.beyond == MAYBE_COLD).any():
                    self.unindexed.append(batch.keys.take(cold))
        seen = recent.see_predictions(arriving, known.series, newest)
        seen_labels = recent.see_labels(arriving_labels, known.series, newest)
        recent.settle(seen, seen_labels)
        # Labels of models that fold into one another stand under other keys.
        everywhere = self._predictions.folded.any() or (arriving.beyond == EXCEPTIONAL).any()
        if everywhere or not fits:
            return seen, seen_labels, Since(), Older()
        one, other = (
            recent.since(rows, batch.beyond, newest, sealed)
            for rows, batch in ((seen, arriving), (seen_labels, arriving_labels))
        )
        return (
            seen,
            seen_labels,
            Since(min(one.prediction, other.prediction), min(one.label, other.label)),
            arriving.older + arriving_labels.older,
        )

    def _in_sql(self, seen: Seen, seen_labels: Seen, since: Since, older: Older) -> join.InSql:
        rows, label_rows = (s.what == hot_rows.IN_SQL for s in (seen, seen_labels))
        if not rows.any() and not label_rows.any():
            return _NOTHING
        cursor = self._cursor
        staging.stage_predictions(cursor, self._predictions, rows)
        staging.stage_labels(cursor, self._labels, label_rows)
        nearby.find(
            cursor,
            self._wanted(rows, label_rows),
            since,
            older,
            links=len(self._known.linked) > 0 or bool((label_rows & self._unnamed()).any()),
        )
        return join.join_in_sql(cursor, self._statements)

    def _unnamed(self) -> Bool:
        return (self._labels.keys.high | self._labels.keys.low) == 0  # type: ignore[no-any-return]

    def _wanted(self, rows: Bool, label_rows: Bool) -> tuple[NDArray[Any], NDArray[Any]]:
        """The keys whose rows have to be found: of these rows, and of what they link to."""
        high = [self._predictions.keys.high[rows], self._labels.keys.high[label_rows]]
        low = [self._predictions.keys.low[rows], self._labels.keys.low[label_rows]]
        if self._linked is not None:
            high.append(self._linked.high)
            low.append(self._linked.low)
        return np.concatenate(high), np.concatenate(low)

    def _results(self, seen_labels: Seen, in_sql: join.InSql) -> Objects:
        texts = np.array([_RESULTS.get(what) for what in range(hot_rows.JOINED + 1)], np.object_)
        results = texts[seen_labels.what]
        first = self._newest.label
        for row, result in in_sql.results.items():
            results[row - first] = result
        return results

    def _append(self, new: Bool, new_labels: Bool, waiting: Bool) -> None:
        cursor = self._cursor
        rows, details = staging.prediction_columns(self._predictions, new)
        staging.insert(cursor, "predictions", rows)
        staging.insert(cursor, "prediction_details", details)
        probabilities = staging.probability_columns(self._predictions, new)
        staging.insert(cursor, "prediction_probabilities", probabilities)
        feature_blocks.write(cursor, self._predictions, new, self._known.feature_sets)
        rows, details = staging.label_columns(self._labels, new_labels, self._known.label_sets)
        staging.insert(cursor, "labels", rows)
        staging.insert(cursor, "label_details", details)
        columns: Columns = {
            "label_row": self._labels.rows[waiting],
            "model": self._labels.batch.model.take(waiting).objects(),
            "received": self._labels.batch.received[waiting],
        }
        staging.insert(cursor, "waiting_labels", columns)
        failpoints.reach("after-append")

    def _count_predictions(self, current: Bool, in_sql: join.InSql) -> None:
        """Predictions enter their cells as they become current and leave as they are superseded."""
        batch = self._predictions.batch
        _, times, series, slices, failed, durations = (
            zip(*in_sql.superseded, strict=True) if in_sql.superseded else ((),) * 6
        )
        minute = np.append(batch.event_time[current], np.array(times, np.int64)) // MINUTE_NS
        duration = np.append(batch.duration[current], np.array(durations, np.int64))
        begun = int(current.sum())
        columns = (
            minute,
            np.append(self._predictions.series[current], np.array(series, np.int32)),
            np.append(self._predictions.slices[current], np.array(slices, np.int32)),
            np.append(batch.error_type.codes[current] >= 0, np.array(failed, np.bool_)),
            latency_sketch.buckets(duration),
        )
        sign = np.repeat(np.array([1, -1], np.int8), [begun, len(times)])
        cells = counting.prediction_cells(columns, sign, self._known.slices)
        staging.insert(self._cursor, "prediction_cells", cells)

    def _met(self, seen_labels: Seen) -> join.Met:
        known = self._known
        met = known.recent.joined(seen_labels, self._newest.prediction)
        return join.judge(self._labels, met, known.classes, known.series)

    def _write_outcomes(self, met: join.Met, in_sql: join.InSql) -> Outcomes:
        """Write what begins, delete what ends, count both."""
        cursor = self._cursor
        said = [Said(*row[5:]) for row in in_sql.added]
        self._admit_classes([*met.said, *said])
        numbers = np.array([self._judgement(one) for one in met.said], np.int32)
        fast = Outcomes(
            met.prediction_row,
            self._labels.rows[met.label],
            met.series,
            met.slices,
            met.minute.astype(np.int64),
            numbers[met.group] if len(numbers) else np.empty(0, np.int32),
            np.ones(len(met.label), np.int8),
        )
        slow = Outcomes.of(
            [
                (*row[:5], self._judgement(one), 1)
                for row, one in zip(in_sql.added, said, strict=True)
            ]
        )
        ended = Outcomes.of([(*row[:5], self._number(row[5:]), -1) for row in in_sql.removed])
        begun = Outcomes.concat([fast, slow])
        if len(ended):
            cursor.execute(
                "DELETE FROM outcomes USING removed"
                " WHERE outcomes.prediction_row = removed.prediction_row"
                " AND outcomes.label_row = removed.label_row"
            )
        staging.insert(cursor, "outcomes", begun.columns())
        every = Outcomes.concat([begun, ended])
        counting_ones = [n for n, judgement in self._judgements.items() if judgement[1]]
        counted = every.take(_among(every.judgement, np.array(counting_ones, np.int32)))
        cells = counting.outcome_cells(counted, self._known.slices, self._judgements)
        staging.insert(cursor, "outcome_cells", cells)
        staging.insert(cursor, "arrival_cells", counting.arrival_cells(counted, self._judgements))
        return begun

    def _admit_classes(self, said: list[Said]) -> None:
        seen = {
            (s.model, text) for s in said for text in (s.predicted, s.actual) if text is not None
        }
        self._known.interner.admit_classes(seen)

    def _judgement(self, said: Said) -> int:
        class_of = self._known.interner.class_of
        return self._number(
            (
                said.target,
                said.counted,
                class_of(said.model, said.predicted),
                class_of(said.model, said.actual),
                said.correct,
            )
        )

    def _number(self, judgement: tuple[Any, ...]) -> int:
        number = self._known.judgements.number(judgement)
        self._judgements[number] = judgement
        return number

    def _due(self, met: join.Met, begun: Outcomes, in_sql: join.InSql) -> outbox.Due:
        """Evaluations of what the index joined, then of what SQL did."""
        fast = begun.take(slice(len(met.label)))
        numbers, places = np.unique(fast.judgement, return_inverse=True)
        said = [self._judgements[number] for number in numbers.tolist()]
        judged = np.array([s[1] and s[4] >= 0 for s in said], np.bool_)[places]
        outcomes = outbox.numbers("correct" if s[4] == 1 else "incorrect" for s in said)
        ids = keys.text_hashes(self._labels.batch.prediction_id)[met.label[judged]]
        rows, label_rows, slow, slow_ids = (
            zip(*in_sql.due, strict=True) if in_sql.due else ((),) * 4
        )
        return outbox.Due(
            np.append(fast.prediction_row[judged], np.array(rows, np.int64)),
            np.append(fast.label_row[judged], np.array(label_rows, np.int64)),
            np.append(outcomes[places][judged], outbox.numbers(slow)),
            np.append(ids, keys.text_hashes(Texts.of(slow_ids))),
        )


def _among(rows: Int64 | Int32, chosen: Int64 | Int32) -> Bool:
    if len(chosen) == 0:
        return np.zeros(len(rows), np.bool_)
    return np.isin(rows, chosen)
