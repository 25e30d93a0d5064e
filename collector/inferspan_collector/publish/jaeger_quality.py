"""Jaeger's Model Quality page: exact figures, with example traces behind every count.

The page is dormant in every Jaeger since v1.x; `ui.json` wakes it and points it here. The browser
fetches the reply, so `receivers/guard.py` lets the origin of `jaeger.ui` read this one path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inferspan_collector.config import Config
from inferspan_collector.publish import jaeger_quality_banner as banner
from inferspan_collector.publish import jaeger_quality_metrics as metrics
from inferspan_collector.publish import jaeger_quality_tables as tables
from inferspan_collector.publish.jaeger_names import UNKNOWN_SERVICE, Meaning, Names, meanings
from inferspan_collector.publish.metrics.noticed import Noticed, Notices
from inferspan_collector.publish.parameters import BadParameter, whole_number
from inferspan_collector.quality.counted_windows import grouped_counts
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.store.cells import MINUTE_NS, CellQuery, PredictionRow
from inferspan_collector.store.reader import Reader
from inferspan_collector.submission import Queries

PATH: Final = "/jaeger/quality-metrics"
HOURS_DEFAULT: Final = 48
"""What Jaeger's page asks for."""
HOURS_MAX: Final = 400 * 24


def routes(queries: Queries, config: Config, notices: Notices) -> list[Route]:
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
            said = reply(
                reader, config, notices, service, hours, queries.now_ns(), str(request.base_url)
            )
        return JSONResponse(said)

    return [Route(PATH, quality_metrics, methods=["GET"])]


def reply(
    reader: Reader,
    config: Config,
    notices: Notices,
    service: str,
    hours: int,
    now_ns: int,
    base_url: str,
) -> dict[str, Any]:
    """What the page draws of one service.

    Args:
        reader: the store.
        config: targets and objectives of models.
        notices: alerts and drift; they are of the newest window, whatever `hours` says.
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
        for model in models[: banner.MODELS_SHOWN_MAX]
        if (view := model_view(reader, config, names, model, window, notices(model))) is not None
    ]
    shown = original or UNKNOWN_SERVICE
    return _page(base_url, views, banner.words(reader, shown, models, views, hours, now_ns))


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
    reader: Reader, config: Config, names: Names, model: str, window: Window, noticed: Noticed
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
        noticed=noticed,
        sample=some,
    )


def _page(base_url: str, views: list[metrics.ModelView], said: str) -> dict[str, Any]:
    def link(view: metrics.ModelView) -> str:
        return f"{base_url}api/v1/models/{quote(view.model, safe='')}/quality?every=all&by=version"

    page: dict[str, Any] = {
        "traceQualityDocumentationLink": f"{base_url}api/v1/models",
        "scores": metrics.scores(views),
        "metrics": [metric for view in views for metric in metrics.metrics(view, link(view))],
        "clients": [client for view in views for client in metrics.clients(view)],
    }
    if said:
        page["bannerText"] = {
            "value": said,
            "styling": {
                "background": tables.BAD,
                "color": "#8a1f2b",
                "fontSize": "15px",
                "padding": "6px 12px",
            },
        }
    return page
