"""`GET /api/v1/models/{model}/stages`: how long the steps of predictions took, window by window."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferspan_collector.config import Config
from inferspan_collector.latency_sketch import quantiles_ns
from inferspan_collector.publish.answering import JsonAnswer, at_one_moment, model_asked
from inferspan_collector.publish.notes import notes
from inferspan_collector.publish.parameters import (
    MINUTES,
    WINDOWS_LIMIT,
    BadParameter,
    choice,
    given,
    group_keys,
    minutes_range,
    too_many,
)
from inferspan_collector.publish.window_ends import window_ends
from inferspan_collector.quality.latency import QUANTILES
from inferspan_collector.store.cell_queries import SLICE
from inferspan_collector.store.cells import (
    MINUTE_NS,
    CellQuery,
    Group,
    PredictionCells,
    StageCells,
)
from inferspan_collector.store.reader import Reader
from inferspan_collector.submission import Queries
from inferspan_collector.telemetry import OTHER

PATH: Final = "/api/v1/models/{model:path}/stages"
_KNOWN: Final = ("every", "from", "to", "environment", "service", "version", "by")
_Window = tuple[int, Group]
_Step = tuple[str, str]


def routes(queries: Queries, config: Config) -> list[Route]:
    """The route, to be mounted at the root of the API port."""

    def stages(request: Request) -> Response:
        return at_one_moment(queries, lambda reader: _stages(request, reader, config))

    return [Route(PATH, stages, methods=["GET"])]


def _stages(request: Request, reader: Reader, config: Config) -> Response:
    values = given(request, _KNOWN)
    every = choice(values, "every", MINUTES) or "all"
    by = group_keys(values)
    if any(key.startswith(SLICE) for key in by):
        raise BadParameter(
            "by", values["by"], "stages are counted without slices", "group by keys of the model"
        )
    start, end = minutes_range(values)
    model = model_asked(request, reader.models())
    query = CellQuery(
        model=model.model,
        service=values.get("service"),
        environment=values.get("environment"),
        version=values.get("version"),
        start=start,
        end=end,
        every=MINUTES[every],
        by=by,
    )
    predictions = _by_window(reader.prediction_cells(query))
    runs = reader.stage_cells(query)
    # A prediction that another has superseded counts no more; runs of its steps do.
    windows = sorted(
        set(predictions) | set(zip(runs.window.tolist(), runs.groups, strict=True)), key=_order
    )
    n, windows_max = len(windows), config.limits.query_windows
    if n > windows_max:
        raise too_many(every, n, "windows × groups", windows_max, setting=WINDOWS_LIMIT)
    seen = model.first_seen // MINUTE_NS, model.last_seen // MINUTE_NS + 1
    steps = _steps(runs)
    return JsonAnswer(
        {
            "model": model.model,
            "every": every,
            "notes": notes(values, model, config.model(model.model), reader, by),
            "windows": [
                {
                    **_ends(query, window[0], seen),
                    "group": dict(zip(by, window[1], strict=True)),
                    "predictions": predictions.get(window, 0),
                    "stages": [
                        _step_json(runs, step, rows, predictions.get(window, 0))
                        for step, rows in sorted(steps[window].items())
                    ],
                }
                for window in windows
            ],
        }
    )


def _ends(query: CellQuery, window: int, seen: tuple[int, int]) -> dict[str, str]:
    start, end = window_ends(query, window, seen)
    return {"start": start, "end": end}


def _order(window: _Window) -> tuple[int, tuple[str, ...]]:
    return window[0], tuple(text or "" for text in window[1])


def _by_window(cells: PredictionCells) -> dict[_Window, int]:
    found: dict[_Window, int] = defaultdict(int)
    for window, group, n in zip(cells.window.tolist(), cells.groups, cells.n.tolist(), strict=True):
        found[window, group] += n
    return dict(found)


def _steps(runs: StageCells) -> dict[_Window, dict[_Step, list[int]]]:
    """The cells of each step, by window."""
    found: dict[_Window, dict[_Step, list[int]]] = defaultdict(lambda: defaultdict(list))
    keys = zip(runs.window.tolist(), runs.groups, runs.stage, runs.phase, strict=True)
    for row, (window, group, stage, phase) in enumerate(keys):
        found[window, group][stage, phase].append(row)
    return found


def _step_json(runs: StageCells, step: _Step, rows: list[int], predictions: int) -> dict[str, Any]:
    stage, phase = step
    at = np.array(rows)
    n, covered = int(runs.n[at].sum()), int(runs.covered[at].sum())
    # Of the steps that share one name it is not known which prediction has which.
    shared = stage == OTHER
    return {
        "stage": stage or None,
        "phase": phase or None,
        "n": n,
        "predictions": None if shared else covered,
        "coverage": None if shared or not predictions else covered / predictions,
        "mean": float(runs.duration_ns[at].sum()) / n / 1e9,
        **_quantiles(runs.bucket[at], runs.n[at]),
    }


def _quantiles(buckets: NDArray[np.int16], n: NDArray[np.int64]) -> dict[str, float]:
    numbers, places = np.unique(buckets, return_inverse=True)
    counts = np.bincount(places, n).astype(np.int64)
    values = quantiles_ns(numbers, counts, tuple(QUANTILES.values())) or ()
    return {name: ns / 1e9 for name, ns in zip(QUANTILES, values, strict=True)}
