"""Rows of a file → a baseline: everything that is kept of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from inferspan.semconv import MULTICLASS
from inferspan_collector.baselines import document
from inferspan_collector.baselines.file_rows import FileRows, FileUnusable
from inferspan_collector.baselines.fits import fit_of
from inferspan_collector.baselines.frozen_columns import column_of
from inferspan_collector.batches import Int64, Strings
from inferspan_collector.drift.passes import PARTS, WINDOWS_ENOUGH, references_of
from inferspan_collector.estimates.foresight import Foresight, foresight
from inferspan_collector.estimates.realised import realised_windows
from inferspan_collector.quality import quality_figures
from inferspan_collector.quality.counts import CLASS_TASKS, Counts
from inferspan_collector.quality.figure import BINARY, MACRO, Figure, Question
from inferspan_collector.quality.judged import Judged
from inferspan_collector.quality.measures import measure_of
from inferspan_collector.store.row_columns import RowColumns

WINDOWS_MAX: Final = 1_000
FOLDS_MAX: Final = 100
_NOT_OFFLINE: Final = ("coverage",)


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a baseline beside its rows."""

    source: str
    sha256: str
    version: str | None = None
    target: str = "default"
    data_version: str | None = None
    code_version: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    cross_validation: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Figure → its value in each fold."""
    window_rows: int | None = None
    """Rows of a window; None = a tenth."""


def built(file: FileRows, told: Told) -> document.Baseline:
    """Learn from the rows of a file. The same rows in the same order give the same baseline.

    Raises:
        FileUnusable: there are too many windows or folds.
    """
    rows = file.rows
    places, n = windows_of(len(rows), told.window_rows)
    labelled = rows.correct != -2
    foreseen = foresight(rows.take(labelled), file.positive)
    figures = _figures(rows, file.positive)
    windows = [_figures(rows.take(places == each), file.positive) for each in range(n)]
    return document.Baseline(
        version=told.version,
        target=told.target,
        task=file.task,
        positive_class=file.positive,
        predictions=len(rows),
        labeled=int(labelled.sum()),
        source=told.source,
        sha256=told.sha256,
        data_version=told.data_version,
        code_version=told.code_version,
        parameters=dict(told.parameters),
        columns={
            name: column_of(reference) for name, reference in references_of(rows, places, n).items()
        },
        estimates=_estimates(rows, foreseen, places, n),
        figures={
            name: _offline(figure, [window[name] for window in windows])
            for name, figure in figures.items()
        },
        cross_validation=_folds(file, told),
        confusion=tuple(
            (said, true, count) for (said, true), count in sorted(_confusion(rows).items())
        ),
    )


def windows_of(rows: int, window_rows: int | None) -> tuple[Int64, int]:
    """(the window of each row, how many): windows of so many rows, or ten of one size.

    Ten as well where windows of so many rows would be fewer than eight: too few to learn thresholds
    from. What is left over at the end belongs to the last window.

    Raises:
        FileUnusable: there would be too many.
    """
    if window_rows is None or rows // window_rows < WINDOWS_ENOUGH:
        n = min(PARTS, rows)
        return np.arange(rows, dtype=np.int64) * n // rows, n
    n = rows // window_rows
    if n > WINDOWS_MAX:
        raise FileUnusable(
            f"--window-rows {window_rows} makes {n:,} windows of {rows:,} rows; {WINDOWS_MAX:,} "
            "are allowed; make them longer"
        )
    return np.minimum(np.arange(rows, dtype=np.int64) // window_rows, n - 1), n


def _estimates(rows: RowColumns, foreseen: Foresight, places: Int64, n: int) -> document.Estimates:
    fit = fit_of(foreseen)
    if fit is None:
        return document.Estimates(reason=foreseen.reason)
    return document.Estimates(
        fit=fit,
        positive=foreseen.positive,
        labelled=foreseen.labelled,
        windows={
            name: tuple(document.finite(value) for value in each)
            for name, each in realised_windows(rows, places, n, foreseen).items()
        },
    )


def _figures(rows: RowColumns, positive: str | None) -> dict[str, Figure]:
    """Every figure of labelled rows, as the quality endpoint has it: of counts, and of rows."""
    known = rows.take(rows.correct != -2)
    task = rows.task[0] if len(rows) else MULTICLASS
    question = Question(MACRO if positive is None else BINARY, positive)
    counts = Counts(
        predictions=len(rows),
        correct=int((known.correct == 1).sum()),
        incorrect=int((known.correct == 0).sum()),
        undefined=int((known.correct == -1).sum()),
        confusion=_confusion(rows),
        tasks=frozenset([task]),
        positive_classes=frozenset() if positive is None else frozenset([positive]),
    )
    found = {
        name: figure
        for name, figure in quality_figures(counts, question).items()
        if name not in _NOT_OFFLINE
    }
    measure = measure_of(task)
    if measure is not None:
        for name, figure in measure.of(_judged(known), question).figures(question).items():
            if name not in found or found[name].value is None:
                found[name] = figure
    return found


def _confusion(rows: RowColumns) -> dict[tuple[str, str], int]:
    judged = rows.take(rows.correct >= 0)
    if len(judged) == 0 or judged.task[0] not in CLASS_TASKS:
        return {}
    return dict(Counter(zip(judged.predicted.tolist(), judged.actual.tolist(), strict=True)))


def _judged(rows: RowColumns) -> Judged:
    return Judged(
        # Any number that differs: resamples weigh rows in groups by it.
        identity=rows.key_low * np.uint64(0x9E3779B97F4A7C15),
        predicted=Strings.of(rows.predicted),
        actual=Strings.of(rows.actual),
        score=rows.score,
        value=rows.value,
        truth=rows.truth,
        weight=np.ones(len(rows)),
        classes=rows.probabilities.classes,
        probabilities=rows.probabilities.table,
    )


def _offline(figure: Figure, windows: list[Figure]) -> document.OfflineFigure:
    return document.OfflineFigure(
        value=document.finite(figure.value),
        low=document.finite(figure.low),
        high=document.finite(figure.high),
        n=figure.n,
        reason=figure.reason,
        windows=tuple(document.finite(window.value) for window in windows),
    )


def _folds(file: FileRows, told: Told) -> dict[str, document.Folds]:
    """Mean and standard deviation (ddof 0) over folds: those of the file, then those given."""
    values: dict[str, list[float]] = {}
    if file.folds is not None:
        names = sorted({fold for fold in file.folds if fold is not None})
        if not 2 <= len(names) <= FOLDS_MAX:
            raise FileUnusable(
                f"--fold-column holds {len(names)} folds; 2 to {FOLDS_MAX} are needed; name the "
                "column that says in which fold a row was held out"
            )
        parts = [_figures(file.rows.take(file.folds == name), file.positive) for name in names]
        for name in parts[0]:
            folds = [part[name].value for part in parts]
            if all(value is not None and math.isfinite(value) for value in folds):
                values[name] = [float(value) for value in folds if value is not None]
    values |= {name: list(given) for name, given in told.cross_validation.items()}
    return {
        name: document.Folds(mean=float(np.mean(folds)), std=float(np.std(folds)), folds=len(folds))
        for name, folds in values.items()
    }
