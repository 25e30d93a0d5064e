"""Figures that need rows: of scores and numbers, estimates, lags, drift; made beside the scrapes.

They take up to seconds a model, so a thread of its own makes them anew every minute, and takes a
tenth of a core at most; a scrape shows what was made last, and when. Each figure is as the API says
it of the same window.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from prometheus_client.metrics_core import Metric

from inferspan_collector.config import Config, span_minutes
from inferspan_collector.publish.metrics.families import Folding, gauge, label, leave_out
from inferspan_collector.publish.metrics.model_figures import ModelFigures
from inferspan_collector.publish.metrics.noticed import Noticed
from inferspan_collector.publish.metrics.row_gauges import GAUGES, Made
from inferspan_collector.publish.metrics.windows import Scored
from inferspan_collector.store.cells import MINUTE_NS, SERIES_KEYS
from inferspan_collector.store.reader import Reader
from inferspan_collector.submission import Queries
from inferspan_collector.telemetry import CONTAINED, Telemetry

BUSY_SHARE: Final = 0.1
"""Of the time of one core."""

_logger = logging.getLogger(__name__)


class RowFigures:
    """Thread-safe: one thread makes, any asks.

    Args:
        queries: of the store, as its last transaction left it.
        config: windows, models and limits.
        telemetry: counts what fails unexpectedly.
        seconds: a clock for how long things take.
    """

    def __init__(
        self,
        queries: Queries,
        config: Config,
        telemetry: Telemetry,
        seconds: Callable[[], float],
    ) -> None:
        self._queries, self._config, self._telemetry = queries, config, telemetry
        self._seconds = seconds
        self._lock = threading.Lock()
        self._made: dict[str, Made] = {}
        self._due = seconds()
        self._closing = threading.Event()
        windows = config.publish.quality_windows
        self._window = windows[0] if windows else ""
        self._longest = max(windows, key=span_minutes, default="")

    def make_due(self) -> int:
        """Make all anew where it is time; how many models that were."""
        every = self._config.publish.figures_seconds
        began = self._seconds()
        if every == 0 or not self._window or began < self._due:
            return 0
        models = self.make()
        took = self._seconds() - began
        self._due = began + took + max(every, took * (1 / BUSY_SHARE - 1))
        return models

    def make(self) -> int:
        """Make all anew, one model after the other; how many models that were."""
        reader, now_ns = self._queries.stored, self._queries.now_ns()
        end = now_ns // MINUTE_NS + 1
        targets = self._targets(reader, end)
        for model in [name for name in self._made if name not in targets]:
            with self._lock:
                del self._made[model]
        for model, of_model in targets.items():
            if self._closing.is_set():
                break
            began = self._seconds()
            made = Made(noticed=Noticed(self._window, self._config.model(model).minimum_n))
            try:
                with reader.at_one_moment() as now:
                    of = ModelFigures(now, self._config, model, self._window, self._longest, now_ns)
                    of.make(made, sorted(of_model))
            except Exception:
                # The other models have their figures all the same, and this one keeps its last:
                # that they grow old is what alerts.
                _logger.exception("figures of %s for /metrics could not be made", model)
                self._telemetry.add(CONTAINED, where="figures")
                continue
            made.add("inferspan_figures_timestamp_seconds", (label(model),), now_ns / 1e9)
            took = self._seconds() - began
            made.add("inferspan_figures_duration_seconds", (label(model),), took)
            with self._lock:
                self._made[model] = made
        return len(targets)

    def close(self) -> None:
        """Make no other model's: who stops the collector waits for one at most."""
        self._closing.set()

    def scores(self) -> list[Scored]:
        """Figures of quality."""
        with self._lock:
            return [score for made in self._made.values() for score in made.scores]

    def weighed(self) -> list[Scored]:
        """Figures of counts, of the models whose rows do not all weigh one."""
        with self._lock:
            return [score for made in self._made.values() for score in made.weighed]

    def noticed(self, model: str) -> Noticed:
        """What is wrong with a model; nothing where its figures are not made, or not yet."""
        with self._lock:
            return self._made[model].noticed if model in self._made else Noticed()

    def families(self, room: int, folding: Folding) -> Iterator[Metric]:
        """All others. Beyond the limit series are left out, for they do not add up."""
        with self._lock:
            made = list(self._made.values())
        folding.count("slice", sum(one.folded_slices for one in made))
        for name, (text, labels) in GAUGES.items():
            values = {key: value for one in made for key, value in one.gauges[name].items()}
            leave_out(values, room, folding, name.removeprefix("inferspan_"))
            yield gauge(name, text, labels, values)

    def _targets(self, reader: Reader, end: int) -> dict[str, set[str]]:
        """Models with predictions in the window → their targets that have labels there."""
        found = reader.trailing([end - span_minutes(self._window)], end)
        model_at = SERIES_KEYS.index("model")
        targets: dict[str, set[str]] = {}
        for number in np.unique(found.predictions.series).tolist():
            model = found.series[number][model_at] or ""
            targets.setdefault(model, {self._config.model(model).primary_target})
        for number, target in zip(
            found.outcomes.series.tolist(), found.outcomes.target, strict=True
        ):
            targets.setdefault(found.series[number][model_at] or "", set()).add(target)
        return targets
