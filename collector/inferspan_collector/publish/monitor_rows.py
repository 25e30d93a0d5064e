"""The rows of Jaeger's Monitor tab: calls, errors and durations per minute, from the store's cells.

Of a service: its model operations. Of its `-quality` twin: `evaluate {model}`, where an error is
a wrong prediction, so that the error rate is 1 − accuracy. The same per version and per actual
class stand under other span kinds: each of them alone adds up to the model's 1 − accuracy again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Int64
from inferspan_collector.config import Config, TimeAxis
from inferspan_collector.publish.jaeger_names import Names
from inferspan_collector.store.cells import CellQuery, OutcomeCells, PredictionCells
from inferspan_collector.store.reader import Reader

EVALUATIONS: Final = "SERVER"
"""Kind of an evaluation span, and what the tab shows unless told otherwise."""
VERSIONS: Final = "CONSUMER"
CLASSES: Final = "PRODUCER"


@dataclass(frozen=True, slots=True)
class Minutes:
    """A span of Unix minutes, [first, last)."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One row of the tab: entries of (minute, calls, errors); a minute may have several.

    Only what happened is held: a model has up to `limits.classes` rows, most of them sparse.
    """

    operation: str
    minute: Int64
    calls: Int64
    errors: Int64


@dataclass(frozen=True, slots=True, eq=False)
class Durations:
    """How long the calls of one row took: entries of (minute, bucket, calls).

    Buckets are numbers of `latency_sketch`.
    """

    operation: str
    minute: Int64
    bucket: NDArray[np.int16]
    calls: Int64


def operation_rows(
    reader: Reader, config: Config, service: str, minutes: Minutes, wanted: Callable[[str], bool]
) -> list[Row]:
    """The model operations of a service: calls, and those that raised.

    Args:
        reader: the store.
        config: names the kind that model operations are shown under.
        service: original name.
        minutes: what to count.
        wanted: whether rows of a span kind are asked for.
    """
    if not wanted(config.jaeger.span_kind.upper()):
        return []
    cells = _predictions(reader, service, minutes)
    rows = _Rows()
    for group, minute, failed, n in zip(
        cells.groups, cells.window.tolist(), cells.failed.tolist(), cells.n.tolist(), strict=True
    ):
        rows.add(_operation(group), minute, n, n if failed else 0)
    return rows.rows()


def operation_durations(
    reader: Reader, config: Config, service: str, minutes: Minutes, wanted: Callable[[str], bool]
) -> list[Durations]:
    """How long the model operations of a service took; arguments as in `operation_rows`."""
    if not wanted(config.jaeger.span_kind.upper()):
        return []
    cells = _predictions(reader, service, minutes)
    names = np.array([_operation(group) for group in cells.groups], dtype=np.object_)
    return [
        Durations(name, cells.window[mine], cells.bucket[mine], cells.n[mine])
        for name in sorted(set(names))
        for mine in (names == name,)
    ]


def evaluation_rows(
    reader: Reader,
    config: Config,
    service: str,
    minutes: Minutes,
    wanted: Callable[[str], bool],
    names: Names,
) -> list[Row]:
    """The evaluations of a service's predictions; arguments as in `operation_rows`.

    Each model counts by its own primary target, on its own time axis, and has rows of its own,
    called by `names`.
    """
    if not any(wanted(kind) for kind in (EVALUATIONS, VERSIONS, CLASSES)):
        return []
    rows = _Rows()
    for target in _primary_targets(config):
        query = CellQuery(
            service=service,
            target=target,
            start=minutes.first,
            end=minutes.last,
            every=1,
            by=("model", "version"),
        )
        for axis in _axes(config):
            by_arrival = axis == "label_arrival"
            cells = (reader.arrived_outcomes if by_arrival else reader.outcome_cells)(query)
            _count_evaluations(rows, cells, config, (target, axis), wanted, names)
    return rows.rows()


def _count_evaluations(
    rows: _Rows,
    cells: OutcomeCells,
    config: Config,
    shown: tuple[str, TimeAxis],
    wanted: Callable[[str], bool],
    names: Names,
) -> None:
    for (model, version), minute, actual, correct, n in zip(
        cells.groups,
        cells.window.tolist(),
        cells.actual.objects(),
        cells.correct.tolist(),
        cells.n.tolist(),
        strict=True,
    ):
        if correct < 0 or model is None:
            continue
        if (config.model(model).primary_target, config.time_axis(model)) != shown:
            continue
        wrong = 0 if correct else n
        if wanted(EVALUATIONS):
            rows.add(names.evaluation(model), minute, n, wrong)
        if wanted(VERSIONS):
            rows.add(f"evaluate {names.version(model, version)}", minute, n, wrong)
        if wanted(CLASSES) and actual is not None:
            rows.add(f"recall {model}[{actual}]", minute, n, wrong)


def _primary_targets(config: Config) -> list[str]:
    """Every target that is some model's primary one; models not configured share one default."""
    configured = {model.primary_target for model in config.models.values()}
    return sorted(configured | {config.model("").primary_target})


def _axes(config: Config) -> list[TimeAxis]:
    """Every axis that some model is shown on."""
    configured = {config.time_axis(name) for name in config.models}
    return sorted(configured | {config.jaeger.time_axis})


def _predictions(reader: Reader, service: str, minutes: Minutes) -> PredictionCells:
    return reader.prediction_cells(
        CellQuery(
            service=service,
            start=minutes.first,
            end=minutes.last,
            every=1,
            by=("operation", "model"),
        )
    )


def _operation(group: tuple[str | None, ...]) -> str:
    """The name of a prediction's span, as the SDK gives it: operation and model."""
    return " ".join(part for part in group if part)


class _Rows:
    def __init__(self) -> None:
        self._entries: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)

    def add(self, operation: str, minute: int, calls: int, errors: int) -> None:
        self._entries[operation].append((minute, calls, errors))

    def rows(self) -> list[Row]:
        return [
            Row(operation, *np.array(entries, dtype=np.int64).T)
            for operation, entries in sorted(self._entries.items())
        ]
