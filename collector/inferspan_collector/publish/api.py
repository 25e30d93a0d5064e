"""The JSON API: models, their quality, single predictions. `docs/api.md` shows each answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from inferspan_collector.config import Config
from inferspan_collector.problems import problem
from inferspan_collector.publish import learning
from inferspan_collector.publish.answering import JsonAnswer, at_one_moment, model_asked
from inferspan_collector.publish.measuring import INCLUDE, PER_CLASS, WINDOWS_MAX, measurements
from inferspan_collector.publish.notes import notes
from inferspan_collector.publish.parameters import (
    COARSER,
    MINUTES,
    SLICE_PARAMETER,
    WINDOWS_LIMIT,
    choice,
    choices,
    given,
    group_keys,
    minutes_range,
    rfc3339,
    slice_filter,
    too_many,
    whole_number,
)
from inferspan_collector.publish.quality_json import (
    CLASS_ROWS_MAX,
    Rest,
    class_rows,
    default_average,
    shows_each_class,
    windows_json,
)
from inferspan_collector.quality import weighing
from inferspan_collector.quality.counted_windows import CountedWindows, counted
from inferspan_collector.quality.figure import AVERAGES
from inferspan_collector.quality.objective import Objective
from inferspan_collector.store.cells import (
    MINUTE_NS,
    CellQuery,
    ModelSummary,
    PredictionRow,
)
from inferspan_collector.store.reader import Reader
from inferspan_collector.store.row_queries import OUTCOMES
from inferspan_collector.submission import Queries

PREDICTIONS_DEFAULT: Final = 20
PREDICTIONS_MAX: Final = 1_000
MATRIX_CELLS_MAX: Final = 1_000_000
"""Cells of all confusion matrices of one answer: windows × groups × classes²."""

QUALITY_PARAMETERS: Final = (
    "every",
    "from",
    "to",
    "target",
    "environment",
    "service",
    "version",
    "by",
    "average",
    *learning.PARAMETERS,
    "include",
)
PREDICTIONS_PARAMETERS: Final = (
    "outcome",
    "limit",
    "from",
    "to",
    "target",
    "environment",
    "service",
    "version",
    "predicted",
    "expected",
    SLICE_PARAMETER,
)
ENDPOINTS: Final = """\
inferspan collector

GET  /                                     a page for browsers, this list for programs
GET  /api/v1/models                        models, their versions and how much of them is labelled
GET  /api/v1/models/{model}/quality        figures per window and group
GET  /api/v1/models/{model}/compare        one version or variant against another
GET  /api/v1/models/{model}/estimates      figures before their labels come, beside the truth
GET  /api/v1/models/{model}/drift          what changed since the reference
GET  /api/v1/models/{model}/stages         how long stages and phases of calls took
GET  /api/v1/models/{model}/baselines      what it was like on files of labelled predictions
GET  /api/v1/models/{model}/predictions    single predictions: mistakes, unlabelled, failed
POST /v1/labels                            labels as newline-delimited JSON
POST /api/v1/baselines                     keep one; .../remove removes it
POST /api/v1/forget                        erase the rows of a prediction id
POST /api/v1/backup                        copy the store into a directory of this machine
GET  /metrics                              Prometheus and OpenMetrics
GET  /jaeger/quality-metrics               Jaeger's Model Quality page
GET  /jaeger/prometheus/api/v1/query_range Jaeger's Monitor tab
GET  /healthz  /readyz                     alive; able to answer
"""


def routes(queries: Queries, config: Config) -> list[Route]:
    """The API's routes, to be mounted at the root of the API port.

    Handlers are synchronous, so that Starlette runs them, and the store's reads, in threads.

    Args:
        queries: where the reader is; read at every request.
        config: models (positive class, primary target) and limits.
    """
    api = _Api(queries, config)
    return [
        Route("/", endpoints, methods=["GET"]),
        Route("/healthz", api.alive, methods=["GET"]),
        Route("/readyz", api.ready, methods=["GET"]),
        Route("/api/v1/models", api.models, methods=["GET"]),
        # `path`, because a model's name may hold slashes: servers decode %2F before we see it.
        Route("/api/v1/models/{model:path}/quality", api.quality, methods=["GET"]),
        Route("/api/v1/models/{model:path}/predictions", api.predictions, methods=["GET"]),
    ]


def endpoints(request: Request) -> Response:
    """What there is, as text."""
    return PlainTextResponse(ENDPOINTS)


class _Api:
    """The handlers; nothing but the two arguments of `routes` is held."""

    def __init__(self, queries: Queries, config: Config) -> None:
        self._queries = queries
        self._config = config

    def alive(self, request: Request) -> Response:
        failure = self._queries.failure
        if failure.done() and not failure.cancelled():
            detail = f"the store has closed itself ({failure.result()}); start the collector again"
            return problem(503, "Store closed", detail, headers={"Retry-After": "5"})
        return JSONResponse({"status": "alive"})

    def ready(self, request: Request) -> Response:
        if not self._queries.alive:
            return _not_ready("the writer does not run, so nothing that is sent gets an answer")
        try:
            self._queries.stored.ping()
        except Exception as error:
            # Whatever it is, a balancer must learn that we cannot answer.
            return _not_ready(f"the store cannot be read: {error}")
        return JSONResponse({"status": "ready"})

    def models(self, request: Request) -> Response:
        def answer(reader: Reader) -> Response:
            given(request, ())
            labelled = reader.labelled()
            return JsonAnswer(
                [
                    _model_json(model, labelled.get(model.model, {}), self._config)
                    for model in reader.models()
                ]
            )

        return at_one_moment(self._queries, answer)

    def quality(self, request: Request) -> Response:
        return at_one_moment(self._queries, lambda reader: self._quality(request, reader))

    def predictions(self, request: Request) -> Response:
        return at_one_moment(self._queries, lambda reader: self._predictions(request, reader))

    def _quality(self, request: Request, reader: Reader) -> Response:
        values = given(request, QUALITY_PARAMETERS)
        every = choice(values, "every", MINUTES) or "all"
        average = choice(values, "average", AVERAGES)
        include = choices(values, "include", INCLUDE)
        by = group_keys(values)
        asked_start, asked_end = minutes_range(values)
        model = model_asked(request, reader.models())
        section = self._config.model(model.model)
        target = values.get("target", section.primary_target)
        query = CellQuery(
            model=model.model,
            service=values.get("service"),
            environment=values.get("environment"),
            version=values.get("version"),
            target=target,
            start=asked_start,
            end=asked_end,
            every=MINUTES[every],
            by=by,
        )
        windows_max = self._config.limits.query_windows
        # Nothing lies outside what was seen, so an open end means the model's own.
        seen = model.first_seen // MINUTE_NS, model.last_seen // MINUTE_NS + 1
        ends = (seen[0] if query.start is None else query.start, query.end or seen[1])
        # Counted where they lie: a range of minutes can be long, its answer longer.
        possible = replace(query, start=ends[0], end=ends[1])
        occupied = reader.count_windows(possible, windows_max)
        if occupied > windows_max:
            raise too_many(every, occupied, "windows × groups", windows_max, setting=WINDOWS_LIMIT)
        counts = counted(reader, query)
        _check_classes(every, counts, include)
        positive = section.canonical(section.positive_class)
        average = average or default_average(counts.declared(), positive)
        limits = self._config.limits

        def shown(asked: CellQuery, of: CountedWindows) -> list[dict[str, Any]]:
            measured = measurements(reader, asked, of, section, limits.query_rows)
            weighs = weighing.weighed(reader, asked, of, limits.query_rows)
            rest = Rest(measured, include, section.minimum_n, weighs)
            return windows_json(asked, of, average or "", positive, seen, rest)

        windows = shown(query, counts)
        implied = reader.implied(query)
        for key, window in zip(counts.keys, windows, strict=True):
            window["implied"] = implied.get(key, 0)
        if (milliseconds := section.latency_objective_ms) is not None:
            objective = Objective(milliseconds * 1e6, section.latency_objective_share)
            became = objective.of(counts.durations, len(counts))
            for window, said in zip(windows, became, strict=True):
                window["latency"]["objective"] = said
        answer: dict[str, Any] = {
            "model": model.model,
            "target": target,
            "every": every,
            "average": average,
            "notes": [*self._notes(reader, values, model, by), *_left_out(counts, include)],
            "windows": windows,
        }

        def then(start: int | None, end: int | None) -> list[dict[str, Any]]:
            asked = replace(query, start=start, end=end)
            return shown(asked, counted(reader, asked))

        known = learning.baselines(reader, values, model.model, target, windows)
        return JsonAnswer(answer | learning.judged(windows, values, section, known, then))

    def _predictions(self, request: Request, reader: Reader) -> Response:
        values = given(request, PREDICTIONS_PARAMETERS)
        outcome = choice(values, "outcome", OUTCOMES)
        limit = whole_number(values, "limit", PREDICTIONS_DEFAULT, PREDICTIONS_MAX)
        start, end = minutes_range(values)
        slices = slice_filter(values)
        model = model_asked(request, reader.models())
        target = values.get("target", self._config.model(model.model).primary_target)
        rows = reader.predictions(
            model.model,
            service=values.get("service"),
            target=target,
            outcome=outcome,
            environment=values.get("environment"),
            version=values.get("version"),
            predicted=values.get("predicted"),
            expected=values.get("expected"),
            slices=slices,
            start_ns=None if start is None else start * MINUTE_NS,
            end_ns=None if end is None else end * MINUTE_NS,
            limit=limit,
        )
        return JsonAnswer(
            {
                "model": model.model,
                "target": target,
                "outcome": outcome,
                "notes": self._notes(reader, values, model),
                "predictions": [_prediction_json(row) for row in rows],
            }
        )

    def _notes(
        self,
        reader: Reader,
        values: dict[str, str],
        model: ModelSummary,
        by: tuple[str, ...] = (),
    ) -> list[str]:
        return notes(values, model, self._config.model(model.model), reader, by)


def _not_ready(detail: str) -> Response:
    headers = {"Retry-After": "1"}
    return problem(503, "Not ready", f"{detail}; the log says more", headers=headers)


def _check_classes(every: str, counts: CountedWindows, include: tuple[str, ...]) -> None:
    """Few windows may hold very many classes.

    Raises:
        BadParameter: more than an answer may hold.
    """
    matrix_cells = int((counts.present().sum(axis=1) ** 2).sum())
    if matrix_cells > MATRIX_CELLS_MAX:
        raise too_many(every, matrix_cells, "cells of confusion matrices", MATRIX_CELLS_MAX)
    if PER_CLASS in include and (n := class_rows(counts)) > CLASS_ROWS_MAX:
        remedy = f"{COARSER}, or leave out include=per_class"
        raise too_many(every, n, "classes of windows × groups", CLASS_ROWS_MAX, remedy=remedy)


def _left_out(windows: CountedWindows, include: tuple[str, ...]) -> list[str]:
    """What very many windows, or very many classes, do not show."""
    n, remedy = len(windows), "ask for a coarser `every`, or a shorter time"
    left = []
    if n > WINDOWS_MAX:
        most = f"figures of scores and numbers are made for at most {WINDOWS_MAX}"
        left.append(f"{n} windows × groups: {most}; {remedy}")
    if not shows_each_class(windows, include):
        rows = class_rows(windows)
        shown = f"at most {CLASS_ROWS_MAX} are; {remedy}"
        if rows <= CLASS_ROWS_MAX:
            shown = "unless include=per_class asks for them"
        left.append(f"figures of {rows} classes of windows × groups are not shown, {shown}")
    return left


def _model_json(model: ModelSummary, labelled: Mapping[str, int], config: Config) -> dict[str, Any]:
    section = config.model(model.model)
    configured = section.model_dump(include={"owner", "description", "runbook"}, exclude_none=True)
    return {
        "model": model.model,
        "versions": model.versions,
        "services": model.services,
        "environments": model.environments,
        "targets": sorted(labelled),
        "first_seen": rfc3339(model.first_seen),
        "last_seen": rfc3339(model.last_seen),
        "predictions": model.predictions,
        "labeled": labelled.get(section.primary_target, 0),
        "time_axis": config.time_axis(model.model),
        **configured,
    }


def _prediction_json(row: PredictionRow) -> dict[str, Any]:
    return {
        "prediction_id": row.prediction_id,
        "index": row.index,
        "trace_id": row.trace_id,
        "span_id": row.span_id,
        "environment": row.environment,
        "service": row.service,
        "version": row.version,
        "variant": row.variant,
        "predicted": row.predicted,
        "score": _finite(row.score),
        "value": _finite(row.value),
        "expected": row.expected,
        "correct": row.correct,
        "error_type": row.error_type,
        "time": rfc3339(row.event_time),
        "duration": row.duration / 1e9,
        "label_time": None if row.label_time is None else rfc3339(row.label_time),
        "implied": row.implied,
        "slices": row.slices,
    }


def _finite(number: float | None) -> float | None:
    """JSON knows neither NaN nor infinities; a model may well answer them."""
    return number if number is not None and math.isfinite(number) else None
