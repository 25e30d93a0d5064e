"""Published figures through the whole product: spans in, labels later, figures from the API.

    pip download --no-deps nannyml==0.13.1 && unzip nannyml-*.whl 'nannyml/datasets/data/*'
    python benchmarks/published_figures.py nannyml/datasets/data

The rows are those of NannyML's data sets (Apache-2.0): the 60,000 rows of `mc_analysis.csv` and of
`regression_synthetic_analysis.csv` with their truths, in file order. The figures are those of its
documentation, "Realized Performance", windows of 6,000 rows; here each window is an hour. Prints
the largest difference of each figure, and fails where it is more than the digits of the pages.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan import semconv
from inferspan_collector.testing import otlp_span, prediction_span, traces_request

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "collector"))
from collector_process import Served, serving

WINDOW, WINDOWS, HOUR_NS = 6_000, 10, 3_600_000_000_000
BATCH = 500
MULTICLASS = {
    "roc_auc": (
        0.907595, 0.910534, 0.909414, 0.911577, 0.907533, 0.748588, 0.751137, 0.756399, 0.758561,
        0.753937,
    ),
    "f1": (
        0.751103, 0.763045, 0.758487, 0.758944, 0.757964, 0.557112, 0.559148, 0.565055, 0.563897,
        0.561644,
    ),
    "precision": (
        0.75127, 0.763125, 0.758503, 0.758973, 0.75795, 0.559696, 0.562915, 0.569069, 0.566673,
        0.565129,
    ),
    "recall": (
        0.751033, 0.763148, 0.758484, 0.758986, 0.757979, 0.557829, 0.56017, 0.565943, 0.564723,
        0.562772,
    ),
    "specificity": (
        0.87555, 0.881508, 0.879367, 0.87963, 0.878986, 0.779905, 0.780676, 0.784223, 0.783422,
        0.782429,
    ),
    "accuracy": (
        0.751167, 0.763, 0.758667, 0.759167, 0.758, 0.560833, 0.562333, 0.569833, 0.567833, 0.566,
    ),
}  # fmt: skip
REGRESSION = {
    "mae": (
        853.4, 853.137, 846.304, 855.495, 849.33, 702.518, 700.736, 684.702, 705.814, 698.344,
    ),
    "mape": (
        0.228707, 0.230818, 0.229042, 0.233624, 0.233887, 0.262864, 0.26346, 0.26095, 0.265371,
        0.265757,
    ),
    "mse": (
        1143130, 1139870, 1128720, 1158290, 1124290, 829589, 829693, 792287, 835917, 825936,
    ),
    "msle": (
        0.0704883, 0.0699896, 0.0696923, 0.0719322, 0.0724877, 0.104949, 0.104814, 0.104347,
        0.104714, 0.105882,
    ),
    "rmse": (
        1069.17, 1067.65, 1062.41, 1076.24, 1060.32, 910.818, 910.875, 890.105, 914.285, 908.81,
    ),
    "rmsle": (
        0.265496, 0.264556, 0.263993, 0.268202, 0.269235, 0.323958, 0.32375, 0.323027, 0.323596,
        0.325394,
    ),
}  # fmt: skip


def post(url: str, body: bytes, content_type: str) -> bytes:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=60) as answer:
        content: bytes = answer.read()
        return content


def send_spans(collector: Served, spans: Sequence[Span]) -> None:
    body = traces_request(spans).SerializeToString()
    post(f"{collector.otlp_http}/v1/traces", body, "application/x-protobuf")


def send_labels(
    collector: Served, model: str, truths: Sequence[tuple[int, dict[str, Any]]]
) -> None:
    """One line a label, in an order of their own."""
    shuffled = random.Random(7).sample(truths, len(truths))
    for first in range(0, len(shuffled), 20_000):
        lines = [
            json.dumps({"prediction_id": f"{model}-{row}", "model": model, **truth})
            for row, truth in shuffled[first : first + 20_000]
        ]
        answer = post(
            f"{collector.api}/v1/labels", "\n".join(lines).encode(), "application/x-ndjson"
        )
        assert b"error" not in answer


def hours(collector: Served, model: str, question: str = "") -> list[dict[str, dict[str, float]]]:
    url = f"{collector.api}/api/v1/models/{model}/quality?every=1h{question}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        windows = json.load(answer)["windows"]
    assert [window["labeled"] for window in windows] == [WINDOW] * WINDOWS
    return [window["metrics"] for window in windows]


def started() -> int:
    """The hour in which the first window began."""
    return (time.time_ns() // HOUR_NS - WINDOWS - 1) * HOUR_NS


def batches(model: str, task: str, start_ns: int) -> Iterator[tuple[slice, dict[str, Any], int]]:
    """Rows of each batch call, the attributes that all have, and when it was."""
    for first in range(0, WINDOW * WINDOWS, BATCH):
        attributes: dict[str, Any] = {
            semconv.TASK_TYPE: task,
            semconv.OPERATION_NAME: "predict",
            semconv.MODEL_NAME: model,
            semconv.PREDICTION_COUNT: BATCH,
            semconv.PREDICTION_IDS: [f"{model}-{row}" for row in range(first, first + BATCH)],
        }
        yield slice(first, first + BATCH), attributes, start_ns + first // WINDOW * HOUR_NS


def columns(data: Path, name: str, *wanted: str) -> list[list[str]]:
    with (data / name).open() as lines:
        rows = list(csv.DictReader(lines))
    return [[row[column] for row in rows] for column in wanted]


def compared(
    found: Sequence[Mapping[str, Mapping[str, float]]],
    published: Mapping[str, Sequence[float]],
    most: float,
) -> bool:
    good = True
    for name, figures in published.items():
        gaps = [
            abs(window[name]["value"] / figure - 1)
            for window, figure in zip(found, figures, strict=True)
        ]
        print(f"{name:12} {max(gaps):.1e} relative, at most, in {len(gaps)} windows")
        good &= max(gaps) <= most
        good &= all(window[name]["low"] < window[name]["high"] for window in found)
    return good


def classes(collector: Served, data: Path) -> bool:
    names = ["highstreet_card", "prepaid_card", "upmarket_card"]
    predicted, *by_class = columns(
        data, "mc_analysis.csv", "y_pred", *(f"y_pred_proba_{name}" for name in names)
    )
    (actual,) = columns(data, "mc_analysis_gt.csv", "y_true")
    probabilities = [[float(p) for p in row] for row in zip(*by_class, strict=True)]
    for rows, attributes, at in batches("cards", semconv.MULTICLASS, started()):
        if rows.start < 1_000:
            # A thousand calls of their own: most senders do not predict in batches.
            send_spans(
                collector,
                [
                    prediction_span(
                        f"cards-{row}",
                        {
                            semconv.TASK_TYPE: semconv.MULTICLASS,
                            semconv.OUTPUT_CLASS: predicted[row],
                            semconv.OUTPUT_SCORE: max(probabilities[row]),
                            semconv.OUTPUT_CLASSES: names,
                            semconv.OUTPUT_PROBABILITIES: probabilities[row],
                        },
                        model="cards",
                        start_ns=at,
                    )
                    for row in range(rows.start, rows.stop)
                ],
            )
            continue
        attributes |= {
            semconv.OUTPUT_CLASSES_PREDICTED: predicted[rows],
            semconv.OUTPUT_CLASSES: names,
            semconv.OUTPUT_PROBABILITIES: [p for row in probabilities[rows] for p in row],
        }
        send_spans(collector, [otlp_span(f"cards {rows.start}", attributes, start_ns=at)])
    send_labels(collector, "cards", [(row, {"class": text}) for row, text in enumerate(actual)])
    return compared(hours(collector, "cards", "&average=macro"), MULTICLASS, 1e-6)


def numbers(collector: Served, data: Path) -> bool:
    (said,) = columns(data, "regression_synthetic_analysis.csv", "y_pred")
    (true,) = columns(data, "regression_synthetic_analysis_targets.csv", "y_true")
    value, truth = [float(text) for text in said], [float(text) for text in true]
    for rows, attributes, at in batches("prices", semconv.REGRESSION, started()):
        attributes[semconv.OUTPUT_VALUES] = value[rows]
        send_spans(collector, [otlp_span(f"prices {rows.start}", attributes, start_ns=at)])
    # The first labels are wrong, and corrected later: sums forget them to the last bit.
    send_labels(
        collector, "prices", [(row, {"value": 1e15, "id": f"l-{row}"}) for row in range(100)]
    )
    send_labels(
        collector,
        "prices",
        [
            (row, {"value": number} | ({"id": f"l-{row}", "revision": 1} if row < 100 else {}))
            for row, number in enumerate(truth)
        ],
    )
    return compared(hours(collector, "prices"), REGRESSION, 6e-6)


def main() -> int:
    if len(sys.argv) != 2 or not Path(sys.argv[1], "mc_analysis.csv").is_file():
        print(__doc__)
        return 2
    data = Path(sys.argv[1])
    with (
        tempfile.TemporaryDirectory() as directory,
        serving(Path(directory) / "data") as collector,
    ):
        return int(not all([classes(collector, data), numbers(collector, data)]))


if __name__ == "__main__":
    sys.exit(main())
