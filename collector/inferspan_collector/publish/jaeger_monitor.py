"""Jaeger's Monitor tab without Prometheus: its three questions, answered from the store.

Figures stand at the minute of the prediction, with late and corrected labels applied, which
counters scraped on arrival cannot do; evaluations of models with `time_axis: label_arrival` at the
minute in which the label came. The value at time t counts the events of the whole minutes
before t that the range covers; nothing is extrapolated, and 0 ÷ 0 gives no point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

import numpy as np
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inferspan_collector.batches import Int64
from inferspan_collector.config import Config
from inferspan_collector.latency_sketch import bucket_values_ns
from inferspan_collector.publish.jaeger_names import Meaning, Names, meanings
from inferspan_collector.publish.monitor_rows import (
    Durations,
    Minutes,
    Row,
    evaluation_rows,
    operation_durations,
    operation_rows,
)
from inferspan_collector.publish.monitor_upstream import (
    Points,
    Series,
    Upstream,
    UpstreamError,
)
from inferspan_collector.publish.promql import (
    QUERY_LENGTH_MAX,
    MonitorQuery,
    UnknownQuery,
    duration_seconds,
    parse,
)
from inferspan_collector.store.cells import QueryError
from inferspan_collector.store.reader import Reader
from inferspan_collector.submission import Queries
from inferspan_collector.telemetry import Telemetry

PATH = "/jaeger/prometheus/api/v1/query_range"
BODY_BYTES_MAX = 4 * QUERY_LENGTH_MAX
MINUTES_MAX = 14 * 24 * 60
"""How far one question may reach; Jaeger's own reaches two days."""
MINUTE_MS = 60_000
YEAR_9999_MS = 253_370_764_800_000
SERIES_MAX = 50
"""Rows of one service in one answer, the busiest ones: a table of more is no help in a browser."""

Values = tuple[str | None, NDArray[np.float64]]
"""A row's operation (None = the whole service) and its value at each time, NaN = no point."""


@dataclass(frozen=True, slots=True)
class Grid:
    """When values are asked for, in Unix ms: start, start + step, … up to end."""

    start: int
    end: int
    step: int

    @property
    def times(self) -> NDArray[np.int64]:
        """Every time of the grid."""
        return np.arange(self.start, self.end + 1, self.step, dtype=np.int64)


def routes(queries: Queries, config: Config, telemetry: Telemetry) -> list[Route]:
    """The one path of Prometheus' API that Jaeger asks, by POST or GET."""
    settings = config.jaeger
    upstream = settings.monitor_upstream and Upstream(
        settings.monitor_upstream, settings.monitor_upstream_token_file, telemetry
    )

    async def query_range(request: Request) -> Response:
        try:
            fields = await _fields(request)
            query = parse(fields.get("query", ""))
            grid = _grid(fields, config.limits.query_windows)
            result = await run_in_threadpool(
                answer, queries.reader, config, query, grid, upstream or None
            )
        except (UnknownQuery, QueryError) as error:
            return _refusal(400, "bad_data", error)
        except UpstreamError as error:
            return _refusal(503, "unavailable", error)
        return JSONResponse(
            {"status": "success", "data": {"resultType": "matrix", "result": result}}
        )

    return [Route(PATH, query_range, methods=["GET", "POST"])]


def _refusal(status: int, kind: str, error: Exception) -> Response:
    return JSONResponse(
        {"status": "error", "errorType": kind, "error": str(error)}, status_code=status
    )


def answer(
    reader: Reader,
    config: Config,
    query: MonitorQuery,
    grid: Grid,
    upstream: Upstream | None = None,
) -> list[dict[str, object]]:
    """Answer one question.

    Services that are not ours are the upstream's alone, `-quality` twins ours alone. A service
    with predictions may serve more than those: its operations are ours and, under other names, the
    upstream's; its total stays the upstream's where that has one, so that it is what it was.

    Args:
        reader: the store.
        config: limits and names.
        query: the question.
        grid: when its values are wanted.
        upstream: the Prometheus behind us, if there is one.

    Returns:
        The `result` of a Prometheus matrix; a series without points is left out.

    Raises:
        UnknownQuery: it reaches over more than `MINUTES_MAX`.
        UpstreamError: nothing asked for is ours, and the upstream does not answer.
    """
    times = grid.times
    ends = times // MINUTE_MS
    # Cells are minutes: a shorter range could only ever see one whole one.
    length = max(1, math.ceil(query.range_seconds / 60))
    minutes = Minutes(int(ends[0]) - length, int(ends[-1]))
    if minutes.last - minutes.first > MINUTES_MAX:
        raise UnknownQuery(
            f"{minutes.last - minutes.first} minutes are asked for and {MINUTES_MAX} may be; ask "
            "for less"
        )
    windows = Windows(minutes, ends, length)
    models = reader.models()
    names = Names.of(models)
    known = meanings(service for model in models for service in model.services)

    def wanted(kind: str) -> bool:
        return not query.kinds or kind in query.kinds

    # As they stand, or, should Jaeger begin to escape them, without the backslashes.
    services = list(dict.fromkeys(n if n in known else n.replace("\\", "") for n in query.services))
    theirs = _theirs(upstream, query, grid, services, known)
    result: list[dict[str, object]] = []
    for name in services:
        meaning = known.get(name, Meaning())
        if query.measure == "latency":
            series = _latencies(
                _durations(reader, config, meaning, minutes, wanted), query, windows
            )
        else:
            series = _rates(_rows(reader, config, meaning, minutes, wanted, names), query, windows)
        ours = {operation: _points(times, values) for operation, values in series}
        others = {one.operation: one.points for one in theirs if one.service == name}
        total = {None: others[None]} if None in others else {}
        result += [
            _series(name, operation, points)
            for operation, points in (others | ours | total).items()
            if points
        ]
    return result


def _theirs(
    upstream: Upstream | None,
    query: MonitorQuery,
    grid: Grid,
    services: Sequence[str],
    known: Mapping[str, Meaning],
) -> list[Series]:
    """What the upstream says, of all services but the twins that only we can know."""
    asked = [name for name in services if name not in known or known[name].predictions is not None]
    if upstream is None:
        return []
    try:
        return upstream.ask(query, asked, grid.start, grid.end, grid.step)
    except UpstreamError:
        if known.keys().isdisjoint(services):
            raise
        # What is ours is shown all the same; the failure is counted and in the log.
        return []


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """The minutes before each point: [end - length, end) for each of `ends`."""

    minutes: Minutes
    ends: NDArray[np.int64]
    length: int

    def sums(self, minute: Int64, n: Int64) -> Int64:
        """How many of the entries (minute, n) each window holds, by one running sum."""
        running = np.zeros(self.minutes.last - self.minutes.first + 1, dtype=np.int64)
        np.add.at(running, minute - self.minutes.first + 1, n)
        np.cumsum(running, out=running)
        at = self.ends - self.minutes.first
        return running[at] - running[at - self.length]


def _rows(
    reader: Reader,
    config: Config,
    meaning: Meaning,
    minutes: Minutes,
    wanted: Callable[[str], bool],
    names: Names,
) -> list[Row]:
    rows = []
    if meaning.predictions is not None:
        rows += operation_rows(reader, config, meaning.predictions, minutes, wanted)
    if meaning.evaluations is not None:
        rows += evaluation_rows(reader, config, meaning.evaluations, minutes, wanted, names)
    return sorted(rows, key=lambda row: int(row.calls.sum()), reverse=True)


def _durations(
    reader: Reader,
    config: Config,
    meaning: Meaning,
    minutes: Minutes,
    wanted: Callable[[str], bool],
) -> list[Durations]:
    if meaning.predictions is None:
        return []
    found = operation_durations(reader, config, meaning.predictions, minutes, wanted)
    return sorted(found, key=lambda one: int(one.calls.sum()), reverse=True)


def _rates(rows: list[Row], query: MonitorQuery, windows: Windows) -> Iterator[Values]:
    if not query.by_operation and rows:
        columns = [(row.minute, row.calls, row.errors) for row in rows]
        rows = [Row("", *(np.concatenate(column) for column in zip(*columns, strict=True)))]
    for row in rows[:SERIES_MAX]:
        calls = windows.sums(row.minute, row.calls)
        if query.measure == "calls":
            values = calls / (windows.length * 60.0)
        else:
            errors = windows.sums(row.minute, row.errors)
            values = np.where(calls > 0, errors / np.maximum(calls, 1), np.nan)
        yield row.operation or None, values


def _latencies(found: list[Durations], query: MonitorQuery, windows: Windows) -> Iterator[Values]:
    if not query.by_operation and found:
        columns = [(one.minute, one.bucket, one.calls) for one in found]
        found = [Durations("", *(np.concatenate(column) for column in zip(*columns, strict=True)))]
    for one in found[:SERIES_MAX]:
        buckets = np.unique(one.bucket)
        counts = np.stack(
            [
                windows.sums(one.minute[one.bucket == bucket], one.calls[one.bucket == bucket])
                for bucket in buckets
            ],
            axis=1,
        )
        yield one.operation or None, _quantiles_ms(buckets, counts, query.quantile)


def _quantiles_ms(
    buckets: NDArray[np.int16], counts: Int64, quantile: float
) -> NDArray[np.float64]:
    """The quantile of each row of counts, NaN where a row is empty."""
    cumulative = np.cumsum(counts, axis=1)
    total = cumulative[:, -1:]
    ranks = np.floor(quantile * np.maximum(total - 1, 0))
    positions = np.minimum((cumulative <= ranks).sum(axis=1), len(buckets) - 1)
    return np.where(total[:, 0] > 0, bucket_values_ns(buckets)[positions] / 1e6, np.nan)


def _points(times: NDArray[np.int64], values: NDArray[np.float64]) -> Points:
    return [
        [time / 1000, repr(value)]
        for time, value in zip(times.tolist(), values.tolist(), strict=True)
        if not math.isnan(value)
    ]


def _series(service: str, operation: str | None, points: Points) -> dict[str, object]:
    metric = {"service_name": service}
    if operation is not None:
        metric["span_name"] = operation
    return {"metric": metric, "values": points}


async def _fields(request: Request) -> dict[str, str]:
    if request.method == "GET":
        text = request.url.query
    else:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise UnknownQuery(f"the body is over {BODY_BYTES_MAX} bytes; Jaeger's are not")
        text = body.decode("utf-8", "replace")
    try:
        fields = parse_qs(text, keep_blank_values=True, max_num_fields=32)
    except ValueError as error:
        raise UnknownQuery(f"the form cannot be read: {error}") from error
    return {name: values[0] for name, values in fields.items()}


def _grid(fields: dict[str, str], points_max: int) -> Grid:
    start, end = _time_ms(fields, "start"), _time_ms(fields, "end")
    step = _step_ms(fields.get("step", ""))
    if end < start:
        raise UnknownQuery("end is before start")
    if (points := (end - start) // step + 1) > points_max:
        raise UnknownQuery(
            f"{points} points are asked for and limits.query_windows = {points_max}; take a "
            "greater step"
        )
    return Grid(start, end, step)


def _time_ms(fields: dict[str, str], name: str) -> int:
    text = fields.get(name, "")
    try:
        ms = round(float(text) * 1000)
    except (ValueError, OverflowError):
        ms = _rfc3339_ms(text)
    if not 0 <= ms <= YEAR_9999_MS:
        raise UnknownQuery(f"{name} = {text!r} is no time: Unix seconds or RFC 3339")
    return ms


def _rfc3339_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return -1
    return -1 if moment.tzinfo is None else round(moment.timestamp() * 1000)


def _step_ms(text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        seconds = duration_seconds(text)
    if not 0.001 <= seconds <= YEAR_9999_MS / 1000:
        raise UnknownQuery(f"step = {text!r:.100} is no number of seconds above zero")
    return round(seconds * 1000)
