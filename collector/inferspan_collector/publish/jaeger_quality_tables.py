"""Tables of Jaeger's Model Quality page: confusion matrix, slices, versions, drift.

Of the page's own rules: a styled value must be a string, and all rows of a table have the same
keys. Column keys are our own words, never a class's text, so that no class can take the place of
another column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from inferspan_collector.publish.metrics.noticed import Drifted, Noticed
from inferspan_collector.quality import accuracy, classification
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import MACRO, Figure, Question
from inferspan_collector.store.cells import PredictionRow
from inferspan_collector.telemetry import OTHER

CLASSES_SHOWN_MAX: Final = 12
SLICES_SHOWN_MAX: Final = 20
COLUMNS_SHOWN_MAX: Final = 20
EXAMPLES_MAX: Final = 10
GOOD: Final = "#e6f4ea"
BAD: Final = "#fde7e9"

Table = dict[str, Any]
Example = dict[str, str]


def examples(rows: Sequence[PredictionRow]) -> list[Example]:
    """Traces of predictions, each once; a prediction without a trace has none to show."""
    traces = dict.fromkeys(row.trace_id for row in rows if row.trace_id.strip("0"))
    return [{"traceID": trace} for trace in list(traces)[:EXAMPLES_MAX]]


def percent(value: float) -> str:
    """A share as people read it: `91.5 %`."""
    return f"{100 * value:.1f} %"


def interval(figure: Figure) -> str:
    """The 95 % interval of a share, in percent: `90.7 to 92.2`; empty where there is none."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"


def accuracy_of(counts: Counts) -> Figure:
    """The accuracy of counts, missing where nothing is judged."""
    return accuracy.figures(counts, Question(MACRO))["accuracy"]


def confusion(counts: Counts) -> Table | None:
    """The confusion matrix as a heat map, its commonest classes; None without classes."""
    one_against_rest = classification.one_against_rest(counts)
    if not one_against_rest:
        return None
    commonest = sorted(one_against_rest, key=lambda name: -one_against_rest[name].actual)
    shown = sorted(commonest[:CLASSES_SHOWN_MAX])
    left_out = len(one_against_rest) - len(shown)
    note = f" {left_out} rarer classes are left out." if left_out else ""
    said = {f"said_{position}": name for position, name in enumerate(shown)}
    rows = []
    for actual in shown:
        cells: dict[str, object] = {"actual": actual}
        support = one_against_rest[actual].actual
        for key, predicted in said.items():
            n = counts.confusion.get((predicted, actual), 0)
            cells[key] = _heat(n, support, predicted == actual)
        recall = one_against_rest[actual].recall()
        folded = recall.value is None or actual == OTHER
        cells["recall"] = "" if folded else percent(recall.value or 0.0)
        rows.append(cells)
    return {
        "header": "Confusion matrix",
        "description": f"Rows: what was true. Columns: what the model said.{note}",
        "columns": [
            {"key": "actual", "label": "actual"},
            *({"key": key, "label": f"said {name}"} for key, name in said.items()),
            {"key": "recall", "label": "recall"},
        ],
        "rows": rows,
    }


def slices(
    by_slice: Mapping[str, Counts], overall: Figure, mistakes: Sequence[PredictionRow]
) -> Table | None:
    """Accuracy per slice, worst first; None where no slice has a judged prediction.

    Args:
        by_slice: `key = value` → counts.
        overall: the model's accuracy: a slice whose interval lies below it is marked.
        mistakes: wrong predictions, from which each slice's examples are taken.
    """
    judged = {name: accuracy_of(counts) for name, counts in by_slice.items() if counts.judged}
    if not judged:
        return None
    worst_first = sorted(judged, key=lambda name: (judged[name].value or 0.0, name))
    rows = []
    for name in worst_first[:SLICES_SHOWN_MAX]:
        mine = [
            row
            for row in mistakes
            if name in {slice_name(key, value) for key, value in row.slices.items()}
        ]
        rows.append(
            {
                "slice": name,
                "judged": str(judged[name].n),
                "accuracy": _marked(judged[name], overall),
                "interval": interval(judged[name]),
                "mistakes": examples(mine),
            }
        )
    return {
        "header": "By slice",
        "description": "Worst first; red: below the model's accuracy by more than chance explains.",
        "columns": ["slice", "judged", "accuracy", "interval", "mistakes"],
        "rows": rows,
    }


def versions(by_version: Mapping[str, Counts], overall: Figure) -> Table | None:
    """Accuracy and coverage per version; None where there is but one."""
    if len(by_version) < 2:
        return None
    rows = [
        {
            "version": name,
            "predictions": str(counts.predictions),
            "labelled": str(counts.labelled),
            "accuracy": _marked(accuracy_of(counts), overall),
            "interval": interval(accuracy_of(counts)),
        }
        for name, counts in by_version.items()
    ]
    return {
        "header": "By version",
        "description": "",
        "columns": ["version", "predictions", "labelled", "accuracy", "interval"],
        "rows": rows,
    }


def changes(noticed: Noticed, versioned: Callable[[str | None], str]) -> Table | None:
    """Each column against the reference, changed ones first; None where no drift is known.

    Args:
        noticed: the drift of the newest window.
        versioned: how the page calls a version of the model.
    """
    by_column: dict[tuple[str | None, str], list[Drifted]] = {}
    for each in noticed.drift:
        by_column.setdefault((each.version, each.column), []).append(each)
    if not by_column:
        return None
    changed = noticed.changed()
    rest = sorted(set(by_column) - set(changed), key=lambda key: (key[1], key[0] or ""))
    rows = []
    for version, column in [*changed, *rest][:COLUMNS_SHOWN_MAX]:
        methods = by_column[version, column]
        outside = [each for each in methods if each.outside]
        rows.append(
            {
                "version": versioned(version),
                "column": column,
                "methods": {
                    "value": f"{len(outside)} of {len(methods)}",
                    "styling": {"background": BAD if (version, column) in changed else GOOD},
                },
                "outside": ", ".join(map(_beyond, outside)),
            }
        )
    left_out = len(by_column) - len(rows)
    note = f" {left_out} more are left out." if left_out else ""
    return {
        "header": f"What changed in the last {noticed.window}",
        "description": (
            "Columns against the reference, and how many methods find them changed; red: two or "
            f"more, where one may be chance.{note}"
        ),
        "columns": ["version", "column", "methods", "outside"],
        "rows": rows,
    }


def _beyond(drifted: Drifted) -> str:
    limits = drifted.thresholds
    below = limits.low is not None and drifted.value < limits.low
    sign, limit = ("<", limits.low) if below else (">", limits.high)
    return f"{drifted.method} {drifted.value:.3g} {sign} {limit:.3g}"


def slice_name(key: str, value: str) -> str:
    """How a slice is shown: `country = DE`."""
    return f"{key} = {value}"


def _marked(figure: Figure, overall: Figure) -> object:
    if figure.value is None:
        return {"value": "", "styling": {}}
    worse = overall.value is not None and figure.high is not None and figure.high < overall.value
    return {"value": percent(figure.value), "styling": {"background": BAD if worse else GOOD}}


def _heat(n: int, support: int, right: bool) -> object:
    """One cell: the deeper its colour, the greater its share of its row."""
    share = n / support if support else 0.0
    color = "46,125,50" if right else "198,40,40"
    return {
        "value": str(n),
        "styling": {"background": f"rgba({color},{0.85 * share:.2f})", "textAlign": "center"},
    }
