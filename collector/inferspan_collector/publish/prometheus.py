"""`/metrics`: what arrived, how good it was, what is promised, and how we are.

What ever arrived is counted by counters that only grow; the state after corrections, by the
predictions' own time, is shown by gauges, because it may fall. `docs/metrics.md` lists every
series.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator
from typing import Final

import duckdb
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferspan_collector.config import Config
from inferspan_collector.publish.jaeger_names import UNKNOWN_SERVICE, safe_name, service_names
from inferspan_collector.publish.metrics import configured, openmetrics, own
from inferspan_collector.publish.metrics.arrivals import Arrivals
from inferspan_collector.publish.metrics.families import Folding, Labels, gauge
from inferspan_collector.publish.metrics.row_figures import RowFigures
from inferspan_collector.publish.metrics.stages import Stages
from inferspan_collector.publish.metrics.windows import TARGETED, Windows
from inferspan_collector.store.cells import SERIES_KEYS
from inferspan_collector.store.reader import Reader
from inferspan_collector.submission import Queries
from inferspan_collector.telemetry import CONTAINED, Telemetry

_MODEL = SERIES_KEYS.index("model")
_SERVICE = SERIES_KEYS.index("service")
_OPENMETRICS: Final = "application/openmetrics-text; version=1."
_RENAMING: Final = ("escaping=dots", "escaping=values")
"""Whoever asks for these wants names of ours written otherwise, too."""
_logger = logging.getLogger(__name__)


def routes(
    queries: Queries, telemetry: Telemetry, config: Config, figures: RowFigures | None = None
) -> list[Route]:
    """The route of `/metrics`, to be mounted at the root of the API port.

    Args:
        queries: of the store.
        telemetry: our own counters.
        config: what is shown, and limits.
        figures: those that need rows, which somebody else makes.
    """
    return served(Exposition(queries, telemetry, config, figures))


def served(exposition: Exposition) -> list[Route]:
    """The route of `/metrics`, of an exposition that others show as well."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exposition)
    ProcessCollector(registry=registry)

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        if content_type.startswith(_OPENMETRICS) and not content_type.endswith(_RENAMING):
            text = openmetrics.written(registry.collect())
        else:
            text = encode(registry)
        return Response(text, headers={"Content-Type": content_type})

    return [Route("/metrics", metrics, methods=["GET"])]


class Exposition(Collector):
    """Asks the store at every scrape, as its last transaction left it: that keeps nobody waiting.

    Holds what arrived since the process started, and which series of a counter have their place.
    """

    def __init__(
        self,
        queries: Queries,
        telemetry: Telemetry,
        config: Config,
        figures: RowFigures | None = None,
    ) -> None:
        self._queries = queries
        self._figures = figures
        self._telemetry = telemetry
        self._config = config
        self._folding = Folding(telemetry)
        self._windows = Windows(config, self._folding)
        self._stages = Stages(config, self._folding)
        self._arrivals: Arrivals | None = None
        with contextlib.suppress(duckdb.Error):
            self._begin()  # else at the first scrape, which says so

    def collect(self) -> Iterator[Metric]:
        """All metrics at one moment; what the store cannot answer is left out and counted."""
        from_store: list[Metric] = []
        try:
            from_store += self._from_store()
        except Exception:
            # Our own counters matter most when the store is in trouble.
            _logger.exception("the store did not answer a scrape")
            from_store.clear()
            self._telemetry.add(CONTAINED, where="metrics")
        yield from own.counters(self._telemetry)
        yield from own.gauges(self._telemetry)
        yield from from_store

    def _begin(self) -> Arrivals:
        if self._arrivals is None:
            self._arrivals = Arrivals(
                self._queries.stored, self._config, self._folding, self._telemetry.slow_calls
            )
        return self._arrivals

    def _from_store(self) -> Iterator[Metric]:
        reader, now_ns = self._queries.stored, self._queries.now_ns()
        arrivals = self._begin()
        yield from arrivals.families(reader, now_ns)
        yield _newest_labels(arrivals)
        yield from self._stages.families(reader)
        figures, room = self._figures, self._config.limits.metric_series
        beside = () if figures is None else figures.scores()
        weighed = () if figures is None else figures.weighed()
        yield from self._windows.families(reader, now_ns, beside, weighed)
        if figures is not None:
            yield from figures.families(room, self._folding)
        series = reader.series()
        yield from configured.families(self._config, {texts[_MODEL] or "" for texts in series})
        if self._config.jaeger.ui is not None:
            services = _safe_services(reader, {texts[_SERVICE] or "" for texts in series})
            yield configured.evaluation_services(services, room, self._folding)
        yield from own.held(reader, now_ns, room, self._folding)
        yield from own.sizes(reader.sizes())


def _safe_services(reader: Reader, originals: Collection[str]) -> dict[str, str]:
    """Each service → its name in Jaeger, as its evaluation spans have it; "" = none given."""
    names = service_names(originals)
    if any(name != (safe_name(text) if text else UNKNOWN_SERVICE) for text, name in names.items()):
        # Two would have one name. Spans tell apart those that still have predictions, which is much
        # work to find out; where no two of all collide, no two of some do.
        names = service_names(each for model in reader.models() for each in model.services)
    return {name: names.get(name) or safe_name(name) for name in originals}


def _newest_labels(arrivals: Arrivals) -> Metric:
    """When the newest label that joined was received, whatever the service and the variant."""
    newest: dict[Labels, float] = {}
    for (environment, _, model, version, _, target), received in arrivals.newest_labels().items():
        key = (environment, model, version, target)
        newest[key] = max(newest.get(key, 0.0), received / 1e9)
    return gauge(
        "inferspan_label_newest_timestamp_seconds",
        "When the newest label that joined was received (Unix time).",
        TARGETED,
        newest,
    )
