"""Questions to the store. Each sees one committed state, all of it.

(The signatures are final; the bodies follow.)
"""

from __future__ import annotations

from typing import Protocol

from inferspan_collector.batches import Bool, LabelBatch
from inferspan_collector.store.cells import (
    ArrivalCells,
    CellQuery,
    Evaluation,
    ModelSummary,
    OutcomeCells,
    PredictionCells,
    PredictionRow,
)


class Reader(Protocol):
    """What publishers may ask. Safe to call from any thread; every call takes its own cursor."""

    def models(self, primary_targets: dict[str, str] | None = None) -> list[ModelSummary]:
        """All models, by name."""

    def prediction_cells(self, query: CellQuery) -> PredictionCells:
        """Predictions per cell; `query.target` is of no matter here."""

    def outcome_cells(self, query: CellQuery) -> OutcomeCells:
        """Labelled predictions per cell, corrections applied."""

    def arrivals(self) -> ArrivalCells:
        """Outcomes added and retracted since the store began."""

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
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 20,
    ) -> list[PredictionRow]:
        """Single predictions, newest event first.

        `outcome` is correct, incorrect, unlabeled, failed, or None for all; `predicted` and
        `expected` name one cell of the confusion matrix. Times are event times, [start, end).
        """

    def resolve_labels(self, labels: LabelBatch) -> Bool:
        """Which of these labels would join now; nothing is stored (a dry run)."""

    def waiting_labels(self, received_before_ns: int) -> dict[str, int]:
        """Per model ("" where it is unknown): labels that match nothing and came before then."""

    def outbox(self, limit: int) -> list[Evaluation]:
        """Evaluation spans to be sent, oldest first."""
