"""The Model Quality page's reply: a shape that the page draws, and figures that add up."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from asking import ask
from records import MINUTE_NS, SECOND_NS, START_NS, Label, Prediction
from stored import Stored, stored, unnoticed

from inferspan_collector.config import load
from inferspan_collector.publish import jaeger_quality
from inferspan_collector.publish.jaeger_quality_tables import CLASSES_SHOWN_MAX, EXAMPLES_MAX

DATA = Path(__file__).parent / "data"
CONFIG = load(
    None,
    {
        "models": {"risk": {"primary_target": "chargeback", "latency_objective_ms": 50.0}},
    },
)
SERVICE = "fraud-api"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Stored]:
    with stored(tmp_path, CONFIG) as opened:
        yield opened


def page(store: Stored, service: str = SERVICE, hours: int = 48) -> dict[str, Any]:
    """The reply, which always has the shape that the page draws."""
    routes = jaeger_quality.routes(store, store.config, unnoticed)
    answer = ask(routes, f"{jaeger_quality.PATH}?hours={hours}&service={service}")
    assert answer.status_code == 200, answer.text
    reply: dict[str, Any] = answer.json()
    check_drawable(reply)
    return reply


def check_drawable(reply: dict[str, Any]) -> None:
    """The shape, and the traps that a schema cannot name."""
    jsonschema.validate(reply, json.loads((DATA / "model_quality.schema.json").read_text()))
    keys = {score["key"] for score in reply["scores"]}
    for metric in reply["metrics"]:
        assert metric["category"] in keys
        for table in metric.get("details", []):
            columns = {c if isinstance(c, str) else c["key"] for c in table["columns"]}
            assert len(columns) == len(table["columns"])
            assert all(set(row) == columns for row in table["rows"])


def metric(reply: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [metric for metric in reply["metrics"] if metric["name"] == name]
    return found  # type: ignore[no-any-return]


def drawable_metrics(reply: dict[str, Any]) -> list[str]:
    return [one["name"] for one in reply["metrics"] if one["passCount"] + one["failureCount"]]


def some(
    n: int, classes: Sequence[str] = ("fraud", "legit"), **fields: Any
) -> tuple[list[Prediction], list[Label]]:
    """Predictions in the hour before START_NS, 90 % labelled, 10 % failed."""
    chance = random.Random(n)
    predictions, labels = [], []
    for number in range(n):
        failed = chance.random() < 0.1
        at = START_NS - chance.randrange(1, 3600) * SECOND_NS
        row = Prediction(
            **{
                "prediction_id": f"order-{number}",
                "predicted": None if failed else chance.choice(classes),
                "error_type": "ValueError" if failed else None,
                "version": chance.choice(["7", "8"]),
                "event_time": at,
                "received": at,
                "duration": chance.randrange(1, 100) * 1_000_000,
                "slices": {"country": chance.choice(["DE", "FR"])},
                "span": number + 1,
                "trace": number + 1,
                **fields,
            }
        )
        predictions.append(row)
        if chance.random() < 0.9:
            labels.append(
                Label(
                    prediction_id=row.prediction_id,
                    model=row.model,
                    label_id=f"label-{row.model}-{number}",
                    actual=chance.choice(classes),
                    target=CONFIG.model(row.model).primary_target,
                )
            )
    return predictions, labels


def test_the_reply_that_the_real_page_was_seen_to_draw_fits_our_schema() -> None:
    example = json.loads((DATA / "model_quality_example.json").read_text())
    check_drawable(example)


def test_counts_add_up_to_the_predictions_with_an_output(store: Stored) -> None:
    predictions, labels = some(300)
    store.commit(*predictions, *labels)

    accuracy = metric(page(store), "accuracy fraud")

    actual = {label.prediction_id: label.actual for label in labels}
    outputs = [row for row in predictions if row.error_type is None]
    judged = [row for row in outputs if row.prediction_id in actual]
    right = sum(row.predicted == actual[row.prediction_id] for row in judged)
    assert accuracy["passCount"] == right
    assert accuracy["failureCount"] == len(judged) - right
    assert accuracy["exemptionCount"] == len(outputs) - len(judged)


def test_examples_are_traces_of_such_predictions(store: Stored) -> None:
    predictions, labels = some(300)
    store.commit(*predictions, *labels)

    reply = page(store)

    actual = {label.prediction_id: label.actual for label in labels}
    kind = {}
    for row in predictions:
        truth = actual.get(row.prediction_id)
        judged = "correct" if row.predicted == truth else "incorrect"
        label = "exempt" if truth is None else judged
        kind[f"{row.trace:032x}"] = ("failed" if row.error_type else label, truth)
    accuracy = metric(reply, "accuracy fraud")
    for field, outcome in (
        ("passExamples", "correct"),
        ("failureExamples", "incorrect"),
        ("exemptionExamples", "exempt"),
    ):
        assert 0 < len(accuracy[field]) <= EXAMPLES_MAX
        assert {kind[example["traceID"]][0] for example in accuracy[field]} == {outcome}
    recall = metric(reply, "recall fraud[legit]")
    for field, outcome in (("passExamples", "correct"), ("failureExamples", "incorrect")):
        assert {kind[example["traceID"]] for example in recall[field]} == {(outcome, "legit")}
    failures = metric(reply, "completed fraud")["failureExamples"]
    assert {kind[example["traceID"]][0] for example in failures} == {"failed"}


def test_the_confusion_matrix_is_a_heat_map_of_the_counts(store: Stored) -> None:
    predictions, labels = some(300)
    store.commit(*predictions, *labels)

    matrix = metric(page(store), "accuracy fraud")["details"][0]

    actual = {label.prediction_id: label.actual for label in labels}
    pairs = Counter(
        (actual[row.prediction_id], row.predicted)
        for row in predictions
        if row.error_type is None and row.prediction_id in actual
    )
    said = {column["key"]: column["label"].removeprefix("said ") for column in matrix["columns"]}
    shown = {
        (row["actual"], said[key]): int(cell["value"])
        for row in matrix["rows"]
        for key, cell in row.items()
        if key.startswith("said_")
    }
    assert shown == dict(pairs)
    for row in matrix["rows"]:
        for key, cell in row.items():
            if key.startswith("said_"):
                green = cell["styling"]["background"].startswith("rgba(46,125,50,")
                assert green == (said[key] == row["actual"])
        support = sum(n for (truth, _), n in pairs.items() if truth == row["actual"])
        hits = pairs[row["actual"], row["actual"]]
        assert row["recall"] == f"{100 * hits / support:.1f} %"


def test_recall_of_each_class_counts_its_actual_rows(store: Stored) -> None:
    predictions, labels = some(300)
    store.commit(*predictions, *labels)
    reply = page(store)

    actual = {label.prediction_id: label.actual for label in labels}
    for name in ("fraud", "legit"):
        rows = [
            row
            for row in predictions
            if row.error_type is None and actual.get(row.prediction_id) == name
        ]
        recall = metric(reply, f"recall fraud[{name}]")
        assert recall["passCount"] == sum(row.predicted == name for row in rows)
        assert recall["failureCount"] == sum(row.predicted != name for row in rows)


def test_slices_and_versions_have_tables_of_their_own(store: Stored) -> None:
    predictions, labels = some(300)
    store.commit(*predictions, *labels)
    accuracy = metric(page(store), "accuracy fraud")
    tables = {table["header"]: table["rows"] for table in accuracy["details"]}

    judged = accuracy["passCount"] + accuracy["failureCount"]
    assert {row["slice"] for row in tables["By slice"]} == {"country = DE", "country = FR"}
    assert sum(int(row["judged"]) for row in tables["By slice"]) == judged
    shares = [float(row["accuracy"]["value"].split()[0]) for row in tables["By slice"]]
    assert shares == sorted(shares)
    country = {f"{row.trace:032x}": row.slices["country"] for row in predictions}
    for row in tables["By slice"]:
        assert {f"country = {country[one['traceID']]}" for one in row["mistakes"]} == {row["slice"]}
    assert {row["version"] for row in tables["By version"]} == {"fraud v7", "fraud v8"}
    assert sum(int(row["labelled"]) for row in tables["By version"]) == judged


def test_versions_are_the_clients(store: Stored) -> None:
    predictions, labels = some(100)
    store.commit(*predictions, *labels)

    clients = page(store)["clients"]

    counts = Counter(f"fraud v{row.version}" for row in predictions)
    assert {client["version"]: client["count"] for client in clients} == dict(counts)
    newest = max(predictions, key=lambda row: row.event_time)
    assert {client["minVersion"] for client in clients} == {newest.version}
    versions = {f"{row.trace:032x}": row.version for row in predictions}
    for client in clients:
        assert {f"fraud v{versions[one['traceID']]}" for one in client["examples"]} == {
            client["version"]
        }


def test_the_service_is_found_under_both_of_its_names(store: Stored) -> None:
    predictions, labels = some(50, service="fraud api")
    store.commit(*predictions, *labels)

    assert (
        page(store, "fraud_api-quality") == page(store, "fraud_api") == page(store, "fraud%20api")
    )
    assert metric(page(store, "fraud_api"), "accuracy fraud")


def test_several_models_of_a_service_stand_side_by_side(store: Stored) -> None:
    fraud, fraud_labels = some(100)
    risk, risk_labels = some(80, model="risk")
    elsewhere, _ = some(60, model="other", service="elsewhere")
    store.commit(*fraud, *fraud_labels, *risk, *risk_labels, *elsewhere)

    reply = page(store)

    whole = [metric(reply, f"accuracy {model}") for model in ("fraud", "risk")]
    (dial,) = [score for score in reply["scores"] if score["key"] == "quality"]
    assert dial["value"] == sum(one["passCount"] for one in whole)
    assert dial["max"] == sum(one["passCount"] + one["failureCount"] for one in whole)
    assert not any("other" in one["name"] for one in reply["metrics"])


def test_a_latency_objective_is_a_metric(store: Stored) -> None:
    risk, labels = some(200, model="risk")
    store.commit(*risk, *labels)

    latency = metric(page(store), "latency risk within 50 ms")

    # The sketch is within 1 %: durations are whole ms, and 50 itself lies in a bucket above.
    sure = sum(row.duration < 49_400_000 for row in risk)
    assert sure <= latency["passCount"] <= sum(row.duration <= 50_600_000 for row in risk)
    assert latency["passCount"] + latency["failureCount"] == len(risk)
    slow = {f"{row.trace:032x}" for row in risk if row.duration > 50_000_000}
    assert {one["traceID"] for one in latency["failureExamples"]} <= slow
    assert "p50 " in latency["description"]


def test_without_an_objective_latency_is_described(store: Stored) -> None:
    predictions, _ = some(50)
    store.commit(*predictions)

    completed = metric(page(store), "completed fraud")

    assert all(f"{name} " in completed["description"] for name in ("p50", "p95", "p99"))
    failed = sum(row.error_type is not None for row in predictions)
    assert (completed["passCount"], completed["failureCount"]) == (50 - failed, failed)


def test_before_the_first_label_coverage_is_shown_and_the_banner_says_so(store: Stored) -> None:
    predictions, _ = some(40)
    store.commit(*predictions)

    reply = page(store)

    outputs = sum(row.error_type is None for row in predictions)
    labelled = metric(reply, "labelled fraud")
    assert (labelled["passCount"], labelled["failureCount"]) == (0, outputs)
    assert "No label has arrived for fraud yet" in reply["bannerText"]["value"]
    # 0 passed and 0 failed would be drawn as "NaN.0%".
    assert drawable_metrics(reply) == [one["name"] for one in reply["metrics"]]
    assert "quality" not in {score["key"] for score in reply["scores"]}


def test_only_failed_calls_draw_no_nan(store: Stored) -> None:
    store.commit(Prediction(predicted=None, error_type="ValueError", event_time=START_NS))

    reply = page(store)

    assert (
        drawable_metrics(reply)
        == [one["name"] for one in reply["metrics"]]
        == ["completed fraud v7"]
    )


def test_there_is_no_banner_when_there_is_nothing_to_say(store: Stored) -> None:
    store.commit(Prediction(), Label())

    assert "bannerText" not in page(store)


def test_labels_that_match_nothing_are_told_once_they_had_time(store: Stored) -> None:
    store.commit(Prediction(), Label(), Label(prediction_id="typo", label_id="b"))
    assert "bannerText" not in page(store)

    store.now += 15 * MINUTE_NS
    assert page(store)["bannerText"]["value"] == "Labels of fraud that match no prediction: 1."


def test_a_service_that_is_unknown_or_silent_is_told_so(store: Stored) -> None:
    assert "no prediction of the service nobody" in page(store, "nobody")["bannerText"]["value"]

    store.commit(Prediction(event_time=START_NS - 3 * 3600 * SECOND_NS))

    reply = page(store, hours=2)
    assert reply["bannerText"]["value"] == f"{SERVICE} predicted nothing in the last 2 hours."
    assert (reply["scores"], reply["metrics"], reply["clients"]) == ([], [], [])
    assert metric(page(store, hours=4), "labelled fraud v7")


def test_many_classes_are_cut_to_the_commonest(store: Stored) -> None:
    classes = [f"class-{number:02}" for number in range(2 * CLASSES_SHOWN_MAX)]
    predictions, labels = some(500, task="multiclass_classification", classes=classes)
    store.commit(*predictions, *labels)

    reply = page(store)

    matrix = metric(reply, "accuracy fraud")["details"][0]
    assert len(matrix["rows"]) == CLASSES_SHOWN_MAX
    assert f"{CLASSES_SHOWN_MAX} rarer classes are left out" in matrix["description"]
    assert len(reply["metrics"]) <= 6


def test_a_class_may_have_any_name(store: Stored) -> None:
    predictions, labels = some(60, classes=["actual", "recall", "said_0"])
    store.commit(*predictions, *labels)

    matrix = metric(page(store), "accuracy fraud")["details"][0]

    assert [row["actual"] for row in matrix["rows"]] == ["actual", "recall", "said_0"]


def test_a_regression_is_judged_by_its_tolerance(tmp_path: Path) -> None:
    config = load(None, {"models": {"price": {"tolerance": 0.5}}})
    with stored(tmp_path, config) as store:
        for number, value in enumerate([1.0, 1.4, 9.0]):
            store.commit(
                Prediction(
                    prediction_id=f"p-{number}", predicted=None, value=value, model="price",
                    task="regression", positive_class=None, span=number + 1, trace=number + 1,
                ),
                Label(prediction_id=f"p-{number}", label_id=f"l-{number}", model="price",
                      actual="1.0", value=1.0),
            )  # fmt: skip
        accuracy = metric(page(store), "accuracy price v7")

    assert (accuracy["passCount"], accuracy["failureCount"], accuracy["exemptionCount"]) == (
        2,
        1,
        0,
    )
    assert "Confusion matrix" not in [table["header"] for table in accuracy["details"]]


@pytest.mark.parametrize("query", ["", "service=", "service=x&hours=0", "service=x&hours=soon"])
def test_a_bad_question_is_a_problem(store: Stored, query: str) -> None:
    answer = ask(jaeger_quality.routes(store, CONFIG, unnoticed), f"{jaeger_quality.PATH}?{query}")

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert {"value", "rule", "remedy"} <= set(answer.json())


def test_what_jaeger_may_ask_one_day_does_no_harm(store: Stored) -> None:
    routes = jaeger_quality.routes(store, CONFIG, unnoticed)
    assert ask(routes, f"{jaeger_quality.PATH}?service=x&hours=1&theme=dark").status_code == 200
