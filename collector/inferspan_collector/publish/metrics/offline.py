"""What a model was like on files: the newest baseline of each version and target, as gauges.

Their labels are those of `inferspan_quality_score` but environment and window, so that PromQL puts
the live figure beside them: `… - on (model, version, target, metric, average) group_left () …`.
"""

from __future__ import annotations

from typing import Final

from inferspan_collector.publish.known_baselines import KnownBaseline, ready
from inferspan_collector.publish.metrics.families import Labels, label
from inferspan_collector.publish.metrics.row_gauges import Made
from inferspan_collector.publish.metrics.windows import AVERAGED, SINGLE
from inferspan_collector.quality.figure import BINARY, MACRO, Figure
from inferspan_collector.quality.measures import MEMBERS
from inferspan_collector.store.reader import Reader

FIGURES: Final = frozenset((*AVERAGED, *SINGLE)).union(
    *(member.FIGURES for member in MEMBERS.values())
)
"""Offline figures that have gauges: those that live ones have."""


def offline(made: Made, reader: Reader, model: str) -> None:
    """Add the gauges of a model's baselines."""
    seen: set[tuple[str | None, str]] = set()
    for head in reader.baselines(model):  # the newest first
        if (head.version, head.target) not in seen:
            seen.add((head.version, head.target))
            known = ready(reader, head)
            if known is not None:
                _add(made, known)


def _add(made: Made, known: KnownBaseline) -> None:
    head, content = known.head, known.content
    of: Labels = (label(head.model), label(head.version), label(head.target))
    made_from = (content.source, content.data_version, content.code_version)
    info = (*of, str(head.number), *(label(text) for text in made_from))
    made.add("inferspan_baseline_info", info, 1.0)
    average = MACRO if content.positive_class is None else BINARY
    for name in sorted(FIGURES & content.figures.keys()):
        offline_figure = content.figures[name]
        figure = Figure(
            offline_figure.value, offline_figure.n, offline_figure.low, offline_figure.high
        )
        key = (*of, name, average if name in AVERAGED else "")
        made.add_figure("inferspan_baseline_score", key, figure)
    for name, folds in content.cross_validation.items():
        key = (*of, label(name))
        made.add("inferspan_baseline_cross_validation_mean", key, folds.mean)
        made.add("inferspan_baseline_cross_validation_std", key, folds.std)
