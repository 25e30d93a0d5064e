"""The reference that a question is measured against: asked for, configured, or the first rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np

from inferspan_collector.config import Model
from inferspan_collector.drift.counts import Int64
from inferspan_collector.publish.parameters import minute, rfc3339
from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.reader import Reader
from inferspan_collector.store.row_columns import RowColumns, RowQuery

PARAMETERS: Final = ("reference_from", "reference_to", "reference_version")


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceRows:
    """The rows of a reference, and why these."""

    rows: RowColumns
    source: str
    """`asked`, `configured` or `first`."""

    def json(self) -> dict[str, Any]:
        """What an answer says of it."""
        times = self.rows.event_time
        return {
            "source": self.source,
            "predictions": len(self.rows),
            "labeled": int((self.rows.correct >= -1).sum()),
            "from": rfc3339(int(times[0])) if len(times) else None,
            "to": rfc3339(int(times[-1]) + 1) if len(times) else None,
        }


def reference_rows(
    reader: Reader, values: Mapping[str, str], query: RowQuery, section: Model
) -> ReferenceRows:
    """The reference of a question.

    Args:
        reader: of the store.
        values: the question's parameters; `PARAMETERS` among them come first.
        query: what is asked about; its model, target, environment, service.
        section: the model's configuration.

    Raises:
        BadParameter: a time is none.
    """
    start, end = minute(values, "reference_from"), minute(values, "reference_to")
    version = values.get("reference_version", query.version)
    asked = start is not None or end is not None or "reference_version" in values
    configured = section.reference
    source, most = "asked", query.most
    if not asked:
        start_ns, end_ns = _unix_ns(configured.since), _unix_ns(configured.until)
        source = "configured" if start_ns is not None or end_ns is not None else "first"
        most = query.most if end_ns is not None else configured.first
    else:
        start_ns, end_ns = (None if m is None else m * MINUTE_NS for m in (start, end))
    rows = reader.rows(
        RowQuery(
            model=query.model,
            target=query.target,
            service=query.service,
            environment=query.environment,
            version=version,
            start_ns=start_ns,
            end_ns=end_ns,
            most=most,
            oldest=True,
            features=query.features,
        )
    )
    return ReferenceRows(rows, source)


def windows_of(rows: RowColumns, every_minutes: int | None) -> tuple[Int64, Int64]:
    """(first minute of each window that holds a row, rising; the window of each row).

    Args:
        rows: by event time.
        every_minutes: the length of a window; None = one of everything, which begins at 0.
    """
    if every_minutes is None:
        return np.zeros(min(1, len(rows)), np.int64), np.zeros(len(rows), np.int64)
    starts = rows.event_time // (every_minutes * MINUTE_NS) * every_minutes
    first, places = np.unique(starts, return_inverse=True)
    return first, places.astype(np.int64)


def _unix_ns(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1_000_000) * 1_000
