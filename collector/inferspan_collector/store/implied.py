"""What silence means: a label of ours for a prediction that got none in time (`absent_means`).

Such a label is a record like others, of kind `implied`, and loses to any other, whenever that
comes: a late truth takes it back as a correction does. So figures are a function of the records
and of the time up to which silence was looked at, and a restart or a second look changes nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np

from inferspan import semconv
from inferspan_collector.batches import LabelBatch, Strings, Texts
from inferspan_collector.config import Config
from inferspan_collector.store import full_rows
from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.database import ROW_GROUP_ROWS, sql

IMPLIED: Final = "implied"
"""The kind of such a label, and what became of it."""
CHECK_NS: Final = MINUTE_NS
"""Between two looks."""
STEP_LABELS: Final = 4_096
"""Labels of one transaction."""
STEP_ROWS: Final = 4 * ROW_GROUP_ROWS
"""Rows that one step looks at: whole row groups."""
LATENESS_NS: Final = 60 * MINUTE_NS
"""How long a prediction may take from its receipt to its commit: so far back each look goes."""

_RANGE: Final = "(SELECT * FROM {0} WHERE {1} BETWEEN $first AND $last)"
_DUE: Final = sql("inferspan_collector.store", "implied.sql").format(
    predictions=full_rows.predictions(_RANGE.format("predictions", "row_id"), "$first"),
    outcomes=full_rows.outcomes(_RANGE.format("outcomes", "prediction_row")),
)


@dataclass(frozen=True, slots=True)
class _Silence:
    """What it means that a model's prediction got no label of a target so long after its event."""

    model: str
    target: str
    actual: str
    value: float
    after_ns: int


class Implied:
    """Finds whose silence is due. It reads no clock, and keeps nothing that the rows do not say."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, config: Config) -> None:
        self._cursor = cursor
        self._silences = [
            _Silence(name, target, *section.absent_means.truth, section.absent_means.after_ns)
            for name, model in config.models.items()
            for target, section in model.targets.items()
            if section.absent_means is not None
        ]
        self._look: Generator[LabelBatch] | None = None
        self._seen_ns: int | None = None

    def due(self, now_ns: int) -> bool:
        """Whether `labels` has something to look at."""
        if not self._silences:
            return False
        if self._look is not None or self._seen_ns is None:
            return True
        # A clock that was set back must not put the next look off for years.
        return not self._seen_ns <= now_ns < self._seen_ns + CHECK_NS

    def labels(self, now_ns: int) -> LabelBatch | None:
        """Some labels that silence implies by now; None once no more are due, until the next look.

        Whoever asks commits them before asking again, or says `again`.

        Raises:
            duckdb.Error: the next look begins where this one did.
        """
        if self._look is None:
            self._look = self._looking(now_ns)
        try:
            return next(self._look, None)
        except BaseException:
            self._look = None
            raise

    def again(self) -> None:
        """Begin the look anew: what it found last could not be committed."""
        self._look = None

    def _looking(self, now_ns: int) -> Generator[LabelBatch]:
        last = self._cursor.execute("SELECT max(row_id) FROM predictions").fetchall()[0][0] or 0
        for silence in self._silences:
            first = self._first(silence, now_ns)
            while first is not None and first <= last:
                end = first + STEP_ROWS - 1
                bounds = self._bounds(silence, now_ns, first, end)
                rows = self._cursor.execute(_DUE, bounds).fetchall()
                yield _batch(silence, rows)
                first = rows[-1][0] + 1 if len(rows) == STEP_LABELS else end + 1
        self._seen_ns = now_ns
        self._look = None

    def _first(self, silence: _Silence, now_ns: int) -> int | None:
        """Where to begin: whatever is before was due at the last look, or is not due now."""
        bounds = self._bounds(silence, now_ns, 0, 0)
        query = (
            "SELECT min(row_id) FROM predictions"
            " WHERE event_time <= $before AND (event_time > $seen OR received > $received)"
        )
        used = {name: bounds[name] for name in ("before", "seen", "received")}
        first: int | None = self._cursor.execute(query, used).fetchall()[0][0]
        return first

    def _bounds(self, silence: _Silence, now_ns: int, first: int, last: int) -> dict[str, Any]:
        never = -(2**62)
        seen = self._seen_ns
        return {
            "model": silence.model,
            "target": silence.target,
            "before": now_ns - silence.after_ns,
            "seen": never if seen is None else seen - silence.after_ns,
            "received": never if seen is None else seen - LATENESS_NS,
            "first": first,
            "last": last,
            "most": STEP_LABELS,
        }


def _batch(silence: _Silence, rows: Sequence[tuple[Any, ...]]) -> LabelBatch:
    """The labels of rows that `implied.sql` found: each names its span, so that no other row's
    silence is meant, and has the receipt of its prediction, so that it is never late.
    """
    count = len(rows)
    none, absent = Strings.constant(None, count), Texts.constant(None, count)
    ids = [
        f"implied {silence.target} {high:016x}{low:016x} {span:016x} {place}"
        for _, high, low, span, place, _, _ in rows
    ]
    columns = np.array([row[4:] for row in rows], np.int64).reshape(count, 3)
    return LabelBatch(
        label_id=Texts.of(ids),
        revision=np.zeros(count, np.int64),
        environment=none,
        model=Strings.constant(silence.model, count),
        version=none,
        prediction_id=absent,
        index=columns[:, 0].astype(np.int32),
        item_id=absent,
        link_trace=np.array([row[1:3] for row in rows], np.uint64).reshape(count, 2),
        link_span=np.array([row[3] for row in rows], np.uint64),
        response_id=absent,
        entity_id=absent,
        target=Strings.constant(silence.target, count),
        kind=Strings.constant(IMPLIED, count),
        actual=Strings.constant(silence.actual, count),
        value=np.full(count, silence.value),
        text=absent,
        time=columns[:, 1] + silence.after_ns,
        received=columns[:, 2],
        source=none,
        annotator_kind=Strings.constant(semconv.ANNOTATOR_KINDS[-1], count),
        deleted=np.zeros(count, np.bool_),
        weight=np.ones(count),
    )
