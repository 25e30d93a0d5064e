"""What one transaction saw: told to the counters once it is on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inferspan_collector.slow_calls import SlowCall
from inferspan_collector.store import outbox
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.recent_keys import KeyHashes
from inferspan_collector.store.stages import Taken
from inferspan_collector.telemetry import (
    COMMITS,
    DUPLICATES,
    FOLDED,
    LABELS,
    REBUILT_SPANS,
    SKIPPED_EVALUATIONS,
    STAGE_RUNS,
    Telemetry,
)


@dataclass(frozen=True, slots=True)
class Tally:
    """What is to be counted of a transaction."""

    predictions: int
    labels: int
    retried: int
    superseded: int
    met: int
    """Labels that had waited and have joined."""
    filled: outbox.Filled
    unindexed: list[KeyHashes]
    """Keys that the index knows nothing of."""
    slowest: list[SlowCall]
    stages: Taken

    def tell(
        self, telemetry: Telemetry, committed: Sequence[Committed], folded: Mapping[str, int]
    ) -> None:
        """Count it.

        Args:
            telemetry: the counters.
            committed: what became of each request's rows.
            folded: kind of text → how many of it fold into `__other__`.
        """
        telemetry.slow_calls.note(self.slowest)
        telemetry.add(COMMITS)
        telemetry.add(DUPLICATES, self.retried, kind="retry")
        telemetry.add(DUPLICATES, self.superseded, kind="superseded")
        for reason, n in self.filled.skipped.items():
            telemetry.add(SKIPPED_EVALUATIONS, n, reason=reason)
        telemetry.add(REBUILT_SPANS, self.filled.rebuilt, result="rebuilt")
        telemetry.add(REBUILT_SPANS, self.filled.not_rebuilt, result="rate")
        telemetry.add(LABELS, self.met, result="joined")
        results: Counter[str] = Counter()
        for part in committed:
            results.update(part.labels)
        for result, n in results.items():
            telemetry.add(LABELS, n, result=result)
        telemetry.add(STAGE_RUNS, self.stages.counted, result="counted")
        telemetry.add(STAGE_RUNS, self.stages.duplicate, result="duplicate")
        telemetry.add(STAGE_RUNS, self.stages.dropped, result="dropped")
        for kind, n in folded.items():
            telemetry.add(FOLDED, n, label=kind)
