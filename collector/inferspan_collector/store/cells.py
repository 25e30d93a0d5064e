"""What the store answers: counter cells, grouped as asked for. All of it merges by addition."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, overload

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.text_columns import Int32, Strings

SERIES_KEYS = (
    "environment",
    "service",
    "model",
    "version",
    "variant",
    "operation",
    "task",
    "positive_class",
)
"""What counters can be grouped by, beside `slice.<key>`."""

MINUTE_NS = 60_000_000_000


class QueryError(ValueError):
    """A question the store cannot answer; the message names the value and the rule."""


@dataclass(frozen=True, slots=True)
class CellQuery:
    """Which counters, and how finely.

    `start` and `end` are Unix minutes, [start, end); None = all there is. `every` is the window
    in minutes, aligned to the Unix epoch (UTC); None = one window for everything. `by` holds
    names of `SERIES_KEYS` and `slice.<key>`; with two slices or more the answer is computed from
    the rows. Filters left None admit everything; `version=""` means predictions without version.
    """

    model: str | None = None
    service: str | None = None
    environment: str | None = None
    version: str | None = None
    target: str = "default"
    start: int | None = None
    end: int | None = None
    every: int | None = None
    by: tuple[str, ...] = ()


Group = tuple[str | None, ...]
"""Texts of a query's `by`, None = absent."""


@dataclass(frozen=True, slots=True, eq=False)
class Groups(Sequence[Group]):
    """The group of each cell: `codes[i]` indexes `distinct`, so that no text is made per cell."""

    codes: Int32
    distinct: tuple[Group, ...]

    @classmethod
    def of(cls, groups: Iterable[Group]) -> Self:
        """Encode groups, in order of first appearance."""
        seen: dict[Group, int] = {}
        codes = [seen.setdefault(group, len(seen)) for group in groups]
        return cls(np.array(codes, np.int32), tuple(seen))

    @overload
    def __getitem__(self, row: int) -> Group: ...

    @overload
    def __getitem__(self, row: slice) -> Groups: ...

    def __getitem__(self, row: int | slice) -> Group | Groups:
        if isinstance(row, slice):
            return Groups(self.codes[row], self.distinct)
        return self.distinct[self.codes[row]]

    def __iter__(self) -> Iterator[Group]:
        return map(self.distinct.__getitem__, self.codes.tolist())

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, slots=True)
class PredictionCells:
    """Predictions counted per (window, group, failed, latency bucket), one entry per cell.

    In no order. `window` is the window's first minute (0 where the query asked for one window).
    `failed`: the call raised. `bucket` is a number of `latency_sketch`.
    """

    by: tuple[str, ...]
    window: NDArray[np.int64]
    groups: Groups
    failed: NDArray[np.bool_]
    bucket: NDArray[np.int16]
    n: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class OutcomeCells:
    """Labelled predictions counted per (window, group, predicted, actual, correct), in no order.

    `correct` is 1, 0, or -1 where a label joined but right or wrong is not defined (a regression
    without tolerance, a prediction without output). A label joined to a call that raised counts
    nowhere here.
    """

    by: tuple[str, ...]
    window: NDArray[np.int64]
    groups: Groups
    predicted: Strings
    actual: Strings
    correct: NDArray[np.int8]
    n: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WeighedCells:
    """Labelled predictions whose rows are kept, per cell of `OutcomeCells` and weight.

    `weight` is for how many a row stands (`inferspan.sampling.adjusted_count` × the label's
    weight), greater than 0.
    """

    outcomes: OutcomeCells
    weight: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JudgedItems:
    """Labelled items of rankings, one entry each, in the order of their rankings.

    `window` and `groups` as those of `OutcomeCells`. Entries with the same `ranking` are of one
    prediction. `place` is the item's in the ranking, from 1; 0 = the ranking lacks it. `relevance`
    is what its winning label says, from 0 on. `shown` is how many items the ranking has,
    `weight` for how many calls it stands (`inferspan.sampling.adjusted_count`).
    """

    by: tuple[str, ...]
    window: NDArray[np.int64]
    groups: Groups
    ranking: NDArray[np.int64]
    place: NDArray[np.int64]
    relevance: NDArray[np.float64]
    shown: NDArray[np.int64]
    weight: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ArrivalCells:
    """What ever arrived, for counters that only grow: outcomes added and retracted."""

    series: Sequence[tuple[str | None, ...]]
    """Texts of `SERIES_KEYS`."""
    target: Sequence[str]
    predicted: Sequence[str | None]
    actual: Sequence[str | None]
    correct: NDArray[np.int8]
    added: NDArray[np.int64]
    retracted: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of steps, one entry per cell. A step is a stage, or with a phase that part of it; a
    phase of the stage "" is one of the call itself.
    """

    stage: Sequence[str]
    phase: Sequence[str]
    """"" = the whole stage."""
    bucket: NDArray[np.int16]
    """A number of `latency_sketch`."""
    n: NDArray[np.int64]
    covered: NDArray[np.int64]
    """Predictions of which this is the step's first run; only sums over buckets mean something."""
    duration_ns: NDArray[np.float64]
    """The sum of all."""


@dataclass(frozen=True, slots=True)
class StageCells(_Runs):
    """Runs of steps per (window, group, step, bucket), windows by the time of their predictions."""

    by: tuple[str, ...]
    window: NDArray[np.int64]
    groups: Groups


@dataclass(frozen=True, slots=True)
class StageArrivals(_Runs):
    """Runs of steps that ever arrived, for counters that only grow."""

    series: Sequence[tuple[str | None, ...]]
    """Texts of `SERIES_KEYS`."""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What predictions have shown of a model. Times are Unix ns of events."""

    model: str
    versions: tuple[str, ...]
    services: tuple[str, ...]
    environments: tuple[str, ...]
    first_seen: int
    last_seen: int
    predictions: int


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """One prediction with its truth, for lists of mistakes and example traces."""

    prediction_id: str
    index: int
    trace_id: str
    span_id: str
    environment: str | None
    service: str | None
    version: str | None
    variant: str | None
    predicted: str | None
    score: float | None
    value: float | None
    expected: str | None
    correct: bool | None
    error_type: str | None
    event_time: int
    duration: int
    label_time: int | None
    implied: bool = False
    """Nobody said what was true: silence did."""
    slices: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RebuiltSpan:
    """The span of an unsampled prediction, of which the evaluation says the rest."""

    start: int
    """Unix ns."""
    attributes: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One entry of the outbox: an evaluation span to be sent. Its content never changes.

    `outcome` is `correct`, `incorrect` or `retracted`. Times are Unix ns.
    """

    sequence: int
    span_id: int
    """The evaluation span's own id: a hash of which prediction, target, label, revision and content
    it is about, and whether it takes that back."""
    trace_id: str
    prediction_span_id: str
    prediction_end: int
    environment: str | None
    service: str | None
    model: str
    version: str | None
    variant: str | None
    prediction_id: str
    index: int
    target: str
    label_id: str
    revision: int
    label_time: int
    label_delay_ns: int
    outcome: str
    predicted: str | None
    expected: str | None
    error: float | None
    rebuilt: RebuiltSpan | None = None
    """What is sent before it: the prediction's own span, where none was sampled."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of one request's rows, known once its transaction is on disk."""

    predictions: int
    """New prediction rows; retries of known ones are not counted."""
    labels: tuple[str, ...]
    """Per label of the request, in its order: joined, late, superseded, waiting, duplicate or
    forgotten."""
