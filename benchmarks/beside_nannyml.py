"""NannyML's data sets through the whole product, beside what NannyML says of the same rows.

    python benchmarks/beside_nannyml.py rows figures.json [loans holes census cards cars]

`nannyml_figures.py` makes `rows` and `figures.json`. Spans go in over OTLP, features with them, a
window of the data set an hour; labels come later as records of their own, in another order; figures
are read from the API. Prints by figure the largest difference in all windows and who alerts
otherwise, and fails where that is more than is said of each figure here:

- true figures, thresholds, CBPE of two classes, distances of bins and of categories: 1e-6;
- CBPE of several classes: 0.002, for whether a class is calibrated is decided otherwise;
- Kolmogorov-Smirnov: 2/1024; Wasserstein: 2 % of the distance: NannyML is not exact there, either;
- direct loss estimation: 5 %, of another library's trees.
"""

from __future__ import annotations

import csv
import json
import math
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from published_figures import post, send_labels

from inferspan import semconv
from inferspan_collector.testing import otlp_span, traces_request

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "collector"))
from collector_process import Served, serving

HOUR_NS: Final = 3_600_000_000_000
BATCH: Final = 500
EXACT: Final = 1e-6
LOANS_NUMBERS = ("car_value", "debt_to_income_ratio", "loan_length", "driver_tenure")
LOANS_TEXTS = ("salary_range", "repaid_loan_on_prev_car", "size_of_downpayment")
ERRORS: Final = {
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_log_error",
    "rmse": "root_mean_squared_error",
    "rmsle": "root_mean_squared_log_error",
}


@dataclass(frozen=True)
class Case:
    """A data set: which of its columns are what."""

    task: str
    hourly: int
    predicted: str
    truth: str | None = None
    score: str | None = None
    numbers: Sequence[str] = ()
    texts: Sequence[str] = ()
    classes: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    """Its names of figures → ours, where they differ."""
    estimates: float = EXACT
    """How far estimates may be off, of their value."""


CASES: Final = {
    "loans": Case(
        semconv.BINARY, 5_000, "y_pred", "repaid", "y_pred_proba", LOANS_NUMBERS, LOANS_TEXTS
    ),
    "holes": Case(
        semconv.BINARY, 5_000, "y_pred", None, "y_pred_proba", LOANS_NUMBERS, LOANS_TEXTS
    ),
    "census": Case(
        semconv.BINARY, 5_000, "prediction", "employed", "predicted_probability", ("AGEP",),
        ("SCHL", "MAR", "RELP", "DIS", "ESP", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR",
         "DEYE", "DREM", "SEX", "RAC1P"),
    ),
    "cards": Case(
        semconv.MULTICLASS, 6_000, "y_pred", "y_true",
        classes=("highstreet_card", "prepaid_card", "upmarket_card"), estimates=0.003,
    ),
    "cars": Case(
        semconv.REGRESSION, 6_000, "y_pred", "y_true", None,
        ("car_age", "km_driven", "price_new", "accident_count", "door_count"),
        ("fuel", "transmission"), names=ERRORS, estimates=0.05,
    ),
}  # fmt: skip


def number(text: str) -> float:
    return float(text) if text else math.nan


def whole(text: str) -> str:
    """A class, as the reference and what came after it write it alike."""
    return str(int(float(text))) if text.replace(".", "").isdigit() else text


def features(case: Case, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if case.numbers:
        table = [[number(row[name]) for name in case.numbers] for row in rows]
        found[semconv.FEATURE_NAMES] = json.dumps(list(case.numbers))
        found[semconv.FEATURE_DATA] = np.array(table, "<f8").tobytes()
    # A text that is not there is left out, so such a row has a span of its own.
    present = [name for name in case.texts if rows[0][name]]
    if present:
        found[semconv.FEATURE_CATEGORY_NAMES] = json.dumps(present)
        texts = [row[name] for row in rows for name in present]
        found[semconv.FEATURE_CATEGORY_VALUES] = texts
    return found


def outputs(case: Case, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    if case.task == semconv.REGRESSION:
        return {semconv.OUTPUT_VALUES: [float(row[case.predicted]) for row in rows]}
    found: dict[str, Any] = {
        semconv.OUTPUT_CLASSES_PREDICTED: [whole(row[case.predicted]) for row in rows]
    }
    if case.score is not None:
        found[semconv.OUTPUT_POSITIVE_CLASS] = "1"
        found[semconv.OUTPUT_SCORES] = [float(row[case.score]) for row in rows]
    if case.classes:
        found[semconv.OUTPUT_CLASSES] = list(case.classes)
        found[semconv.OUTPUT_PROBABILITIES] = [
            float(row[f"y_pred_proba_{name}"]) for row in rows for name in case.classes
        ]
    return found


def calls(
    case: Case, rows: Sequence[Mapping[str, str]], first: int
) -> Iterator[tuple[int, Sequence[Mapping[str, str]]]]:
    """Batches of rows that have the same texts, with the place of their first one."""
    place = 0
    while place < len(rows):
        have = [bool(rows[place][name]) for name in case.texts]
        end = place
        while (
            end < len(rows)
            and end - place < BATCH
            and [bool(rows[end][name]) for name in case.texts] == have
        ):
            end += 1
        yield first + place, rows[place:end]
        place = end


class Product:
    """A collector that was sent the rows of one case."""

    def __init__(self, collector: Served, model: str, reference: int, rows: int) -> None:
        self.collector, self.model, self.case = collector, model, CASES[model]
        hourly = self.case.hourly
        self.cut = -(-reference // hourly)
        self.reference = reference
        hours = self.cut - (-(rows - reference) // hourly)
        self.start_ns = (time.time_ns() // HOUR_NS - hours - 1) * HOUR_NS

    def hour(self, row: int) -> int:
        """No window holds rows of both."""
        if row < self.reference:
            return row // self.case.hourly
        return self.cut + (row - self.reference) // self.case.hourly

    def send(self, rows: Sequence[Mapping[str, str]]) -> None:
        spans = []
        edges = [row for row in range(1, len(rows)) if self.hour(row) != self.hour(row - 1)]
        for start, end in zip([0, *edges], [*edges, len(rows)], strict=True):
            for first, some in calls(self.case, rows[start:end], start):
                attributes = {
                    semconv.TASK_TYPE: self.case.task,
                    semconv.OPERATION_NAME: "predict",
                    semconv.MODEL_NAME: self.model,
                    semconv.PREDICTION_COUNT: len(some),
                    semconv.PREDICTION_IDS: [
                        f"{self.model}-{first + place}" for place in range(len(some))
                    ],
                    **outputs(self.case, some),
                    **features(self.case, some),
                }
                at = self.start_ns + self.hour(first) * HOUR_NS
                spans.append(otlp_span(f"{self.model} {first}", attributes, start_ns=at))
        url = f"{self.collector.otlp_http}/v1/traces"
        for first in range(0, len(spans), 200):
            body = traces_request(spans[first : first + 200]).SerializeToString()
            post(url, body, "application/x-protobuf")

    def label(self, rows: Sequence[Mapping[str, str]]) -> None:
        truth = self.case.truth
        if truth is None:
            return
        kind = "value" if self.case.task == semconv.REGRESSION else "class"
        said = float if kind == "value" else whole
        truths = [(place, {kind: said(row[truth])}) for place, row in enumerate(rows)]
        send_labels(self.collector, self.model, truths)

    def get(self, what: str) -> dict[str, Any]:
        start, cut = (
            datetime.fromtimestamp((self.start_ns + hours * HOUR_NS) // 10**9, UTC)
            for hours in (0, self.cut)
        )
        query = "&".join(
            f"{name}={at:%Y-%m-%dT%H:%M:%SZ}"
            for name, at in (("reference_from", start), ("reference_to", cut), ("from", cut))
        )
        url = f"{self.collector.api}/api/v1/models/{self.model}/{what}?every=1h&{query}"
        with urllib.request.urlopen(url, timeout=120) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@dataclass
class Verdicts:
    """What differs by more than it may."""

    good: bool = True

    def compare(
        self,
        name: str,
        ours: Sequence[Any],
        theirs: Sequence[Any],
        most: float,
        alerts: tuple[Sequence[bool], Sequence[bool]],
        of_value: bool = False,
    ) -> None:
        """One figure over the windows, and who alerts; `most` is of its value, or absolute."""
        gaps = [
            abs(mine - its) / (abs(its) if of_value and its else 1.0)
            for mine, its in zip(ours, theirs, strict=True)
        ]
        otherwise = [n for n, pair in enumerate(zip(*alerts, strict=True)) if len({*pair}) > 1]
        good = max(gaps) <= most and not otherwise
        self.good &= good
        said = "" if not otherwise else f"; alerts differ in {otherwise}"
        print(f"  {name:44} {max(gaps):.1e}{'' if good else f' BEYOND {most:g}'}{said}", flush=True)


def figures(product: Product, known: Mapping[str, Any], verdicts: Verdicts) -> None:
    """Estimated and true ones."""
    names, case = product.case.names, product.case
    answers = {"estimated": product.get("estimates"), "true": product.get("quality")}
    for kind, most in (("estimated", case.estimates), ("true", EXACT)):
        windows = [window["metrics"] for window in answers[kind]["windows"]]
        for key in known[kind]:
            name, what = key.split("|")
            if what != "value":
                continue
            ours = [window[names.get(name, name)] for window in windows]
            values = [each["estimated"] if kind == "estimated" else each for each in ours]
            verdicts.compare(
                f"{kind} {name}",
                [each["value"] for each in values],
                known[kind][key],
                most,
                ([each["alert"] for each in ours], known[kind][f"{name}|alert"]),
                of_value=True,
            )


def drift(product: Product, known: Mapping[str, Any], verdicts: Verdicts) -> None:
    """Distances of columns."""
    case, columns = product.case, product.get("drift")["columns"]
    said = "predicted.value" if case.task == semconv.REGRESSION else "predicted.class"
    outputs_of = {case.predicted: said, case.score: "predicted.score"}
    most = {"kolmogorov_smirnov": (2 / 1_024, False), "wasserstein": (0.02, True)}
    for kind in ("drift", "missing", "unseen_categories"):
        for key, values in known.get(kind, {}).items():
            column, *method, what = key.split("|")
            if what != "value":
                continue
            name = method[0] if method else kind
            alert = "|".join((column, *method, "alert"))
            found = columns[outputs_of.get(column, f"feature.{column}")]["figures"]
            course = found["chi_squared" if name == "chi2" else name]
            least, of_value = most.get(name, (EXACT, True))
            verdicts.compare(
                f"{name} of {column}",
                course["values"],
                values,
                least,
                (course["alerts"], known[kind][alert]),
                of_value,
            )


def main() -> int:
    if len(sys.argv) < 3 or not Path(sys.argv[2]).is_file():
        print(__doc__)
        return 2
    directory, known = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as data, serving(Path(data) / "data") as collector:
        for name in sys.argv[3:] or CASES:
            with (directory / f"{name}.csv").open() as lines:
                rows = list(csv.DictReader(lines))
            about = known[name]
            print(f"{name}: {about['rows']:,} rows, of which {about['reference']:,} first")
            product = Product(collector, name, about["reference"], about["rows"])
            product.send(rows)
            product.label(rows)
            if "true" in about:
                figures(product, about, verdicts)
            drift(product, about, verdicts)
    return int(not verdicts.good)


if __name__ == "__main__":
    sys.exit(main())
