"""A file of labelled predictions → rows as columns, as the store would give them.

Parquet, CSV and Arrow (IPC files), read by pyarrow. Only columns that are named, or that have one
of the usual names, are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan.semconv import BINARY, MULTICLASS, REGRESSION, class_text
from inferspan_collector.batches import Float64, object_column
from inferspan_collector.store.feature_blocks import Features
from inferspan_collector.store.row_columns import UNLABELLED, Probabilities, RowColumns

ROWS_MAX: Final = 1_000_000
"""Rows of a file: with 25 features some 0.4 GB."""
FEATURE: Final = "feature."
PROBABILITY: Final = ("probability.", "y_pred_proba_")
PREDICTIONS: Final = ("predicted", "prediction", "y_pred")
ACTUALS: Final = ("actual", "label", "y_true")
SCORES: Final = ("score", "y_pred_proba")
TASKS: Final = {"binary": BINARY, "multiclass": MULTICLASS, "regression": REGRESSION}
_POSITIVES: Final = {("0", "1"): "1", ("false", "true"): "true"}
"""Of these pairs of classes it is plain which one is the positive one."""


class FileUnusable(Exception):
    """The file cannot be a baseline; the message names the value, the rule and the remedy."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column is which; None = one of the usual names."""

    prediction: str | None = None
    actual: str | None = None
    score: str | None = None
    probabilities: Mapping[str, str] = field(default_factory=dict)
    """Class → column; empty = columns called `probability.<class>` or `y_pred_proba_<class>`."""
    features: tuple[str, ...] = ()
    """Beside those called `feature.<name>`."""
    time: str | None = None
    """Rows are put in its order; None = the file's."""
    fold: str | None = None
    task: str | None = None
    """A key of `TASKS`; None = as the columns say."""
    positive: str | None = None
    tolerance: float | None = None
    """An absolute error up to this passes."""


@dataclass(frozen=True, slots=True, eq=False)
class FileRows:
    """The rows of a file."""

    rows: RowColumns
    task: str
    positive: str | None
    folds: NDArray[np.object_] | None
    """The fold of each row as text, None = it has none."""
    ignored: tuple[str, ...]
    """Columns that were not looked at."""


def read(path: Path, columns: Columns) -> FileRows:
    """Read a file.

    Raises:
        FileUnusable: it is unreadable, has no row, or its columns do not say what is needed.
    """
    return of_table(_table(path), columns, str(path))


def of_table(table: Any, columns: Columns, name: str = "the table") -> FileRows:
    """Take the rows of a pyarrow table.

    Raises:
        FileUnusable: as `read`.
    """
    if not 0 < table.num_rows <= ROWS_MAX:
        raise FileUnusable(
            f"{name} has {table.num_rows:,} rows; 1 to {ROWS_MAX:,} make a baseline; leave out some"
        )
    named = _Table(table, name)
    if columns.time is not None:
        named.require("--time-column", columns.time)
        named = _Table(table.sort_by(columns.time), name)
    return _rows(named, columns)


class _Table:
    """A table whose columns are asked for by name."""

    def __init__(self, table: Any, path: str) -> None:
        self._table, self._path = table, path
        self.names: tuple[str, ...] = tuple(table.column_names)
        self.used: set[str] = set()
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            raise FileUnusable(f"{path}: column {min(twice)!r} stands twice; rename one of them")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def require(self, option: str, name: str) -> str:
        if name not in self.names:
            raise FileUnusable(f"{option} {name}: {self._path}'s columns are {_listed(self.names)}")
        return name

    def find(self, option: str, given: str | None, usual: Sequence[str]) -> str | None:
        """The column that an option names, else the first that has a usual name."""
        if given is not None:
            return self.require(option, given)
        return next((name for name in usual if name in self.names), None)

    def values(self, name: str) -> list[Any]:
        self.used.add(name)
        values: list[Any] = self._table.column(name).to_pylist()
        return values

    def texts(self, name: str) -> NDArray[np.object_]:
        """Classes as both sides compare them: str, None = absent."""
        memo: dict[Any, str | None] = {}
        return object_column(_remembered(memo, value) for value in self.values(name))

    def numbers(self, option: str, name: str) -> Float64:
        """Numbers, NaN = absent."""
        values = self.values(name)
        try:
            return np.array([np.nan if v is None else float(v) for v in values], np.float64)
        except (TypeError, ValueError):
            wrong = next(v for v in values if not isinstance(v, int | float) and v is not None)
            raise FileUnusable(
                f"{option} {name}: {wrong!r:.80} is not a number; name another column"
            ) from None


def _rows(table: _Table, columns: Columns) -> FileRows:
    prediction = _needed(table, "--prediction-column", columns.prediction, PREDICTIONS)
    actual = _needed(table, "--actual-column", columns.actual, ACTUALS)
    score = table.find("--score-column", columns.score, SCORES)
    by_class = dict(columns.probabilities) or _by_class(table.names)
    for name, column in by_class.items():
        table.require(f"--probability-column {name}=", column)
    task = _task(table, columns, prediction, score is not None, bool(by_class))
    n = len(table)
    none, nan = np.full(n, None, np.object_), np.full(n, np.nan)
    texts = {"predicted": none, "actual": none}
    numbers = {"score": nan, "value": nan, "truth": nan}
    probabilities = Probabilities((), np.empty((n, 0)))
    positive = None
    if task == REGRESSION:
        numbers["value"] = table.numbers("--prediction-column", prediction)
        numbers["truth"] = table.numbers("--actual-column", actual)
        correct = _within(numbers["value"], numbers["truth"], columns.tolerance)
    else:
        texts = {"predicted": table.texts(prediction), "actual": table.texts(actual)}
        if task == BINARY:
            positive = _positive(texts, columns.positive)
        if by_class and task == MULTICLASS:
            probabilities = Probabilities(
                tuple(by_class),
                np.column_stack(
                    [table.numbers("--probability-column", each) for each in by_class.values()]
                ),
            )
        numbers["score"] = _scores(table, score, by_class, texts["predicted"], positive)
        correct = _equal(texts["predicted"], texts["actual"])
    features = _features(table, columns)
    folds = None
    if columns.fold is not None:
        folds = table.texts(table.require("--fold-column", columns.fold))
    rows = RowColumns(
        row_id=np.arange(n, dtype=np.int64),
        key_high=np.zeros(n, np.uint64),
        key_low=np.arange(n, dtype=np.uint64),
        position=np.zeros(n, np.int32),
        environment=none,
        version=none,
        variant=none,
        task=np.full(n, task, np.object_),
        positive_class=np.full(n, positive, np.object_),
        event_time=np.arange(n, dtype=np.int64),
        failed=np.zeros(n, np.bool_),
        predicted=texts["predicted"],
        score=numbers["score"],
        value=numbers["value"],
        adjusted_count=np.ones(n),
        weight=np.ones(n),
        actual=texts["actual"],
        truth=numbers["truth"],
        correct=correct,
        lag=np.full(n, -1, np.int64),
        features=features,
        probabilities=probabilities,
    )
    ignored = tuple(name for name in table.names if name not in table.used | {columns.time})
    return FileRows(rows, task, positive, folds, ignored)


def _needed(table: _Table, option: str, given: str | None, usual: Sequence[str]) -> str:
    found = table.find(option, given, usual)
    if found is None:
        raise FileUnusable(
            f"no column is called {' or '.join(usual)}; say with {option} which one it is of "
            f"{_listed(table.names)}"
        )
    return found


def _task(table: _Table, columns: Columns, prediction: str, scored: bool, by_class: bool) -> str:
    if columns.task is not None:
        return TASKS[columns.task]
    if columns.positive is not None or scored:
        return BINARY
    if by_class:
        return MULTICLASS
    values = [value for value in table.values(prediction) if value is not None]
    if any(isinstance(value, str | bool) for value in values):
        return MULTICLASS
    if any(isinstance(value, float) and not value.is_integer() for value in values):
        return REGRESSION
    raise FileUnusable(
        f"column {prediction} holds whole numbers, which may be classes or amounts; say "
        "--task binary, multiclass or regression"
    )


def _positive(texts: Mapping[str, NDArray[np.object_]], given: str | None) -> str:
    classes = sorted({text for column in texts.values() for text in column if text is not None})
    positive = given if given is not None else _POSITIVES.get(tuple(classes))
    if positive is None or positive not in classes:
        said = "" if given is None else f"--positive-class {given}: "
        raise FileUnusable(
            f"{said}the classes of the file are {_listed(classes)}; say with --positive-class "
            "whose scores there are, or --task multiclass where a score is the predicted class's"
        )
    return positive


def _scores(
    table: _Table,
    score: str | None,
    by_class: Mapping[str, str],
    predicted: NDArray[np.object_],
    positive: str | None,
) -> Float64:
    """P(positive) of a binary task, else P(predicted), as predictions carry it."""
    if score is not None:
        return table.numbers("--score-column", score)
    if not by_class:
        return np.full(len(table), np.nan)
    if positive is not None:
        if positive not in by_class:
            raise FileUnusable(
                f"no column holds the probability of {positive}; name it with --score-column"
            )
        return table.numbers("--probability-column", by_class[positive])
    scores = np.full(len(table), np.nan)
    for name, column in by_class.items():
        rows = predicted == name
        scores[rows] = table.numbers("--probability-column", column)[rows]
    return scores


def _by_class(names: Sequence[str]) -> dict[str, str]:
    return {
        name.removeprefix(prefix): name
        for prefix in PROBABILITY
        for name in names
        if name.startswith(prefix) and name != prefix
    }


def _features(table: _Table, columns: Columns) -> Features:
    named = {name.removeprefix(FEATURE): name for name in table.names if name.startswith(FEATURE)}
    for name in columns.features:
        named[name.removeprefix(FEATURE)] = table.require("--feature", name)
    features = Features()
    for name, column in named.items():
        _add_feature(features, name, table.values(column))
    return features


def _add_feature(features: Features, name: str, values: Sequence[Any]) -> None:
    """As the SDK records it: numbers and booleans are numbers, texts categories."""
    is_text = [isinstance(value, str) for value in values]
    if any(is_text):
        features.texts[name] = object_column(
            v if text else None for v, text in zip(values, is_text, strict=True)
        )
    if not all(is_text):
        numbers = np.array([_number(value) for value in values], np.float64)
        if np.isfinite(numbers).any() or not any(is_text):
            features.numbers[name] = numbers


def _number(value: Any) -> float:
    try:
        return np.nan if value is None or isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        return np.nan


def _within(value: Float64, truth: Float64, tolerance: float | None) -> NDArray[np.int8]:
    correct = np.full(len(value), -1, np.int8)
    if tolerance is not None:
        correct = (np.abs(value - truth) <= tolerance).astype(np.int8)
    correct[~np.isfinite(truth)] = UNLABELLED
    return correct


def _equal(predicted: NDArray[np.object_], actual: NDArray[np.object_]) -> NDArray[np.int8]:
    correct: NDArray[np.int8] = (predicted == actual).astype(np.int8)
    correct[np.array([text is None for text in predicted], np.bool_)] = -1
    correct[np.array([text is None for text in actual], np.bool_)] = UNLABELLED
    return correct


def _remembered(memo: dict[Any, str | None], value: Any) -> str | None:
    # True == 1, and both have texts of their own.
    key = (type(value), value)
    if key not in memo:
        memo[key] = class_text(value)
    return memo[key]


def _table(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise FileUnusable(
            "reading a baseline needs pyarrow: pip install 'inferspan-collector[parquet]'"
        ) from None
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise FileUnusable(f"{path} does not say its format; call it {' or '.join(_READERS)}")
    try:
        return reader(path)
    except pyarrow.ArrowException as error:
        raise FileUnusable(f"{path} is not {path.suffix}: {str(error).splitlines()[0]}") from None
    except OSError as error:
        raise FileUnusable(f"cannot read {path}: {error.strerror or error}") from None


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)


def _read_csv(path: Path) -> Any:
    from pyarrow import csv

    tabs = csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    return csv.read_csv(path, parse_options=tabs)


def _read_arrow(path: Path) -> Any:
    from pyarrow import feather

    return feather.read_table(path)


_READERS: Final[Mapping[str, Callable[[Path], Any]]] = {
    ".parquet": _read_parquet,
    ".pq": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".arrow": _read_arrow,
    ".feather": _read_arrow,
}


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(str(name) for name in names[:20])
    return f"{shown}, …" if len(names) > 20 else shown
