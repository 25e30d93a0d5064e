"""Labels that name their predictions by an entity or a response, and predictions so named.

Such a label can be about several predictions, some of which come later. For each that it means the
join sees a label of its own, which names that span: it is made when the second of the two comes,
whichever that is, and says the same either way. So what the join does is a function of the set of
records here too, and its rules hold for these labels as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector.batches import (
    Bool,
    Decoded,
    Int64,
    LabelBatch,
    NamedBatch,
    PredictionBatch,
    Strings,
    Texts,
    UInt64,
)
from inferspan_collector.config import Config
from inferspan_collector.store import keys
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.database import sql
from inferspan_collector.store.matching import lengths_of
from inferspan_collector.store.staging import content_hashes

_NAMES: Final = sql("inferspan_collector.store", "names.sql")
_RESULTS: Final = ("joined", "superseded", "late", "duplicate", "waiting")
"""What became of a label is the best of what became of those that were made of it."""
_NEW_PREDICTIONS: Final = """
CREATE OR REPLACE TEMP TABLE new_named_predictions AS
SELECT DISTINCT ON (trace_high, trace_low, span, span_row) * FROM staged_names
ANTI JOIN named_predictions USING (trace_high, trace_low, span, span_row)
"""
_NEW_LABELS: Final = """
CREATE OR REPLACE TEMP TABLE new_named_labels AS
SELECT * FROM staged_named_labels
ANTI JOIN named_labels USING (label_id, revision, content_hash)
QUALIFY row_number() OVER (PARTITION BY label_id, revision, content_hash ORDER BY place) = 1
"""


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A group of requests as the join sees it, and how to answer what was sent.

    `group` has one request more than was sent: the labels that were made.
    """

    group: list[Decoded]
    by_name: list[Bool]
    """Of each request sent: which of its labels name predictions by another name."""
    places: list[int | None]
    """Of each label made: which of those labels, counted over the group; None of an older one."""
    new: frozenset[int]
    """Which of those labels had not come before."""


class TooManyPairs(ValueError):
    """A request's labels are about more predictions than one transaction may hold in memory."""


class Naming:
    """Makes labels of spans of those that name predictions otherwise. One thread owns it."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, config: Config) -> None:
        self._cursor = cursor
        self._pairs_max = config.limits.entity_pairs
        self._names = pairs_of(config)

    def resolve(self, group: Sequence[Decoded]) -> Named | None:
        """What the join is to see of a group, inside the open transaction; None: all, as it is.

        Raises:
            TooManyPairs: they would make more labels than `limits.entity_pairs`.
        """
        by_name = [by_other_name(part.labels) for part in group]
        named = [part.named for part in group if part.named is not None]
        if not named and not any(mask.any() for mask in by_name):
            return None
        labels = LabelBatch.concat(
            [part.labels.take(mask) for part, mask in zip(group, by_name, strict=True)]
        )
        self._take_in(NamedBatch.concat(named), labels)
        cursor = self._cursor
        rows = cursor.execute(self._names).fetchall()
        if len(rows) > self._pairs_max:
            raise TooManyPairs(too_many(self._pairs_max))
        new = cursor.execute("SELECT place FROM new_named_labels").fetchall()
        self._note_waiting(labels, frozenset(place for (place,) in new), rows)
        cursor.execute("INSERT INTO named_labels SELECT * EXCLUDE (place) FROM new_named_labels")
        kept = [
            replace(part, labels=part.labels.take(~mask)) if mask.any() else part
            for part, mask in zip(group, by_name, strict=True)
        ]
        return Named(
            group=[*kept, Decoded(PredictionBatch.empty(), _batch(rows))],
            by_name=by_name,
            places=[row[0] for row in rows],
            new=frozenset(place for (place,) in new),
        )

    def drop_old(self, before_ns: int, step_rows: int) -> Iterator[int]:
        """Erase what was received before a time, so many rows in each transaction; yields those."""
        for table in ("named_predictions", "named_labels", "waiting_labels"):
            by_name = "label_row < 0 AND " if table == "waiting_labels" else ""
            old = f"SELECT rowid FROM {table} WHERE {by_name}received < $before LIMIT $rows"
            erase = f"DELETE FROM {table} WHERE rowid IN ({old})"
            given = {"before": before_ns, "rows": step_rows}
            while rows := self._cursor.execute(erase, given).fetchall()[0][0]:
                yield int(rows)

    def _note_waiting(
        self, labels: LabelBatch, new: frozenset[int], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Let new labels wait that are about nothing yet, and older ones no more that now are."""
        met = {place for place, *_ in rows}
        waiting = np.array([place in new and place not in met for place in range(len(labels))])
        if waiting.any():
            few = labels.take(waiting)
            waiters = {
                "label_row": waiting_rows(few.label_id, few.revision, content_hashes(few)),
                "model": few.model.objects(),
                "received": few.received,
            }
            self._cursor.register("waiters", waiters)
            self._cursor.execute("INSERT INTO waiting_labels BY NAME SELECT * FROM waiters")
        older = [row[2:5] for row in rows if row[0] is None]
        if older:
            ids, revisions, contents = zip(*older, strict=True)
            numbers = waiting_rows(
                Texts.of(ids), np.array(revisions, np.int64), np.array(contents, np.uint64)
            )
            self._cursor.execute(
                "DELETE FROM waiting_labels WHERE list_contains(?, label_row)",
                [np.unique(numbers).tolist()],
            )

    def _take_in(self, names: NamedBatch, labels: LabelBatch) -> None:
        cursor = self._cursor
        cursor.register("staged_names", _name_columns(names))
        cursor.execute(_NEW_PREDICTIONS)
        cursor.execute("INSERT INTO named_predictions SELECT * FROM new_named_predictions")
        cursor.register("staged_named_labels", _label_columns(labels))
        cursor.execute(_NEW_LABELS)


def pairs_of(config: Config) -> str:
    """The query for labels by name with what they are about, one more than a request may have."""
    return _NAMES.format(
        horizons=lengths_of(config.label_window_ns, config.horizons_ns),
        rows=config.limits.entity_pairs + 1,
    )


def too_many(pairs_max: int) -> str:
    """What is said of a request that has more."""
    return (
        f"its labels by entity or response are about more than {pairs_max} predictions, counted "
        "once a label, limits.entity_pairs; send fewer of them in a request, or shorten "
        "models.<name>.targets.<target>.horizon"
    )


def look_up(
    cursor: duckdb.DuckDBPyConnection, labels: LabelBatch, pairs: str
) -> tuple[Bool, LabelBatch, Int64]:
    """What labels would be about if they came now; nothing is stored (a dry run).

    Args:
        cursor: one of the caller's own; TEMP tables of it are replaced.
        labels: a batch.
        pairs: as `pairs_of` has it.

    Returns:
        Which of the labels are by name; for each prediction that they mean a label of its span; and
        the place of the label, among those by name, that it was made of.
    """
    by_name = by_other_name(labels)
    if not by_name.any():
        return by_name, LabelBatch.empty(), np.empty(0, np.int64)
    cursor.register("staged_named_labels", _label_columns(labels.take(by_name)))
    cursor.execute(
        "CREATE OR REPLACE TEMP VIEW new_named_labels AS SELECT * FROM staged_named_labels;"
        " CREATE OR REPLACE TEMP VIEW new_named_predictions AS"
        " SELECT * FROM named_predictions LIMIT 0"
    )
    rows = cursor.execute(pairs).fetchall()
    return by_name, _batch(rows), np.array([row[0] for row in rows], np.int64)


def answers(named: Named, committed: Sequence[Committed]) -> list[Committed]:
    """What became of the requests as they were sent, and of labels that had waited for a name."""
    *sent, made = committed
    best: dict[int, int] = {}
    met = []
    for place, result in zip(named.places, made.labels, strict=True):
        if place is None:
            met += [result] if result == "joined" else []
        else:
            best[place] = min(best.get(place, len(_RESULTS) - 1), _RESULTS.index(result))
    answered = []
    first = 0
    for part, mask in zip(sent, named.by_name, strict=True):
        others = iter(part.labels)
        numbers = iter(range(first, first + int(mask.sum())))
        first += int(mask.sum())
        results = tuple(
            _answer(next(numbers), named, best) if by_name else next(others) for by_name in mask
        )
        answered.append(replace(part, labels=results))
    return [*answered, Committed(0, tuple(met))]


def _answer(place: int, named: Named, best: dict[int, int]) -> str:
    if place not in named.new:
        return "duplicate"
    return _RESULTS[best.get(place, len(_RESULTS) - 1)]


def waiting_rows(label_ids: Texts, revisions: Int64, contents: UInt64) -> Int64:
    """The numbers by which labels by name stand in `waiting_labels`: of no row, so below 0."""
    words = np.stack([keys.text_hashes(label_ids), revisions.view(np.uint64), contents])
    return -1 - (keys.row_hashes(words) >> np.uint64(1)).astype(np.int64)


def by_other_name(labels: LabelBatch) -> Bool:
    """Labels that say neither an id of a model nor a span, and do say another name."""
    named = (labels.entity_id.lengths() > 0) | (labels.response_id.lengths() > 0)
    if not named.any():
        return named
    mask: Bool = named & labels.names_no_key() & (labels.link_span == 0)
    return mask


def _name_columns(names: NamedBatch) -> dict[str, Any]:
    return {
        "entity_id": names.entity_id.objects(),
        "response_id": names.response_id.objects(),
        "environment": names.environment.objects(),
        "model": names.model.objects(),
        "version": names.version.objects(),
        "prediction_id": names.prediction_id.objects(),
        "trace_high": np.ascontiguousarray(names.trace[:, 0]),
        "trace_low": np.ascontiguousarray(names.trace[:, 1]),
        "span": names.span,
        "span_row": names.span_row,
        "event_time": names.event_time,
        "received": names.received,
    }


def _label_columns(labels: LabelBatch) -> dict[str, Any]:
    texts = (
        *("label_id", "environment", "model", "version", "response_id", "entity_id", "target"),
        "item_id",
        *("kind", "actual", "text", "source", "annotator_kind"),
    )
    said = {name: getattr(labels, name).objects() for name in texts}
    return {
        "place": np.arange(len(labels), dtype=np.int64),
        "label_id": said["label_id"],
        "revision": labels.revision,
        "content_hash": content_hashes(labels),
        "environment": said["environment"],
        "model": said["model"],
        "version": said["version"],
        "response_id": said["response_id"],
        "entity_id": said["entity_id"],
        "target": said["target"],
        "kind": said["kind"],
        "actual": said["actual"],
        "value": labels.value,
        "text": said["text"],
        "time": labels.time,
        "received": labels.received,
        "source": said["source"],
        "annotator_kind": said["annotator_kind"],
        "deleted": labels.deleted,
        "weight": labels.weight,
        "item_id": said["item_id"],
    }


def _batch(rows: Sequence[tuple[Any, ...]]) -> LabelBatch:
    """The labels that `names.sql` gives: each names a span, and its id says of what it was made."""
    count = len(rows)
    columns: list[Any] = list(zip(*rows, strict=True)) or [()] * 22
    _, _, ids, revision, _, model, high, low, span, place, target, *rest = columns
    kind, actual, value, text, time, received, source, annotator, deleted, weight, item = rest
    absent = Texts.constant(None, count)
    made = [
        f"{label_id} @{h:016x}{lo:016x} {s:016x} {p}"
        for label_id, h, lo, s, p in zip(ids, high, low, span, place, strict=True)
    ]
    return LabelBatch(
        label_id=Texts.of(made),
        revision=np.array(revision, np.int64),
        environment=Strings.constant(None, count),
        model=Strings.of(model),
        version=Strings.constant(None, count),
        prediction_id=absent,
        index=np.array(place, np.int32),
        item_id=Texts.of(item),
        link_trace=np.array([high, low], np.uint64).T.reshape(count, 2),
        link_span=np.array(span, np.uint64),
        response_id=absent,
        entity_id=absent,
        target=Strings.of(target),
        kind=Strings.of(kind),
        actual=Strings.of(actual),
        value=np.array([np.nan if v is None else v for v in value], np.float64),
        text=Texts.of(text),
        time=np.array(time, np.int64),
        received=np.array(received, np.int64),
        source=Strings.of(source),
        annotator_kind=Strings.of(annotator),
        deleted=np.array(deleted, np.bool_),
        weight=np.array(weight, np.float64),
    )
