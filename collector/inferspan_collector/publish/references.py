"""The reference that a question is measured against: asked for, a baseline, configured, or the
first rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import numpy as np

from inferspan_collector.config import Model
from inferspan_collector.drift.counts import Float64, Int64
from inferspan_collector.drift.passes import Reference as ColumnReference
from inferspan_collector.drift.passes import references_of, to_learn_from
from inferspan_collector.estimates.foresight import Foresight
from inferspan_collector.estimates.learnt_once import LEARNT
from inferspan_collector.estimates.realised import realised_windows
from inferspan_collector.publish.known_baselines import PARAMETER, KnownBaseline, chosen
from inferspan_collector.publish.parameters import BadParameter, minute, rfc3339
from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.reader import Reader
from inferspan_collector.store.row_columns import RowColumns, RowQuery

ROW_PARAMETERS: Final = ("reference_from", "reference_to", "reference_version")
PARAMETERS: Final = (*ROW_PARAMETERS, PARAMETER)


class Reference(Protocol):
    """What a question is measured against."""

    def json(self) -> dict[str, Any]:
        """What an answer says of it."""

    def columns(self) -> Mapping[str, ColumnReference]:
        """Of each column that it holds a value of: its bins, and its windows in them."""

    def foresight(self, configured_positive: str | None) -> Foresight:
        """What estimates are made with, or why there are none."""

    def truths(self, foresight: Foresight) -> Mapping[str, Float64]:
        """Estimated figure → what was true of it in each window, NaN where it was not defined."""


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceRows:
    """Stored rows as a reference, and why these."""

    rows: RowColumns
    source: str
    """`asked`, `configured` or `first`."""
    places: Int64
    """int64[N]: the window of each row."""
    windows: int

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

    def columns(self) -> dict[str, ColumnReference]:
        """Of each column that it holds a value of: its bins, and its windows in them."""
        return references_of(self.rows, self.places, self.windows)

    def foresight(self, configured_positive: str | None) -> Foresight:
        """What estimates are made with; the positive class is as configured, else the only one
        that predictions declare.
        """
        positive = configured_positive
        if positive is None:
            declared = {text for text in self.rows.positive_class if text is not None}
            positive = next(iter(declared)) if len(declared) == 1 else None
        return LEARNT(self.rows, positive)

    def truths(self, foresight: Foresight) -> dict[str, Float64]:
        """What became true of its windows, or of ten parts of it where fewer hold labels."""
        labelled = self.rows.correct >= -1
        places, n = to_learn_from(self.places[labelled], self.windows)
        return realised_windows(self.rows.take(labelled), places, n, foresight)


@dataclass(frozen=True, slots=True, eq=False)
class BaselineReference:
    """What was learnt from a file, as a reference."""

    known: KnownBaseline

    def json(self) -> dict[str, Any]:
        """What an answer says of it, offline figures included."""
        content = self.known.content
        return {
            "source": "baseline",
            "predictions": content.predictions,
            "labeled": content.labeled,
            "from": None,
            "to": None,
            "baseline": self.known.json(),
        }

    def columns(self) -> Mapping[str, ColumnReference]:
        """Of each column that it holds a value of: its bins, and its windows in them."""
        return self.known.columns

    def foresight(self, configured_positive: str | None) -> Foresight:
        """What estimates are made with; the positive class is the file's."""
        return self.known.foresight

    def truths(self, foresight: Foresight) -> Mapping[str, Float64]:
        """What was true of the windows of the file."""
        return self.known.truths


def reference(
    reader: Reader,
    values: Mapping[str, str],
    query: RowQuery,
    section: Model,
    every_minutes: int | None,
) -> Reference:
    """The reference of a question: asked for, a baseline, configured, or the first rows.

    Args:
        reader: of the store.
        values: the question's parameters; `PARAMETERS` among them come first.
        query: what is asked about; its model, target, environment, service, version, slices.
        section: the model's configuration.
        every_minutes: the length of a window; None = all is one.

    Raises:
        BadParameter: a time is none, or there is no such baseline.
    """
    if query.slices and PARAMETER in values:
        raise BadParameter(
            PARAMETER, values[PARAMETER], "a baseline says nothing of single slices", "leave it "
            "out: the first predictions of the slice are the reference, or those of a time",
        )  # fmt: skip
    if not query.slices and not any(name in values for name in ROW_PARAMETERS):
        known = chosen(reader, values, query.model, query.target, query.version)
        if known is not None:
            return BaselineReference(known)
    elif PARAMETER in values:
        raise BadParameter(
            PARAMETER, values[PARAMETER], f"one reference is named, and {ROW_PARAMETERS[0]}, …_to "
            "and …_version name another", "leave out one of them",
        )  # fmt: skip
    return reference_rows(reader, values, query, section, every_minutes)


def reference_rows(
    reader: Reader,
    values: Mapping[str, str],
    query: RowQuery,
    section: Model,
    every_minutes: int | None,
) -> ReferenceRows:
    """The stored rows that a question is measured against, baselines left out.

    Args:
        reader: of the store.
        values: the question's parameters; `PARAMETERS` among them come first.
        query: what is asked about; its model, target, environment, service, slices.
        section: the model's configuration.
        every_minutes: the length of a window; None = all is one.

    Raises:
        BadParameter: a time is none.
    """
    start, end = minute(values, "reference_from"), minute(values, "reference_to")
    version = values.get("reference_version", query.version)
    asked = any(name in values for name in ROW_PARAMETERS)
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
            slices=query.slices,
            features=query.features,
        )
    )
    starts, places = windows_of(rows, every_minutes)
    return ReferenceRows(rows, source, places, len(starts))


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
