"""What the collector's counters say was lost, refused or left out, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from inferspan_collector import telemetry
from inferspan_collector.cli.doctor.asking import Samples
from inferspan_collector.cli.doctor.finding import Finding, right, unknown, wrong
from inferspan_collector.telemetry import Counter

_SHOWN: Final = "metrics:"
"""What is folded where it is shown: nothing of it is lost."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A counter that stays at 0 where all is well."""

    counter: Counter
    fix: str
    harmless: frozenset[str] = frozenset()
    """Values of its last label that are well."""


LOSSES: Final = (
    Loss(telemetry.REFUSED, "correct the sender; the answer to it, and our log, say what is wrong"),
    Loss(
        telemetry.REFUSED_REQUESTS,
        "docs/operations.md says what each reason means; senders keep what they may try again",
    ),
    Loss(
        telemetry.CONTAINED,
        "that is a fault of ours: report it with what the log says at that time",
    ),
    Loss(telemetry.COMMIT_FAILURES, "look in the log; a full disk is the usual reason"),
    Loss(telemetry.SET_ASIDE, "`inferspan store check` names the file that has them"),
    Loss(telemetry.FOLDED, "raise the limit of that kind: limits.* in docs/configuration.md"),
    Loss(telemetry.CLOCK_SKEWED, "set the sender's clock: its windows are wrong"),
    Loss(
        telemetry.DUPLICATES,
        "two spans have one prediction id: give every prediction its own",
        frozenset(("retry",)),
    ),
    Loss(
        telemetry.SKIPPED_EVALUATIONS,
        "the figures hold them; more spans: jaeger.evaluations_per_second, jaeger.outbox_entries",
        frozenset(("sampled",)),
    ),
    Loss(
        telemetry.REBUILT_SPANS,
        "the figures hold them; more traces of mistakes: jaeger.rebuilt_spans_per_second",
        frozenset(("rebuilt",)),
    ),
    Loss(
        telemetry.MONITOR_UPSTREAM,
        "jaeger.monitor_upstream is the root of the Prometheus that Jaeger asked before; our log "
        "has its answer",
        frozenset(("ok",)),
    ),
    Loss(
        telemetry.PUBLISHED_METRICS,
        "publish.otlp is an OTLP/HTTP endpoint that takes metrics; our log has its answer",
        frozenset(("ok",)),
    ),
)


def examine(part: str, found: Samples) -> Iterator[Finding]:
    """Each that is not 0; one line where all are.

    Args:
        part: what the findings are of.
        found: the collector's metrics.
    """
    clean = True
    for loss in LOSSES:
        for labels, value in found.get(loss.counter.name, []):
            about = [labels.get(name, "") for name in loss.counter.labels]
            name = " ".join(filter(None, (loss.counter.name, *about)))
            if value and about[-1:] and about[-1].startswith(_SHOWN):
                clean = False
                yield unknown(part, name, f"{value:,.0f}", "/metrics shows the most frequent "
                    "values only, whatever the limits; the API has all")  # fmt: skip
            elif value and not loss.harmless.intersection(about[-1:]):
                clean = False
                yield wrong(
                    part, name, f"{value:,.0f} since the collector started", "0", loss.fix,
                )  # fmt: skip
    if clean:
        yield right(part, "refusals", "nothing refused, folded or failed since it started")
    cut = sum(value for _, value in found.get(telemetry.LOGS_CUT.name, []))
    if cut:
        yield unknown(
            part, telemetry.LOGS_CUT.name, f"{cut:,.0f} ended in what was never acknowledged",
            "nothing that was acknowledged is lost; it stopped in the middle of a write",
        )  # fmt: skip
