"""Finding all rows that have to do with some keys, for the join in SQL and for dry runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import duckdb
import numpy as np

from inferspan_collector.batches import Int32, Int64, UInt64
from inferspan_collector.store import full_rows
from inferspan_collector.store.database import sql

_NEAR: Final = sql("inferspan_collector.store", "near.sql")

_LINKED: Final = f"""
SELECT key_high, key_low, series_id, position
FROM (
    {
    full_rows.predictions(
        "(SELECT * FROM predictions AS r SEMI JOIN wanted_spans AS w"
        " ON w.span = r.span AND w.trace_high = r.trace_high AND w.trace_low = r.trace_low)"
    )
}
)
"""


@dataclass(frozen=True, slots=True)
class Since:
    """No row of the keys that are looked for has a smaller id than these."""

    prediction: int = 0
    label: int = 0


NO_ROWS: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Older:
    """Row ids of what may have to do with some keys, before where looking for them begins."""

    predictions: Int64 = field(default_factory=lambda: NO_ROWS)
    labels: Int64 = field(default_factory=lambda: NO_ROWS)

    def __add__(self, other: Older) -> Older:
        return Older(
            np.concatenate([self.predictions, other.predictions]),
            np.concatenate([self.labels, other.labels]),
        )


NO_OLDER: Final = Older()


def find(
    cursor: duckdb.DuckDBPyConnection,
    keys: tuple[UInt64, UInt64],
    since: Since,
    older: Older,
    links: bool,
) -> None:
    """Make the near tables.

    Args:
        cursor: with `staged_labels` in it.
        keys: halves of the keys that are looked for; a key may come twice.
        since: where to begin; reading costs what has come since.
        older: rows before that which are read, too, at the cost of some of their neighbours.
        links: whether to find labels that name no id too: by their link, and by their own id. Costs
            a look at all of them, so only where there may be one, stored or staged.
    """
    cursor.register("wanted_keys", {"key_high": keys[0], "key_low": keys[1]})
    cursor.register("older_predictions", {"row_id": np.unique(older.predictions)})
    cursor.register("older_labels", {"row_id": np.unique(older.labels)})
    label = 0 if links else since.label
    cursor.execute(
        _NEAR.format(
            first_prediction=since.prediction,
            first_label=since.label,
            with_links=links,
            full_predictions=full_rows.predictions(
                "found_predictions", since.prediction, "older_predictions"
            ),
            full_labels=full_rows.labels("found_labels", label, "older_labels"),
            full_outcomes=full_rows.outcomes("found_outcomes"),
        )
    )


@dataclass(frozen=True, slots=True, eq=False)
class Linked:
    """Keys of stored predictions: halves, series and index; one row each."""

    high: UInt64
    low: UInt64
    series: Int32
    position: Int32


def linked(cursor: duckdb.DuckDBPyConnection, trace: UInt64, span: UInt64) -> Linked:
    """The keys of stored predictions with these spans; `trace` is uint64[N, 2]."""
    cursor.register(
        "wanted_spans",
        {"trace_high": trace[:, 0].copy(), "trace_low": trace[:, 1].copy(), "span": span},
    )
    columns = cursor.execute(_LINKED).fetchnumpy()
    return Linked(*(columns[name] for name in ("key_high", "key_low", "series_id", "position")))
