"""What the endpoints of drift and of estimates ask alike: rows in windows, beside a reference."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from starlette.requests import Request

from inferspan_collector.config import Config, Model
from inferspan_collector.drift.counts import Int64
from inferspan_collector.publish.answering import model_asked
from inferspan_collector.publish.notes import notes
from inferspan_collector.publish.parameters import (
    MINUTES,
    SLICE_PARAMETER,
    WINDOWS_LIMIT,
    BadParameter,
    choice,
    given,
    group_keys,
    minutes_range,
    rfc3339,
    slice_filter,
    too_many,
)
from inferspan_collector.publish.references import (
    PARAMETERS,
    Reference,
    reference,
    windows_of,
)
from inferspan_collector.store.cell_queries import SLICE
from inferspan_collector.store.cells import MINUTE_NS, CellQuery, ModelSummary
from inferspan_collector.store.reader import Reader
from inferspan_collector.store.row_columns import RowColumns, RowQuery
from inferspan_collector.submission import Queries

ROWS_MAX: Final = 500_000
"""Rows that are read, and as many of the reference: with 25 features some 0.2 GB each."""
GROUPS_MAX: Final = 20
"""Groups of one answer: of each as many rows are read, and it is measured by itself."""
SAID_ONCE: Final = frozenset(("model", "target", "every"))
KNOWN: Final = (
    "every", "from", "to", "target", "environment", "service", "version", "by", *PARAMETERS,
    SLICE_PARAMETER,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Windowed:
    """A question's rows, N of them in W windows, and the reference."""

    model: ModelSummary
    section: Model
    query: RowQuery
    every: str
    rows: RowColumns
    starts: Int64
    """int64[W]: the first minute of each window that holds a row."""
    places: Int64
    """int64[N]: the window of each row."""
    reference: Reference
    notes: list[str]

    def windows_json(self) -> list[dict[str, Any]]:
        """Start, end and length of each window."""
        minutes = MINUTES[self.every]
        n = np.bincount(self.places, minlength=len(self.starts)).tolist()
        if minutes is None:
            times = self.rows.event_time
            ends = (
                {"start": rfc3339(int(times[0])), "end": rfc3339(int(times[-1]) + 1)} if n else {}
            )
            return [{**ends, "predictions": k} for k in n]
        return [
            {
                "start": rfc3339(start * MINUTE_NS),
                "end": rfc3339((start + minutes) * MINUTE_NS),
                "predictions": k,
            }
            for start, k in zip(self.starts.tolist(), n, strict=True)
        ]


def answered(
    request: Request,
    queries: Queries,
    config: Config,
    shown: Callable[[Windowed], dict[str, Any]],
) -> dict[str, Any]:
    """The answer to a question; with `by` one a group, each measured against its own reference.

    All of it is about one moment. Groups without a prediction in the time are left out.

    Args:
        request: the question.
        queries: of the store.
        config: models and limits.
        shown: the rows of a question, in windows → the answer.

    Raises:
        BadParameter: a parameter breaks a rule, or the answer would be too long.
        UnknownModel: there is no such model.
    """
    with queries.reader.at_one_moment() as reader:
        values = given(request, KNOWN)
        model = model_asked(request, reader.models())
        keys = group_keys(values)
        if keys:
            return _by_group(values, keys, model, reader, config, shown)
        found = _windowed(values, model, reader, config)
    return shown(found)


def _by_group(
    values: Mapping[str, str],
    keys: tuple[str, ...],
    model: ModelSummary,
    reader: Reader,
    config: Config,
    shown: Callable[[Windowed], dict[str, Any]],
) -> dict[str, Any]:
    """One group after the other, so that the rows of one are held at a time."""
    section = config.model(model.model)
    answers = []
    for group in _groups(values, keys, model, reader):
        found = _windowed({**values, **group}, model, reader, config)
        if len(found.rows):
            of_group = {key: said for key, said in shown(found).items() if key not in SAID_ONCE}
            answers.append({"group": group, **of_group})
    return {
        "model": model.model,
        "target": values.get("target", section.primary_target),
        "every": choice(values, "every", MINUTES) or "all",
        "by": list(keys),
        "notes": notes(values, model, section, reader, keys),
        "groups": answers,
    }


def _groups(
    values: Mapping[str, str], keys: tuple[str, ...], model: ModelSummary, reader: Reader
) -> list[dict[str, str]]:
    """Every combination of what the keys can be: a value asked for, else all that there are.

    Where these are too many, those of them that predictions of about the time have.
    """
    others = [key for key in keys if key != "version" and not key.startswith(SLICE)]
    if others:
        rule = f"{others[0]!r} cannot be grouped by here"
        raise BadParameter("by", values["by"], rule, f"use version or {SLICE}<key>")
    slices = reader.slice_values(model.model)
    each: list[tuple[str, ...]] = []
    for key in keys:
        known = model.versions if key == "version" else slices.get(key.removeprefix(SLICE), ())
        each.append((values[key],) if key in values else known)
    few = math.prod(len(known) for known in each) <= GROUPS_MAX
    groups = list(itertools.product(*each)) if few else _seen(values, keys, model, reader, each)
    if (n := len(groups)) > GROUPS_MAX:
        raise BadParameter(
            "by", values["by"], f"the answer would hold {n} groups, at most {GROUPS_MAX} are "
            "allowed: each is read and learnt from by itself", f"group by fewer keys, or ask for "
            f"one of them: {keys[0]}=…",
        )  # fmt: skip
    return [dict(zip(keys, group, strict=True)) for group in groups]


def _seen(
    values: Mapping[str, str],
    keys: tuple[str, ...],
    model: ModelSummary,
    reader: Reader,
    each: Sequence[tuple[str, ...]],
) -> list[tuple[str, ...]]:
    """The combinations that counters know, in the order of `each`."""
    start, end = minutes_range(values)
    query = CellQuery(
        model=model.model,
        service=values.get("service"),
        environment=values.get("environment"),
        version=values.get("version"),
        # Whole hours, as old counters have them: rows know their time better.
        start=None if start is None else start // 60 * 60,
        end=None if end is None else -(-end // 60) * 60,
        by=keys,
    )
    found = reader.prediction_cells(query).groups
    places = [{text: place for place, text in enumerate(known)} for known in each]
    groups = {tuple(text or "" for text in found.distinct[code]) for code in np.unique(found.codes)}
    return sorted(
        (
            group
            for group in groups
            if all(text in known for text, known in zip(group, places, strict=True))
        ),
        key=lambda group: [known[text] for text, known in zip(group, places, strict=True)],
    )


def _windowed(
    values: Mapping[str, str], model: ModelSummary, reader: Reader, config: Config
) -> Windowed:
    every = choice(values, "every", MINUTES) or "all"
    start, end = minutes_range(values)
    section = config.model(model.model)
    query = RowQuery(
        model=model.model,
        target=values.get("target", section.primary_target),
        service=values.get("service"),
        environment=values.get("environment"),
        version=values.get("version"),
        start_ns=None if start is None else start * MINUTE_NS,
        end_ns=None if end is None else end * MINUTE_NS,
        most=min(ROWS_MAX, config.limits.query_rows),
        slices=slice_filter(values),
        features=True,
    )
    rows = reader.rows(query)
    starts, places = windows_of(rows, MINUTES[every])
    n, windows_max = len(starts), config.limits.query_windows
    if n > windows_max:
        remedy = "ask for a coarser `every`, or a shorter time with `from` and `to`"
        raise too_many(every, n, "windows", windows_max, setting=WINDOWS_LIMIT, remedy=remedy)
    measured_against = reference(reader, values, query, section, MINUTES[every])
    said = notes(values, model, section, reader)
    if len(rows) >= query.most:
        said.append(f"only the newest {query.most:,} predictions were read; ask for a shorter time")
    return Windowed(
        model, section, query, every, rows, starts, places,
        measured_against, said,
    )  # fmt: skip
