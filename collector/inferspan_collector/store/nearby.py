"""Finding all rows that have to do with some keys, for the join in SQL and for dry runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from inferspan_collector.batches import Int32, UInt64
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


def find(
    cursor: duckdb.DuckDBPyConnection, keys: tuple[UInt64, UInt64], since: Since, links: bool
) -> None:
    """Make the near tables.

    Args:
        cursor: with `staged_labels` in it.
        keys: halves of the keys that are looked for; a key may come twice.
        since: where to begin; reading costs what has come since.
        links: whether to find labels that name no id too: by their link, and by their own id. Costs
            a look at all of them, so only where there may be one, stored or staged.
    """
    cursor.register("wanted_keys", {"key_high": keys[0], "key_low": keys[1]})
    cursor.execute(
        _NEAR.format(
            first_prediction=since.prediction,
            first_label=since.label,
            with_links=links,
            full_predictions=full_rows.predictions("found_predictions", since.prediction),
            full_labels=full_rows.labels("found_labels", 0 if links else since.label),
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
