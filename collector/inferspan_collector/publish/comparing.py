"""`GET /api/v1/models/{model}/compare`: one version against another, figure by figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferspan_collector.comparison.difference import Difference
from inferspan_collector.comparison.verdicts import Sides, Verdict, agreement, sides_of, verdicts
from inferspan_collector.config import Config
from inferspan_collector.publish.answering import JsonAnswer, at_one_moment, model_asked
from inferspan_collector.publish.known_baselines import KnownBaseline, chosen
from inferspan_collector.publish.measuring import all_figures, measurements
from inferspan_collector.publish.notes import listed, notes
from inferspan_collector.publish.parameters import BadParameter, choice, given, minutes_range
from inferspan_collector.publish.quality_json import default_average, figure_json
from inferspan_collector.quality import many_windows, quality_figures, weighing
from inferspan_collector.quality.business.costs import CellWeights
from inferspan_collector.quality.counted_windows import CountedWindows, counted
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import AVERAGES, Figure, Question, positive_class
from inferspan_collector.store.cells import MINUTE_NS, CellQuery, ModelSummary
from inferspan_collector.store.reader import Reader
from inferspan_collector.store.row_columns import RowColumns, RowQuery
from inferspan_collector.submission import Queries

PATH: Final = "/api/v1/models/{model:path}/compare"
SIDES: Final = ("version", "variant")
OF_COUNTS: Final = frozenset(quality_figures(Counts(), Question(AVERAGES[0])))
"""Figures of the counts of judged predictions."""
PARAMETERS: Final = (
    "a",
    "b",
    "by",
    "from",
    "to",
    "target",
    "environment",
    "service",
    "average",
)


def routes(queries: Queries, config: Config) -> list[Route]:
    """The route, to be mounted at the root of the API port."""

    def compare(request: Request) -> Response:
        return at_one_moment(queries, lambda reader: _compared(request, reader, config))

    return [Route(PATH, compare, methods=["GET"])]


def _compared(request: Request, reader: Reader, config: Config) -> Response:
    values = given(request, PARAMETERS)
    by = choice(values, "by", SIDES) or SIDES[0]
    average = choice(values, "average", AVERAGES)
    start, end = minutes_range(values)
    model = model_asked(request, reader.models())
    section = config.model(model.model)
    target = values.get("target", section.primary_target)
    query = CellQuery(
        model=model.model,
        service=values.get("service"),
        environment=values.get("environment"),
        target=target,
        start=start,
        end=end,
        by=(by,),
    )
    windows = counted(reader, query)
    keys = {key[1][0] or "": key for key in windows.keys}
    counts = {key[1][0] or "": windows.counts(row) for row, key in enumerate(windows.keys)}
    a, b = _asked(values, by, counts)
    rows = reader.rows(
        RowQuery(
            model=model.model,
            target=target,
            service=query.service,
            environment=query.environment,
            start_ns=None if start is None else start * MINUTE_NS,
            end_ns=None if end is None else end * MINUTE_NS,
            most=config.limits.query_rows,
        )
    )
    total = counts[a] + counts[b]
    positive = positive_class(total, section.canonical(section.positive_class))
    question = Question(average or default_average(total, positive), positive)
    sides = sides_of(_rows_of(rows, by, a), _rows_of(rows, by, b))
    measured = measurements(reader, query, windows, section, config.limits.query_rows)
    weighed = _weighed(reader, query, windows, question, config.limits.query_rows)
    figures_a, figures_b = (
        all_figures(measured, keys[name], counts[name], question, *weighed.get(name, (None, None)))
        for name in (a, b)
    )
    baselines = [
        chosen(reader, {}, model.model, target, name if by == "version" else None)
        for name in (a, b)
    ]
    return JsonAnswer(
        {
            "model": model.model,
            "target": target,
            "by": by,
            "a": _side_json(a, counts[a], baselines[0]),
            "b": _side_json(b, counts[b], baselines[1]),
            "average": question.average,
            "notes": _notes(values, model, config, reader, rows),
            "shared": _shared_json(sides),
            "figures": {
                name: _verdict_json(
                    verdict,
                    section.minimum_n,
                    [_coverage(name, verdict.a, counts[a]), _coverage(name, verdict.b, counts[b])],
                )
                for name, verdict in verdicts(
                    figures_a, figures_b, sides, question, weighs=measured.weighs
                ).items()
            },
        }
    )


def _asked(values: dict[str, str], by: str, counted: dict[str, Counts]) -> tuple[str, str]:
    """The two that are compared: as asked, or the only two that there are."""
    if "a" not in values and "b" not in values and len(counted) == 2:
        first, second = sorted(counted)
        return first, second
    known = listed(sorted(name or "(none)" for name in counted)) or "none"
    for side in ("a", "b"):
        rule = f"a {by} that has predictions in this time is needed"
        if values.get(side) not in counted:
            remedy = f"known here: {known}; for those without {by} write {side}="
            raise BadParameter(side, values.get(side, ""), rule, remedy)
    if values["a"] == values["b"]:
        raise BadParameter("b", values["b"], f"the same {by} as a", f"name another: {known}")
    return values["a"], values["b"]


def _weighed(
    reader: Reader, query: CellQuery, windows: CountedWindows, question: Question, rows_max: int
) -> dict[str, tuple[Mapping[str, Figure], CellWeights]]:
    """Name of a side → its figures of counts, and its cells, where rows do not all weigh one."""
    weights = weighing.weighed(reader, query, windows, rows_max)
    if weights is None:
        return {}
    positives = [question.positive_class] * len(windows)
    found = many_windows.many(windows, windows.matrices(), question.average, positives, weights)
    return {
        key[1][0] or "": (
            many_windows.figures_of(found, windows, row, question, weights),
            weights.cells(row, windows.classes),
        )
        for row, key in enumerate(windows.keys)
    }


def _rows_of(rows: RowColumns, by: str, name: str) -> RowColumns:
    column = rows.version if by == "version" else rows.variant
    return rows.take((column == name) if name else (column == None))  # noqa: E711  elementwise


def _notes(
    values: dict[str, str], model: ModelSummary, config: Config, reader: Reader, rows: RowColumns
) -> list[str]:
    said = notes(values, model, config.model(model.model), reader)
    most = config.limits.query_rows
    if len(rows) >= most:
        said.append(
            f"tests that need single rows saw the newest {most:,} only (limits.query_rows); ask "
            "for a shorter time"
        )
    return said


def _side_json(name: str, counts: Counts, baseline: KnownBaseline | None) -> dict[str, Any]:
    side = {"name": name, "predictions": counts.predictions, "labeled": counts.labelled}
    return side if baseline is None else {**side, "baseline": baseline.json()}


def _shared_json(sides: Sides) -> dict[str, Any] | None:
    """Requests that both answered, where they are what is compared."""
    if not sides.shared:
        return None
    rows = agreement(sides)
    return {
        "rows": len(sides.a),
        "both_correct": rows.both,
        "only_a_correct": rows.only_a,
        "only_b_correct": rows.only_b,
        "both_incorrect": rows.neither,
    }


def _coverage(name: str, figure: Figure, counts: Counts) -> float | None:
    """As the quality endpoint has it: of the predictions that answered, what the figure needs."""
    if name == "coverage":
        return None
    answered = max(1, counts.predictions - counts.errors, counts.labelled)
    return counts.judged / answered if name in OF_COUNTS else min(1.0, figure.n / answered)


def _verdict_json(
    verdict: Verdict, minimum_n: int, coverage: Sequence[float | None]
) -> dict[str, Any]:
    return {
        "a": figure_json(verdict.a, minimum_n, coverage[0]),
        "b": figure_json(verdict.b, minimum_n, coverage[1]),
        "difference": None
        if verdict.difference is None
        else _difference_json(verdict.difference, verdict),
    }


def _difference_json(difference: Difference, verdict: Verdict) -> dict[str, Any]:
    return {
        "value": difference.value,
        "low": difference.low,
        "high": difference.high,
        "p_value": difference.p_value,
        "adjusted_p_value": verdict.adjusted_p_value,
        "significant": verdict.significant,
        "test": difference.test,
        "n": list(difference.n),
    }
