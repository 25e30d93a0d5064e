"""A file, read for `inferspan baseline`: its baseline, and what it says for people.

Apart from the command, which other commands load: this loads pyarrow, the store and the measures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inferspan_collector.baselines import building, document, file_rows
from inferspan_collector.baselines.document import Baseline
from inferspan_collector.baselines.file_rows import TASKS, Columns, FileUnusable
from inferspan_collector.cli.exits import Exit, fail

_FIRST = ("accuracy", "roc_auc", "f1", "mean_absolute_error", "root_mean_squared_error")


def read(
    model: str, path: Path, columns: dict[str, Any], told: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The baseline of a file as JSON, and what it says for people; or the end of the command.

    Args:
        model: its name.
        path: the file.
        columns: fields of `file_rows.Columns`.
        told: fields of `building.Told` beside the source.
    """
    made, ignored = _made(path, Columns(**columns), told)
    return document.plain(made), _lines(model, made, ignored)


def _made(path: Path, columns: Columns, told: dict[str, Any]) -> tuple[Baseline, Sequence[str]]:
    if columns.task is not None and columns.task not in TASKS:
        fail(Exit.USAGE, f"--task {columns.task}: one of {', '.join(TASKS)}")
    try:
        found = file_rows.read(path, columns)
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        return building.built(found, building.Told(path.name, digest, **told)), found.ignored
    except FileUnusable as error:
        fail(Exit.USAGE, str(error))
    except OSError as error:
        fail(Exit.USAGE, f"cannot read {path}: {error.strerror}")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        fail(Exit.USAGE, f"{path}: {where} = {first['input']!r:.100}: {first['msg']}; correct it")


def _lines(model: str, made: Baseline, ignored: Sequence[str]) -> list[str]:
    """What a baseline holds, for people."""
    of = "any version" if made.version is None else f"version {made.version}"
    estimates, fit = made.estimates, made.estimates.fit
    windows = len(next(iter(made.figures.values())).windows) if made.figures else 0
    said = [
        f"{model}, {of}: {made.predictions:,} predictions of {made.source}, {made.labeled:,} "
        f"labelled, {windows} windows ({made.task}"
        f"{'' if made.positive_class is None else f', positive class {made.positive_class}'})",
        f"drift of {', '.join(made.columns) or 'nothing'}",
        f"no estimates: {estimates.reason}"
        if fit is None
        else f"estimates learnt from {estimates.labelled:,} rows ({fit.kind})",
    ]
    for name in _FIRST:
        figure = made.figures.get(name)
        if figure is not None and figure.value is not None:
            folds = made.cross_validation.get(name)
            said.append(f"  {name} {_interval(figure)}{'' if folds is None else _fold(folds)}")
    if ignored:
        said.append(f"columns that were not read: {', '.join(ignored)}")
    return said


def _interval(figure: document.OfflineFigure) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.value:.4f}"
    return f"{figure.value:.4f} (95 %: {figure.low:.4f} … {figure.high:.4f})"


def _fold(folds: document.Folds) -> str:
    return f", cross-validation {folds.mean:.4f} ± {folds.std:.4f}"
