"""Drift and estimates over a real store: what is seen before a label comes, and beside it after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asking import FilledStore, ask
from foreseen import HOUR_NS, HOUR_START_NS, HOURLY, REFERENCE, drawn, get, hours
from records import MINUTE_NS, SECOND_NS, START_NS, Label, Prediction
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from inferspan_collector.config import Config, Model
from inferspan_collector.config.models import Reference
from inferspan_collector.publish import drifting, foreseeing
from inferspan_collector.publish.parameters import rfc3339


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    filled.now = HOUR_START_NS + 48 * HOUR_NS
    yield filled
    filled.close()


@pytest.fixture
def fallen(store: FilledStore) -> tuple[FilledStore, np.ndarray, np.ndarray]:
    """Eight labelled hours of sure scores, then four unlabelled ones of unsure scores."""
    scores, truths = drawn(8 * HOURLY, 1, sure=True)
    later, later_truths = drawn(4 * HOURLY, 2, sure=False)
    store.add(*hours(scores, truths.tolist()), *hours(later, None, first=8))
    return store, later, later_truths


def test_accuracy_is_seen_to_fall_before_a_label_has_come(
    fallen: tuple[FilledStore, np.ndarray, np.ndarray],
) -> None:
    store, scores, truths = fallen
    body = get(store, "estimates", f"?every=1h{REFERENCE}")
    assert (body["method"], body["reason"], body["positive_class"]) == ("cbpe", None, "fraud")
    assert len(body["windows"]) == 12
    for place, window in enumerate(body["windows"]):
        late = place >= 8
        accuracy = window["metrics"]["accuracy"]
        assert accuracy["alert"] is late
        assert window["coverage"] == (0 if late else 1)
        assert (accuracy["realized"]["value"] is None) == late
    said, true = scores >= 0.5, truths
    (whole,) = get(store, "estimates", f"?from={rfc3339(HOUR_START_NS + 8 * HOUR_NS)}{REFERENCE}")[
        "windows"
    ]
    for name, exact in {
        "accuracy": accuracy_score(true, said),
        "f1": f1_score(true, said),
        "roc_auc": roc_auc_score(true, scores),
    }.items():
        figure = whole["metrics"][name]["estimated"]
        assert figure["low"] <= exact <= figure["high"]
        assert figure["value"] == pytest.approx(exact, abs=0.02)


def test_a_truth_that_departs_from_its_score_is_a_gap(store: FilledStore) -> None:
    scores, truths = drawn(8 * HOURLY, 1, sure=True)
    later, later_truths = drawn(2 * HOURLY, 2, sure=True)
    # In the second hour scores mean the opposite in a fifth of all rows.
    turned = np.arange(len(later)) >= HOURLY
    turned &= np.random.default_rng(3).random(len(later)) < 0.2
    store.add(*hours(scores, truths.tolist()))
    store.add(*hours(later, (later_truths ^ turned).tolist(), first=8))
    windows = get(store, "estimates", f"?every=1h{REFERENCE}")["windows"]
    honest, apart = (window["metrics"]["accuracy"] for window in windows[8:])
    assert honest["gap"]["significant"] is False
    assert apart["gap"]["significant"] is True
    assert apart["gap"]["value"] < -0.05
    assert apart["alert"] is False


def test_how_long_labels_take_and_how_much_is_settled(
    fallen: tuple[FilledStore, np.ndarray, np.ndarray],
) -> None:
    store, _, _ = fallen
    store.now = HOUR_START_NS + 12 * HOUR_NS
    body = get(store, "estimates", f"?every=1h{REFERENCE}")
    assert body["label_lag"]["labels"] == 8 * HOURLY
    assert 3_600 <= body["label_lag"]["p50"] <= 3_600 * 1.1
    settled = [window["settled"] for window in body["windows"]]
    assert settled[0] == pytest.approx(1)
    assert settled[-1] < 0.5


def test_without_scores_or_labels_it_says_why_there_is_no_estimate(store: FilledStore) -> None:
    scores, truths = drawn(HOURLY, 1, sure=True)
    store.add(*hours(scores, None))
    body = get(store, "estimates", "")
    assert body["method"] is None
    assert "0 labelled rows, and 200 are needed" in body["reason"]
    assert body["windows"][0]["metrics"] == {}
    nothing = np.full(HOURLY, np.nan)
    store.add(*hours(nothing, truths.tolist(), first=1))
    body = get(store, "estimates", f"?reference_from={rfc3339(HOUR_START_NS + HOUR_NS)}")
    assert "scores are not recorded" in body["reason"]


def test_errors_of_a_regression_are_foreseen_beside_what_they_are(store: FilledStore) -> None:
    rng = np.random.default_rng(5)
    values = rng.uniform(10, 100, 4 * HOURLY)
    truths = values + rng.normal(size=len(values)) * values / 10
    rows: list[Prediction | Label] = []
    for i, (value, truth) in enumerate(zip(values.tolist(), truths.tolist(), strict=True)):
        time = HOUR_START_NS + i * (HOUR_NS // HOURLY)
        rows.append(
            Prediction(
                f"order-{i}",
                predicted=None,
                value=value,
                task="regression",
                positive_class=None,
                trace=i + 1,
                span=i + 1,
                event_time=time,
            )
        )
        rows.append(Label(f"order-{i}", actual=str(truth), value=truth, label_id=f"label-{i}"))
    store.add(*rows)
    body = get(store, "estimates", "?every=1h")
    assert body["method"] == "dle"
    # What a number is not, no column says.
    assert set(get(store, "drift", "")["columns"]) == {"predicted.value", "label.value"}
    for window in body["windows"]:
        error = window["metrics"]["mean_absolute_error"]
        assert error["estimated"]["value"] == pytest.approx(error["realized"]["value"], rel=0.1)
        assert error["gap"]["significant"] is False


def test_drift_of_scores_is_scipys_and_alerts_where_they_changed(
    fallen: tuple[FilledStore, np.ndarray, np.ndarray],
) -> None:
    store, later, _ = fallen
    body = get(store, "drift", f"?every=1h{REFERENCE}")
    assert [window["predictions"] for window in body["windows"]] == [HOURLY] * 12
    course = body["columns"]["predicted.score"]["figures"]["jensen_shannon"]
    assert course["alerts"] == [False] * 8 + [True] * 4
    assert course["lower_threshold"] is None or course["lower_threshold"] > 0
    reference, _ = drawn(8 * HOURLY, 1, sure=True)
    edges = np.histogram_bin_edges(reference, bins="doane")
    p, q = (np.histogram(each, edges)[0] for each in (reference, later[:HOURLY]))
    outside = HOURLY - q.sum()
    exact = jensenshannon([*p, 0], [*q, outside], base=2)
    assert course["values"][8] == pytest.approx(exact, abs=1e-9)
    # Eight windows are enough to learn from.
    parts = [[*np.histogram(part, edges)[0], 0] for part in np.split(reference, 8)]
    before = [jensenshannon([*p, 0], part, base=2) for part in parts]
    limit = np.mean(before) + 3 * np.std(before)
    assert course["upper_threshold"] == pytest.approx(limit)


def test_outputs_that_vanish_or_fail_are_told_apart(store: FilledStore) -> None:
    scores, _ = drawn(4 * HOURLY, 1, sure=True)
    store.add(*hours(scores, None))
    store.add(*hours(np.full(HOURLY, np.nan), None, first=4))
    failed = [
        Prediction(
            f"failed-{i}",
            predicted=None,
            error_type="timeout",
            trace=10**6 + i,
            span=10**6 + i,
            event_time=HOUR_START_NS + 5 * HOUR_NS + i,
        )
        for i in range(10)
    ]
    store.add(*failed)
    body = get(store, "drift", f"?every=1h&reference_to={rfc3339(HOUR_START_NS + 4 * HOUR_NS)}")
    missing = body["columns"]["predicted.score"]["figures"]["missing"]
    assert missing["values"] == [0, 0, 0, 0, 1, None]
    assert missing["alerts"] == [False] * 4 + [True, False]


def test_a_change_of_the_error_is_dated(store: FilledStore) -> None:
    scores, truths = drawn(8 * HOURLY, 1, sure=True)
    wrong = np.arange(len(scores)) >= 4 * HOURLY
    store.add(*hours(scores, (truths ^ wrong).tolist()))
    (change,) = get(store, "drift", "")["error_changes"]
    hour = rfc3339(HOUR_START_NS + 4 * HOUR_NS)[:13]
    assert change["found"].startswith(hour)
    assert change["error_before"] < change["error_after"]


def test_the_reference_is_asked_for_or_configured_or_the_first_rows(store: FilledStore) -> None:
    scores, truths = drawn(4 * HOURLY, 1, sure=True)
    store.add(*hours(scores, truths.tolist()))
    configured = {
        "first": Reference(first=300),
        "configured": Reference.model_validate(
            {"until": rfc3339(HOUR_START_NS + HOUR_NS), "since": "2020-01-01T00:00:00Z"}
        ),
    }
    for source, reference in configured.items():
        config = Config(models={"fraud": Model(reference=reference)})
        said = get(store, "drift", "", config)["reference"]
        assert said["source"] == source
        assert said["predictions"] == (300 if source == "first" else HOURLY)
        assert said["labeled"] == said["predictions"]
        assert said["from"] == rfc3339(HOUR_START_NS)
    asked = get(store, "drift", REFERENCE.replace("&", "?"))["reference"]
    assert (asked["source"], asked["predictions"]) == ("asked", 4 * HOURLY)
    assert get(store, "drift", "?reference_version=none")["columns"] == {}


@pytest.mark.parametrize("what", ["drift", "estimates"])
@pytest.mark.parametrize(
    ("query", "status"),
    [("?every=2h", 400), ("?reference_from=yesterday", 400), ("?x=1", 400), ("", 200)],
)
def test_questions_are_checked(store: FilledStore, what: str, query: str, status: int) -> None:
    store.add(Prediction())
    family = {"drift": drifting, "estimates": foreseeing}[what]
    url = f"/api/v1/models/fraud/{what}{query}"
    assert ask(family.routes(store, store.config), url).status_code == status
    other = f"/api/v1/models/other/{what}"
    assert ask(family.routes(store, store.config), other).status_code == 404


def test_a_question_of_too_many_windows_is_refused(store: FilledStore) -> None:
    rows = [
        Prediction(f"order-{i}", trace=i + 1, span=i + 1, event_time=START_NS + i * MINUTE_NS)
        for i in range(4)
    ]
    store.add(*rows, Prediction("last", trace=9, span=9, event_time=START_NS + 9 * SECOND_NS))
    config = Config.model_validate({"limits": {"query_windows": 3}})
    url = "/api/v1/models/fraud/drift?every=1m"
    response = ask(drifting.routes(store, config), url)
    assert response.status_code == 400
    assert "limits.query_windows" in response.json()["rule"]


def test_every_figure_of_several_classes_is_foreseen_by_their_probabilities(
    store: FilledStore,
) -> None:
    rng = np.random.default_rng(11)
    names = ("cat", "cow", "dog")
    rows: list[Prediction | Label] = []
    said: list[int] = []
    true: list[int] = []
    # Four hours of sure answers, then one of unsure ones, whose labels the store never sees.
    for i in range(5 * HOURLY):
        logits = rng.normal(scale=3.0 if i < 4 * HOURLY else 1.0, size=3)
        shares = np.exp(logits) / np.exp(logits).sum()
        predicted, actual = int(shares.argmax()), int(rng.choice(3, p=shares))
        time = HOUR_START_NS + i * (HOUR_NS // HOURLY)
        rows.append(
            Prediction(
                f"order-{i}",
                predicted=names[predicted],
                score=float(shares.max()),
                task="multiclass_classification",
                positive_class=None,
                trace=i + 1,
                span=i + 1,
                event_time=time,
                probabilities=dict(zip(names, shares.tolist(), strict=True)),
            )
        )
        if i < 4 * HOURLY:
            rows.append(Label(f"order-{i}", actual=names[actual], label_id=f"label-{i}"))
        else:
            said.append(predicted)
            true.append(actual)
    store.add(*rows)
    query = f"?every=1h&reference_to={rfc3339(HOUR_START_NS + 4 * HOUR_NS)}"
    windows = get(store, "estimates", query)["windows"]
    first, last = windows[0]["metrics"], windows[-1]["metrics"]
    exact = {
        "accuracy": accuracy_score(true, said),
        "f1": f1_score(true, said, average="macro"),
        "precision": precision_score(true, said, average="macro"),
        "recall": recall_score(true, said, average="macro"),
    }
    for name, value in exact.items():
        assert last[name]["estimated"]["value"] == pytest.approx(value, abs=0.08), name
        assert last[name]["alert"] is True
        assert first[name]["alert"] is False
        real = first[name]["realized"]["value"]
        assert first[name]["estimated"]["value"] == pytest.approx(real, abs=0.06), name
    assert last["roc_auc"]["estimated"]["value"] < first["roc_auc"]["estimated"]["value"]


def test_more_rows_than_are_read_are_said(store: FilledStore) -> None:
    scores, truths = drawn(3 * HOURLY, 1, sure=True)
    store.add(*hours(scores, truths.tolist()))
    config = Config.model_validate({"limits": {"query_rows": 1_000}})
    body = get(store, "drift", "", config)
    assert body["windows"][0]["predictions"] == 1_000
    assert "only the newest 1,000 predictions were read" in body["notes"][0]
    # The newest of the question, the oldest of the reference.
    assert body["reference"]["from"] == rfc3339(HOUR_START_NS)
    assert body["windows"][0]["start"] == rfc3339(HOUR_START_NS + HOUR_NS)


def test_constants_of_estimates_and_of_the_drift_of_a_column(
    fallen: tuple[FilledStore, np.ndarray, np.ndarray],
) -> None:
    store, _, _ = fallen
    said = {
        "accuracy": {"lower": 0.1},
        "jensen_shannon": {"upper": 0.9},
        "predicted.score.jensen_shannon": {"upper": 0.0},
    }
    config = Config(models={"fraud": Model(thresholds=said)})
    estimates = get(store, "estimates", f"?every=1h{REFERENCE}", config)
    assert estimates["thresholds"]["accuracy"] == {"lower_threshold": 0.1, "upper_threshold": None}
    assert not any(window["metrics"]["accuracy"]["alert"] for window in estimates["windows"])
    columns = get(store, "drift", f"?every=1h{REFERENCE}", config)["columns"]
    by_column = {name: column["figures"]["jensen_shannon"] for name, column in columns.items()}
    assert by_column["predicted.score"]["upper_threshold"] == 0.0
    assert all(by_column["predicted.score"]["alerts"])
    assert by_column["predicted.class"]["upper_threshold"] == 0.9
    assert not any(by_column["predicted.class"]["alerts"])
