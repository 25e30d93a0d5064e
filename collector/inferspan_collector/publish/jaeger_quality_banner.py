"""The line above all of Jaeger's Model Quality page: what is worth a word before any figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from inferspan_collector.drift.columns import FEATURE
from inferspan_collector.publish.jaeger_quality_metrics import ModelView
from inferspan_collector.publish.metrics.noticed import Alerting
from inferspan_collector.store import unmatched
from inferspan_collector.store.reader import Reader

MODELS_SHOWN_MAX: Final = 10
ALERTS_SHOWN_MAX: Final = 2
"""Of one model; the page is plain text, and one line."""
MAIN_FIGURE: Final = "accuracy"


def words(
    reader: Reader, service: str, models: Sequence[str], views: Sequence[ModelView], hours: int,
    now_ns: int,
) -> str:  # fmt: skip
    """What is worth a word; empty when there is nothing.

    Args:
        reader: knows of labels that match nothing.
        service: as it is shown.
        models: all of the service.
        views: those that are shown.
        hours: how far the page looks back.
        now_ns: the present, Unix ns.
    """
    said = [sentence for view in views for sentence in _noticed(view)]
    if not views:
        said.append(f"{service} predicted nothing in the last {hours} hours.")
    said += [
        f"No label has arrived for {view.model} yet: its accuracy is not known."
        for view in views
        if view.counts.labelled == 0
    ]
    waiting = reader.waiting_labels(now_ns - unmatched.AFTER_NS)
    said += [
        f"Labels of {name} that match no prediction: {waiting[name]}."
        for name in models
        if waiting.get(name)
    ]
    if len(models) > MODELS_SHOWN_MAX:
        said.append(f"{MODELS_SHOWN_MAX} of {len(models)} models are shown.")
    return " ".join(said)


def _noticed(view: ModelView) -> Iterator[str]:
    """Figures that alert, and the column that changed most: it is likeliest to be why."""
    noticed = view.noticed
    alerting = sorted(noticed.alerting, key=lambda each: each.figure != MAIN_FIGURE)
    for each in alerting[:ALERTS_SHOWN_MAX]:
        yield f"ALERT {view.versioned(each.version)}: {_figure(each, noticed.window)}."
    if (more := len(alerting) - ALERTS_SHOWN_MAX) > 0:
        yield f"{more} more of its figures {'alerts' if more == 1 else 'alert'}."
    if not (changed := noticed.changed()):
        return
    (version, column), methods = next(iter(changed.items()))
    others = len({name for _, name in changed}) - 1
    besides = f" and {others} more" if others else ""
    said = f"{column}{besides} changed in {view.versioned(version)}, {len(methods)} methods say so"
    why = alerting and column.startswith(FEATURE)
    yield f"{'Likeliest cause' if why else 'Drift'}: {said}."


def _figure(alerting: Alerting, window: str) -> str:
    limits = alerting.thresholds
    below = limits.low is not None and alerting.high < limits.low
    side, limit = ("below", limits.low) if below else ("above", limits.high)
    return (
        f"{alerting.figure} {alerting.value:.3g} (95 % interval {alerting.low:.3g} to "
        f"{alerting.high:.3g}, n = {alerting.n:,}) of the last {window} is {side} {limit:.3g}"
    )
