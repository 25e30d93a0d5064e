"""Jaeger's Model Quality page: exact figures, with example traces behind every count.

The page is dormant in every Jaeger since v1.x; `ui.json` wakes it and points it here. The browser
fetches the reply, so `receivers/guard.py` lets the origin of `jaeger.ui` read this one path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inferspan_collector.config import Config
from inferspan_collector.publish import jaeger_quality_metrics as metrics
from inferspan_collector.publish import jaeger_quality_tables as tables
from inferspan_collector.publish.jaeger_names import UNKNOWN_SERVICE, Meaning, Names, meanings
from inferspan_collector.publish.parameters import BadParameter, whole_number
from inferspan_collector.quality.counted_windows import grouped_counts
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.store import unmatched
from inferspan_collector.store.cells import MINUTE_NS, CellQuery, PredictionRow
from inferspan_collector.store.reader import Reader
from inferspan_collector.submission import Queries

PATH: Final = "/jaeger/quality-metrics"
HOURS_DEFAULT: Final = 48
"""What Jaeger's page asks for."""
HOURS_MAX: Final = 400 * 24
MODELS_SHOWN_MAX: Final = 10


def routes(queries: Queries, config: Config) -> list[Route]:
    """`GET /jaeger/quality-metrics?service=&hours=`."""

    def quality_metrics(request: Request) -> Response:
        try:
            hours = whole_number(request.query_params, "hours", HOURS_DEFAULT, HOURS_MAX)
            service = request.query_params.get("service", "")
            if not service:
                raise BadParameter("service", service, "a service is needed", "Jaeger's page picks")
        except BadParameter as error:
            return error.response()
        with queries.reader.at_one_moment() as reader:
            said = reply(reader, config, service, hours, queries.now_ns(), str(request.base_url))
        return JSONResponse(said)

    return [Route(PATH, quality_metrics, methods=["GET"])]


def reply(
    reader: Reader, config: Config, service: str, hours: int, now_ns: int, base_url: str
) -> dict[str, Any]:
    """What the page draws of one service.

    Args:
        reader: the store.
        config: targets and objectives of models.
        service: as Jaeger names it, with or without `-quality`.
        hours: how far to look back, by the time of the prediction.
        now_ns: the present, Unix ns.
        base_url: of our API, ending in `/`; links point there.
    """
    summaries = reader.models()
    known = {name for summary in summaries for name in summary.services}
    original = meanings(known).get(service, Meaning()).service
    if original is None:
        return _page(base_url, [], f"inferspan has seen no prediction of the service {service}.")
    last = now_ns // MINUTE_NS + 1
    window = Window(original, last - hours * 60, last)
    models = [summary.model for summary in summaries if original in summary.services]
    if not original:
        models = _models_without_service(reader, window)
    names = Names.of(summaries)
    views = [
        view
        for model in models[:MODELS_SHOWN_MAX]
        if (view := model_view(reader, config, names, model, window)) is not None
    ]
    shown = original or UNKNOWN_SERVICE
    return _page(base_url, views, _banner(reader, shown, models, views, hours, now_ns))


@dataclass(frozen=True, slots=True)
class Window:
    """Which predictions: a service's ("" = those without one), in Unix minutes [start, end)."""

    service: str
    start: int
    end: int


def _models_without_service(reader: Reader, window: Window) -> list[str]:
    cells = reader.prediction_cells(
        CellQuery(service="", start=window.start, end=window.end, by=("model",))
    )
    return sorted({model for (model,) in cells.groups if model is not None})


def model_view(
    reader: Reader, config: Config, names: Names, model: str, window: Window
) -> metrics.ModelView | None:
    """Everything the page shows of one model, or None if it predicted nothing in the window."""
    target = config.model(model).primary_target

    def counted(by: str) -> dict[str | None, Counts]:
        cells = grouped_counts(
            reader,
            CellQuery(
                model=model,
                service=window.service,
                target=target,
                start=window.start,
                end=window.end,
                by=(by,),
            ),
        )
        return {group[0]: counts for (_, group), counts in cells.items()}

    def some(outcome: str | None, limit: int, expected: str | None = None) -> list[PredictionRow]:
        return reader.predictions(
            model,
            service=window.service,
            target=target,
            outcome=outcome,
            expected=expected,
            start_ns=window.start * MINUTE_NS,
            end_ns=window.end * MINUTE_NS,
            limit=limit,
        )

    by_version = counted("version")
    counts = merged(by_version.values())
    if counts.predictions == 0:
        return None
    newest = some(None, metrics.SAMPLE_ROWS)
    mistakes = some("incorrect", metrics.SAMPLE_ROWS)
    keys = sorted({key for row in (*newest, *mistakes) for key in row.slices})
    by_slice = {
        tables.slice_name(key, value): slice_counts
        for key in keys
        for value, slice_counts in counted(f"slice.{key}").items()
        if value is not None
    }
    shown: dict[str, Counts] = {}
    for version, version_counts in by_version.items():
        name = names.version(model, version)
        shown[name] = shown.get(name, Counts()) + version_counts
    return metrics.ModelView(
        model=model,
        names=names,
        settings=config.model(model),
        counts=counts,
        by_version=shown,
        by_slice=by_slice,
        newest=newest,
        mistakes=mistakes,
        sample=some,
    )


def _page(base_url: str, views: list[metrics.ModelView], banner: str) -> dict[str, Any]:
    def link(view: metrics.ModelView) -> str:
        return f"{base_url}api/v1/models/{quote(view.model, safe='')}/quality?every=all&by=version"

    page: dict[str, Any] = {
        "traceQualityDocumentationLink": f"{base_url}api/v1/models",
        "scores": metrics.scores(views),
        "metrics": [metric for view in views for metric in metrics.metrics(view, link(view))],
        "clients": [client for view in views for client in metrics.clients(view)],
    }
    if banner:
        page["bannerText"] = {
            "value": banner,
            "styling": {
                "background": tables.BAD,
                "color": "#8a1f2b",
                "fontSize": "15px",
                "padding": "6px 12px",
            },
        }
    return page


def _banner(
    reader: Reader,
    service: str,
    names: list[str],
    views: list[metrics.ModelView],
    hours: int,
    now_ns: int,
) -> str:
    """What is worth a word before any figure; empty when there is nothing."""
    words = []
    if not views:
        words.append(f"{service} predicted nothing in the last {hours} hours.")
    words += [
        f"No label has arrived for {view.model} yet: its accuracy is not known."
        for view in views
        if view.counts.labelled == 0
    ]
    waiting: Mapping[str, int] = reader.waiting_labels(now_ns - unmatched.AFTER_NS)
    words += [
        f"Labels of {name} that match no prediction: {waiting[name]}."
        for name in names
        if waiting.get(name)
    ]
    if len(names) > MODELS_SHOWN_MAX:
        words.append(f"{MODELS_SHOWN_MAX} of {len(names)} models are shown.")
    return " ".join(words)
