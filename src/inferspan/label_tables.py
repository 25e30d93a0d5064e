"""A table of labels → label records: loading it twice changes nothing."""

from __future__ import annotations

import contextlib
import difflib
import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from opentelemetry.sdk.trace.export import SpanExporter

from inferspan import foreign, semconv, settings
from inferspan.answers import Rejection, undelivered
from inferspan.attributes import Attributes, is_table
from inferspan.containment import say
from inferspan.exporters import labels_go_over_grpc, labels_receiver
from inferspan.foreign import is_missing
from inferspan.label_records import (
    LabelDetails,
    MissingTruth,
    RefusedLabel,
    check_options,
)
from inferspan.labels import read_record, reading, send_label
from inferspan.providers import label_exporter, label_provider, labels_of
from inferspan.span_queue import SpanQueue

CHUNK_ROWS: Final = 2048
"""Labels that wait for export at a time."""
PROBE_ROWS: Final = 128
"""Labels after which it is looked for the first time whether anybody takes them: one request."""
REASONS_MAX: Final = 20
OTHER_REASONS: Final = "other reasons"
SWITCHED_OFF: Final = "OTEL_SDK_DISABLED is true, so nothing is sent"


@dataclass(frozen=True, slots=True)
class LabelTableReport:
    """What became of a table of labels."""

    sent: int
    """Rows that the receiver accepted."""
    refused: int
    """Rows that cannot be labels."""
    failed: int
    """Rows that could not be delivered, or that the receiver left out; load the table again once
    what `reasons` says is mended, nothing counts twice."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Why rows were refused or could not be delivered, and how many."""
    without_truth: int = 0
    """Rows whose truth is missing: skipped, for it is not known yet."""

    def __str__(self) -> str:
        reasons = "".join(f"\n  {count} × {reason}" for reason, count in self.reasons.items())
        waiting = f", {self.without_truth} without a truth yet" if self.without_truth else ""
        return f"{self.sent} sent, {self.refused} refused, {self.failed} failed{waiting}{reasons}"


class LabelBatchSender:
    """A private way for many labels at once, that waits for their delivery.

    Args:
        exporter: its own exporter, ended with it.
        chunk: labels after which delivery is waited for; they never overflow the queue. The first
            wait is after `PROBE_ROWS`.
    """

    def __init__(self, exporter: SpanExporter, chunk: int) -> None:
        # The caller waits for each chunk, and is told of what nobody takes.
        self._queue = SpanQueue(exporter, "labels", keeps=False)
        self._provider = label_provider(self._queue)
        self._chunk = chunk
        self._begun = 0
        self._answered_then = 0
        self.gone = False
        """Of the labels between two waits none was answered: more would only take time."""
        self.tracer = labels_of(self._provider)

    @property
    def sent(self) -> int:
        """Labels that were accepted so far."""
        return self._queue.sent

    @property
    def failed(self) -> int:
        """Labels that could not be delivered."""
        return self._begun - self._queue.sent

    @property
    def rejected(self) -> Rejection:
        """Of these, what the receiver left out of requests that it took."""
        return self._queue.rejected

    def sent_one(self) -> None:
        """One more label was emitted, or left out because the receiver is gone."""
        self._begun += 1
        if not self.gone and (self._begun == PROBE_ROWS or self._begun % self._chunk == 0):
            self._provider.force_flush()
            answered = self._queue.sent + self.rejected.spans
            self.gone = answered == self._answered_then
            self._answered_then = answered

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._provider.force_flush()
        self._provider.shutdown()


def label_table(
    table: Any,
    *,
    model: str,
    prediction_id: str = "prediction_id",
    actual: str = "actual",
    time: str | None = None,
    index: str | None = None,
    item_id: str | None = None,
    version: str | int | None = None,
    target: str = semconv.DEFAULT_TARGET,
    source: str | None = None,
    kind: str = semconv.TARGET_KINDS[0],
    annotator_kind: str | None = None,
) -> LabelTableReport:
    """Send a table of labels and wait until they are accepted.

    A label's id is a hash of its row, so that loading the same rows again changes nothing. A row
    whose truth is missing (None, NaN, NaT) is skipped and counted: it has none yet.

    Args:
        table: a data frame (pandas, polars), an Arrow table, a mapping of columns, or an iterable
            of mappings.
        model: the model's name.
        prediction_id: column of the predictions' ids.
        actual: column of what turned out to be true; see `inferspan.label` for its values.
        time: column of when it became known; None = when the collector first accepts it.
        index: column of the row within a batch call whose rows share one id.
        item_id: column of the item of a ranking; `actual` then says how relevant each was.
        version: the model's version, to narrow the match.
        target: which truth, where a prediction has several.
        source: where the labels come from.
        kind: `ground_truth`, `feedback` or `evaluation`.
        annotator_kind: `HUMAN`, `LLM`, `CODE` or `SYSTEM`.

    Returns:
        How many rows were sent, refused, not delivered, and without a truth, and why; also logged.

    Raises:
        ValueError: a column that the table lacks, a wrong option, or nothing says where labels go.
        TypeError: `table` is none of the above, or a column is not named by a text.
    """
    check_options(model, kind, annotator_kind, semconv.LABEL_ACTIONS[0])
    columns = (prediction_id, actual, time, index, item_id)
    wanted = [name for name in columns if name is not None]
    for name in wanted:
        if not isinstance(name, str):
            raise TypeError(
                f"the column {name!r:.80} is a {type(name).__name__}; name it by a text"
            )
    rows = table_rows(table, wanted)
    details = LabelDetails(
        model=model,
        target=target,
        source=source,
        kind=kind,
        annotator_kind=annotator_kind,
        version=version,
    )
    report = _send_all(_record(row, columns, details) for row in rows)
    loud = (report.refused or report.failed) and not settings.current().disabled
    level = logging.WARNING if loud else logging.INFO
    say(level, "inferspan: labels of %s: %s", model, report)
    return report


def _record(
    row: object, columns: Sequence[str | None], details: LabelDetails
) -> Attributes | RefusedLabel:
    """The label of a row; the columns are those of `label_table`, in its order."""
    try:
        with reading():
            prediction, value, time, index, item_id = (_cell(row, column) for column in columns)
            missing = is_missing(value)
        if missing:
            return MissingTruth("no value", "the row has no truth yet")
        told = replace(details, time=time, index=index, item_id=item_id)
        return read_record(prediction, value, told)
    except RefusedLabel as refusal:
        return refusal


class _Labels:
    """The labels among some records; what is none is counted.

    Args:
        records: of rows, or why a row has none.
    """

    def __init__(self, records: Iterable[Attributes | RefusedLabel]) -> None:
        self._records = records
        self.reasons: Counter[str] = Counter()
        """Why rows were refused, and how many."""
        self.without_truth = 0

    def __iter__(self) -> Iterator[Attributes]:
        for record in self._records:
            if isinstance(record, MissingTruth):
                self.without_truth += 1
            elif isinstance(record, RefusedLabel):
                reason = str(record)
                known = reason in self.reasons or len(self.reasons) < REASONS_MAX
                self.reasons[reason if known else OTHER_REASONS] += 1
            else:
                yield record


def _send_all(records: Iterable[Attributes | RefusedLabel]) -> LabelTableReport:
    labels = _Labels(records)
    if settings.current().disabled:
        sent, why_failed = 0, Counter({SWITCHED_OFF: sum(1 for _ in labels)})
    else:
        sent, why_failed = _send(labels)
    refused = labels.reasons.total()
    reasons = dict(labels.reasons + why_failed)
    return LabelTableReport(sent, refused, why_failed.total(), reasons, labels.without_truth)


def _send(labels: Iterable[Attributes]) -> tuple[int, Counter[str]]:
    """How many were accepted, and why the others were not."""
    exporter = label_exporter()
    if exporter is None:
        raise ValueError(
            "nothing says where labels go; set INFERSPAN_ENDPOINT=http://HOST:4318 or call "
            "inferspan.configure(endpoint=…) first"
        )
    with LabelBatchSender(exporter, CHUNK_ROWS) as sender:
        for record in labels:
            if not sender.gone:
                send_label(sender.tracer, record, semconv.label_record_id(record))
            sender.sent_one()
    rejected = sender.rejected
    why_failed = Counter({f"the receiver left them out: {rejected.message}": rejected.spans})
    why_failed[undelivered(labels_receiver(), grpc=labels_go_over_grpc())] = (
        sender.failed - rejected.spans
    )
    return sender.sent, +why_failed


def table_rows(table: Any, columns: Sequence[str]) -> Iterator[object]:
    """Iterate over the rows of any kind of table, as mappings of the wanted columns.

    Raises:
        ValueError: a column is missing, or columns differ in length.
        TypeError: no table.
    """
    if is_table(table) or isinstance(table, Mapping):
        _check_columns(columns, _column_names(table))
        return _zipped({name: _values(name, table[name]) for name in columns})
    if isinstance(table, Iterable) and not isinstance(table, (str, bytes)):
        return _checked_rows(table, columns)
    raise TypeError(
        f"a {type(table).__name__} is no table; give a data frame, a mapping of columns or an "
        "iterable of mappings"
    )


def _column_names(table: Any) -> list[str]:
    if isinstance(table, Mapping):
        return [str(name) for name in table]
    return [str(name) for name in foreign.column_names(table)]


def _check_columns(wanted: Sequence[str], present: Sequence[str]) -> None:
    for name in wanted:
        if name not in present:
            close = difflib.get_close_matches(name, present, 1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"the table has no column {name!r}{meant}; it has {', '.join(present[:20])}"
            )
        if present.count(name) > 1:
            raise ValueError(
                f"the table has {present.count(name)} columns {name!r}; name each column once"
            )


def _values(name: str, column: Any) -> list[object]:
    if isinstance(column, (str, bytes)) or not isinstance(column, Iterable):
        raise ValueError(
            f"column {name!r} is a {type(column).__name__}; give a list with one value for each row"
        )
    for method in foreign.LIST_METHODS:
        if (convert := getattr(column, method, None)) is not None:
            return list(convert())
    return list(column)


def _zipped(columns: Mapping[str, list[object]]) -> Iterator[Mapping[str, object]]:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {lengths}; give as many values in each")
    names = tuple(columns)
    return (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _checked_rows(rows: Iterable[Any], wanted: Sequence[str]) -> Iterator[object]:
    left = iter(rows)
    first = list(itertools.islice(left, CHUNK_ROWS))
    if first and not any(isinstance(row, Mapping) for row in first):
        raise TypeError(_no_mapping(first[0]))
    if keys := list(dict.fromkeys(key for row in first for key in _keys(row))):
        # A key that no row has is misspelt; one that a row lacks is a missing value.
        _check_columns(wanted, keys)
    return itertools.chain(first, left)


def _keys(row: object) -> list[str]:
    """A row's keys; none of one that cannot be read, which is refused when its turn comes."""
    with contextlib.suppress(RefusedLabel), reading():
        if isinstance(row, Mapping):
            return [str(key) for key in row]
    return []


def _no_mapping(row: object) -> str:
    return f"a row is a {type(row).__name__}; give mappings of column to value"


def _cell(row: object, column: str | None) -> Any:
    if not isinstance(row, Mapping):
        raise RefusedLabel("row", _no_mapping(row))
    return None if column is None else row.get(column)
