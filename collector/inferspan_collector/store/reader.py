"""Questions to the store. Each sees one committed state, all of it; several do `at_one_moment`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from inferspan_collector.batches import Bool, LabelBatch
from inferspan_collector.config import Config
from inferspan_collector.store import (
    arrived,
    baselines,
    cell_queries,
    coded_cells,
    judged_rows,
    row_columns,
    row_queries,
    sizes,
    stage_queries,
    trailing,
)
from inferspan_collector.store.arrived import Calls, Judged, Newest
from inferspan_collector.store.cells import (
    ArrivalCells,
    CellQuery,
    Evaluation,
    Group,
    JudgedItems,
    ModelSummary,
    OutcomeCells,
    PredictionCells,
    PredictionRow,
    StageArrivals,
    StageCells,
    WeighedCells,
)
from inferspan_collector.store.cursors import Cursors, OneMoment, one_state
from inferspan_collector.store.judged_rows import JudgedRows
from inferspan_collector.store.row_columns import RowColumns, RowQuery
from inferspan_collector.store.sizes import Sizes
from inferspan_collector.store.trailing import Stored, Trailing


class Reader(Protocol):
    """What publishers may ask. Safe to call from any thread; every call takes its own cursor."""

    def at_one_moment(self) -> AbstractContextManager[Reader]:
        """For several questions that all see the same committed state; for one thread."""

    def models(self) -> list[ModelSummary]:
        """All models, by name."""

    def labelled(self) -> dict[str, dict[str, int]]:
        """Model → target → predictions with a joined label, where there are any."""

    def prediction_cells(self, query: CellQuery) -> PredictionCells:
        """Predictions per cell; `query.target` is of no matter here."""

    def outcome_cells(self, query: CellQuery) -> OutcomeCells:
        """Labelled predictions per cell, corrections applied."""

    def arrived_outcomes(self, query: CellQuery) -> OutcomeCells:
        """As `outcome_cells`, at the minutes in which the labels that stand now were received.

        Of predictions whose rows are kept; the query has a start and an end, which are of labels.
        """

    def stage_cells(self, query: CellQuery) -> StageCells:
        """How long steps of predictions took; `query.target` is of no matter here."""

    def stage_arrivals(self) -> StageArrivals:
        """The same, of all that ever came."""

    def weighs(self) -> bool:
        """Whether any row of the store stands for more or less than itself."""

    def weighed_cells(self, query: CellQuery) -> WeighedCells:
        """Labelled predictions whose rows are kept, by cell and weight."""

    def judged_items(self, query: CellQuery) -> JudgedItems:
        """Labelled items of rankings, corrections applied, of predictions whose rows are kept."""

    def implied(self, query: CellQuery) -> dict[tuple[int, Group], int]:
        """Per (window, group) the labelled predictions that nobody labelled: silence implied it.

        Of predictions whose rows are kept; windows and groups without any are left out.
        """

    def judged_rows(self, query: CellQuery, most: int, *, features: bool = False) -> JudgedRows:
        """Labelled predictions whose call did not raise, at most so many; and their features."""

    def count_windows(self, query: CellQuery, few: int = 0) -> int:
        """How many (window, group) hold a prediction: what an answer would be long.

        Where the query's time and groups leave room for no more than `few`, it is that number, and
        nothing is counted.
        """

    def arrivals(self) -> ArrivalCells:
        """Outcomes added and retracted since the store began."""

    def trailing(self, starts: Sequence[int], end: int) -> Trailing:
        """Counters of the windows [start, end) of Unix minutes, all targets, by two questions."""

    def series(self) -> Sequence[tuple[str | None, ...]]:
        """Texts of `SERIES_KEYS` of every series that there is."""

    def stored_predictions(self) -> list[Stored]:
        """Predictions per series and outcome, of all time."""

    def newest(self) -> Newest:
        """Where the next rows will lie that arrive."""

    def calls_since(
        self, row: int, limits_ns: Sequence[int], objectives_ns: Mapping[str, float]
    ) -> tuple[list[Calls], int]:
        """Predictions that came after a row, counted, and the newest row of them."""

    def judged_since(self, row: int) -> tuple[list[Judged], int]:
        """The newest labels that came after a row and joined, and the newest row of them."""

    def predictions(
        self,
        model: str | None,
        *,
        service: str | None = None,
        target: str = "default",
        outcome: str | None = None,
        environment: str | None = None,
        version: str | None = None,
        predicted: str | None = None,
        expected: str | None = None,
        slices: Mapping[str, str] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 20,
    ) -> list[PredictionRow]:
        """Single predictions, newest event first.

        `outcome` is correct, incorrect, unlabeled, failed, or None for all; `predicted` and
        `expected` name one cell of the confusion matrix; `slices` is key → value, all of which a
        prediction has. Times are event times, [start, end).
        """

    def rows(self, query: RowQuery) -> RowColumns:
        """Predictions with their truths as columns, the newest `row_columns.ROWS_MAX`."""

    def slice_values(self, model: str) -> dict[str, tuple[str, ...]]:
        """The values of each slice key of a model's predictions, keys and values sorted."""

    def baselines(self, model: str) -> list[baselines.Head]:
        """The baselines of a model without their content, the newest first."""

    def baseline(self, number: int) -> str | None:
        """The content of a baseline; None where there is none, or no longer."""

    def resolve_labels(self, labels: LabelBatch) -> Bool:
        """Which of these labels would join now; nothing is stored (a dry run).

        Raises:
            Unstorable: they are about more predictions than a request's may be.
        """

    def waiting_labels(self, received_before_ns: int) -> dict[str, int]:
        """Per model ("" where it is unknown): labels that match nothing and came before then."""

    def waiting_count(self) -> int:
        """Labels that match nothing, all models together; some milliseconds whatever they are."""

    def outbox(self, limit: int) -> list[Evaluation]:
        """Evaluation spans to be sent, oldest first."""

    def sizes(self) -> Sizes:
        """How large the store is, on disk and in rows."""

    def ping(self) -> None:
        """Ask for almost nothing; raises what makes the store unable to answer."""


class StoreReader:
    """Answers from the DuckDB file, beside the writer and never in its way."""

    def __init__(self, database: Cursors, config: Config | None = None) -> None:
        self._database = database
        self._config = config or Config()

    @contextmanager
    def at_one_moment(self) -> Iterator[Reader]:
        """For several questions that all see the same committed state; for one thread."""
        with one_state(self._database) as cursor:
            yield StoreReader(OneMoment(self._database.path, cursor), self._config)

    def models(self) -> list[ModelSummary]:
        """All models, by name."""
        with self._database.cursor() as cursor:
            return row_queries.models(cursor)

    def labelled(self) -> dict[str, dict[str, int]]:
        """Model → target → predictions with a joined label, where there are any."""
        with self._database.cursor() as cursor:
            return row_queries.labelled(cursor)

    def prediction_cells(self, query: CellQuery) -> PredictionCells:
        """Predictions per cell; `query.target` is of no matter here."""
        with one_state(self._database) as cursor:
            return coded_cells.predictions(cursor, query)

    def outcome_cells(self, query: CellQuery) -> OutcomeCells:
        """Labelled predictions per cell, corrections applied."""
        with one_state(self._database) as cursor:
            return coded_cells.outcomes(cursor, query)

    def arrived_outcomes(self, query: CellQuery) -> OutcomeCells:
        """As `outcome_cells`, at the minutes in which the labels that stand now were received."""
        with one_state(self._database) as cursor:
            return coded_cells.arrived_outcomes(cursor, query)

    def stage_cells(self, query: CellQuery) -> StageCells:
        """How long steps of predictions took; `query.target` is of no matter here."""
        with self._database.cursor() as cursor:
            return stage_queries.cells(cursor, query)

    def stage_arrivals(self) -> StageArrivals:
        """The same, of all that ever came."""
        with self._database.cursor() as cursor:
            return stage_queries.arrivals(cursor)

    def weighs(self) -> bool:
        """Whether any row of the store stands for more or less than itself."""
        with self._database.cursor() as cursor:
            return bool(cursor.execute(cell_queries.WEIGHS).fetchall()[0][0])

    def weighed_cells(self, query: CellQuery) -> WeighedCells:
        """Labelled predictions whose rows are kept, by cell and weight."""
        with one_state(self._database) as cursor:
            return coded_cells.weighed(cursor, query)

    def judged_items(self, query: CellQuery) -> JudgedItems:
        """Labelled items of rankings, corrections applied, of predictions whose rows are kept."""
        with one_state(self._database) as cursor:
            return coded_cells.items(cursor, query)

    def implied(self, query: CellQuery) -> dict[tuple[int, Group], int]:
        """Per (window, group) the labelled predictions that nobody labelled: silence implied it."""
        with one_state(self._database) as cursor:
            return coded_cells.implied(cursor, query)

    def judged_rows(self, query: CellQuery, most: int, *, features: bool = False) -> JudgedRows:
        """Labelled predictions whose call did not raise, at most so many; and their features."""
        with self._database.cursor() as cursor:
            return judged_rows.judged_rows(cursor, query, most, features=features)

    def count_windows(self, query: CellQuery, few: int = 0) -> int:
        """How many (window, group) hold a prediction; of at most `few`, how many there can be."""
        with one_state(self._database) as cursor:
            return coded_cells.count_windows(cursor, query, few)

    def arrivals(self) -> ArrivalCells:
        """Outcomes added and retracted since the store began."""
        with self._database.cursor() as cursor:
            return arrived.outcomes(cursor)

    def trailing(self, starts: Sequence[int], end: int) -> Trailing:
        """Counters of the windows [start, end) of Unix minutes, all targets, by two questions."""
        with self._database.cursor() as cursor:
            return trailing.read(cursor, starts, end)

    def series(self) -> Sequence[tuple[str | None, ...]]:
        """Texts of `SERIES_KEYS` of every series that there is."""
        with self._database.cursor() as cursor:
            return tuple(trailing.series(cursor).values())

    def stored_predictions(self) -> list[Stored]:
        """Predictions per series and outcome, of all time."""
        with self._database.cursor() as cursor:
            return trailing.stored(cursor)

    def newest(self) -> Newest:
        """Where the next rows will lie that arrive."""
        with self._database.cursor() as cursor:
            return arrived.newest(cursor)

    def calls_since(
        self, row: int, limits_ns: Sequence[int], objectives_ns: Mapping[str, float]
    ) -> tuple[list[Calls], int]:
        """Predictions that came after a row, counted, and the newest row of them."""
        with self._database.cursor() as cursor:
            return arrived.calls(cursor, row, limits_ns, objectives_ns)

    def judged_since(self, row: int) -> tuple[list[Judged], int]:
        """The newest labels that came after a row and joined, and the newest row of them."""
        with self._database.cursor() as cursor:
            return arrived.judged(cursor, row)

    def predictions(
        self,
        model: str | None,
        *,
        service: str | None = None,
        target: str = "default",
        outcome: str | None = None,
        environment: str | None = None,
        version: str | None = None,
        predicted: str | None = None,
        expected: str | None = None,
        slices: Mapping[str, str] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 20,
    ) -> list[PredictionRow]:
        """Single predictions, newest event first."""
        filters = row_queries.Filters(
            model=model,
            service=service,
            target=target,
            outcome=outcome,
            environment=environment,
            version=version,
            predicted=predicted,
            expected=expected,
            slices=slices,
            start_ns=start_ns,
            end_ns=end_ns,
        )
        with self._database.cursor() as cursor:
            return row_queries.predictions(cursor, filters, limit)

    def rows(self, query: RowQuery) -> RowColumns:
        """Predictions with their truths as columns, the newest `row_columns.ROWS_MAX`."""
        with self._database.cursor() as cursor:
            return row_columns.rows(cursor, query)

    def slice_values(self, model: str) -> dict[str, tuple[str, ...]]:
        """The values of each slice key of a model's predictions, keys and values sorted."""
        with self._database.cursor() as cursor:
            return row_queries.slice_values(cursor, model)

    def baselines(self, model: str) -> list[baselines.Head]:
        """The baselines of a model without their content, the newest first."""
        with self._database.cursor() as cursor:
            return baselines.heads(cursor, model)

    def baseline(self, number: int) -> str | None:
        """The content of a baseline; None where there is none, or no longer."""
        with self._database.cursor() as cursor:
            return baselines.document(cursor, number)

    def resolve_labels(self, labels: LabelBatch) -> Bool:
        """Which of these labels would join now; nothing is stored (a dry run)."""
        with self._database.cursor() as cursor:
            return row_queries.resolve_labels(cursor, labels, self._config)

    def waiting_labels(self, received_before_ns: int) -> dict[str, int]:
        """Per model ("" where it is unknown): labels that match nothing and came before then."""
        with self._database.cursor() as cursor:
            return row_queries.waiting_labels(cursor, received_before_ns)

    def waiting_count(self) -> int:
        """Labels that match nothing, all models together; some milliseconds whatever they are."""
        with self._database.cursor() as cursor:
            row = cursor.execute("SELECT count(*) FROM waiting_labels").fetchone()
            assert row is not None
            return int(row[0])

    def outbox(self, limit: int) -> list[Evaluation]:
        """Evaluation spans to be sent, oldest first."""
        with self._database.cursor() as cursor:
            return row_queries.outbox(cursor, limit)

    def sizes(self) -> Sizes:
        """How large the store is, on disk and in rows."""
        with self._database.cursor() as cursor:
            return sizes.measure(cursor, self._database.path)

    def ping(self) -> None:
        """Ask for almost nothing; raises what makes the store unable to answer."""
        with self._database.cursor() as cursor:
            cursor.execute("SELECT version FROM format").fetchall()
