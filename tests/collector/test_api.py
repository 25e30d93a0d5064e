"""The JSON API over a real store, against scikit-learn on the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from asking import FilledStore, ask, labelled_predictions
from records import MINUTE_NS, SECOND_NS, START_NS, Label, Prediction
from sklearn import metrics

from inferspan_collector.config import Config, Limits, Model
from inferspan_collector.publish import api, quality_json
from inferspan_collector.publish.parameters import rfc3339

HOUR_NS = 60 * MINUTE_NS
HOUR_START_NS = START_NS - START_NS % HOUR_NS
PAIRS = [("fraud", "fraud")] * 6 + [("fraud", "legit")] * 2 + [("legit", "fraud")] + [
    ("legit", "legit")
] * 11  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    yield filled
    filled.close()


def get(store: FilledStore, url: str, config: Config | None = None) -> httpx.Response:
    return ask(api.routes(store, config or store.config), url)


def quality(store: FilledStore, query: str = "", model: str = "fraud") -> dict[str, Any]:
    response = get(store, f"/api/v1/models/{quote(model, safe='')}/quality{query}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def refused(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    return body


def test_one_window_of_everything(store: FilledStore) -> None:
    store.add(*labelled_predictions(PAIRS), Prediction("unlabelled", span=99, trace=99))
    body = quality(store)
    assert {key: body[key] for key in ("model", "target", "every", "average")} == {
        "model": "fraud",
        "target": "default",
        "every": "all",
        "average": "binary",
    }
    (window,) = body["windows"]
    assert window["group"] == {}
    assert (window["predictions"], window["labeled"], window["errors"]) == (21, 20, 0)
    assert window["coverage"] == 20 / 21
    assert window["confusion"] == {
        "classes": ["fraud", "legit"],
        "actual_by_predicted": [[6, 1], [2, 11]],
    }
    first_minute = START_NS - START_NS % MINUTE_NS
    assert window["start"] == rfc3339(first_minute)
    assert window["end"] == rfc3339(first_minute + MINUTE_NS)


@pytest.mark.parametrize("average", ["binary", "macro", "micro", "weighted"])
def test_figures_equal_scikit_learn(store: FilledStore, average: str) -> None:
    store.add(*labelled_predictions(PAIRS))
    (window,) = quality(store, f"?average={average}")["windows"]
    truth, said = [a for _, a in PAIRS], [p for p, _ in PAIRS]
    positive = {"pos_label": "fraud"} if average == "binary" else {}
    p, r, f, _ = metrics.precision_recall_fscore_support(truth, said, average=average, **positive)
    expected = {
        "accuracy": metrics.accuracy_score(truth, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, said),
        "matthews_corrcoef": metrics.matthews_corrcoef(truth, said),
        "cohen_kappa": metrics.cohen_kappa_score(truth, said),
        "precision": p,
        "recall": r,
        "f1": f,
        "coverage": 1.0,
    }
    assert expected.keys() <= window["metrics"].keys()
    for name, value in expected.items():
        assert window["metrics"][name]["value"] == pytest.approx(value, rel=0, abs=1e-12), name
    assert window["metrics"]["accuracy"]["n"] == 20
    assert window["per_class"]["legit"]["support"] == 13
    assert window["per_class"]["legit"]["recall"]["value"] == 11 / 13


def test_the_latency_is_in_seconds(store: FilledStore) -> None:
    store.add(*(Prediction(f"p{i}", span=i, duration=i * 1_000_000) for i in range(1, 101)))
    latency = quality(store)["windows"][0]["latency"]
    assert latency["count"] == 100
    assert latency["p50"] == pytest.approx(0.050, rel=0.02)
    assert latency["p99"] == pytest.approx(0.099, rel=0.02)


def test_windows_start_at_whole_hours_and_empty_ones_are_left_out(store: FilledStore) -> None:
    store.add(*labelled_predictions(PAIRS[:3], start=HOUR_START_NS + 10 * MINUTE_NS))
    store.add(*labelled_predictions(PAIRS[:5], 10, start=HOUR_START_NS + 2 * HOUR_NS))
    windows = quality(store, "?every=1h")["windows"]
    assert [(w["start"], w["end"], w["predictions"]) for w in windows] == [
        (rfc3339(HOUR_START_NS), rfc3339(HOUR_START_NS + HOUR_NS), 3),
        (rfc3339(HOUR_START_NS + 2 * HOUR_NS), rfc3339(HOUR_START_NS + 3 * HOUR_NS), 5),
    ]


def test_from_and_to_are_floored_to_the_minute_and_cut_the_windows(store: FilledStore) -> None:
    store.add(
        *(
            Prediction(f"p{i}", span=i + 1, event_time=HOUR_START_NS + i * MINUTE_NS)
            for i in range(60)
        )
    )
    start = rfc3339(HOUR_START_NS + 20 * MINUTE_NS + 59 * SECOND_NS)
    end = (HOUR_START_NS + 30 * MINUTE_NS) // SECOND_NS + 59.5
    (window,) = quality(store, f"?every=1h&from={start}&to={end}")["windows"]
    assert window["predictions"] == 10
    assert window["start"] == rfc3339(HOUR_START_NS + 20 * MINUTE_NS)
    assert window["end"] == rfc3339(HOUR_START_NS + 30 * MINUTE_NS)


def test_an_offset_is_understood(store: FilledStore) -> None:
    store.add(Prediction(event_time=1_795_233_600 * SECOND_NS))  # 2026-11-21T04:00:00Z
    assert quality(store, "?from=2026-11-21T05:00:00%2B01:00")["windows"] != []
    assert quality(store, "?from=2026-11-21T05:01:00%2B01:00")["windows"] == []


def test_groups_have_the_keys_that_were_asked_for(store: FilledStore) -> None:
    store.add(
        *labelled_predictions(PAIRS[:2], slices={"country": "DE"}),
        *labelled_predictions(PAIRS[:3], 10, slices={"country": "FR"}),
        *labelled_predictions(PAIRS[:4], 20, slices={"country": "FR"}, version="8"),
    )
    windows = quality(store, "?by=version,slice.country")["windows"]
    assert [(w["group"], w["predictions"], w["labeled"]) for w in windows] == [
        ({"version": "7", "slice.country": "DE"}, 2, 2),
        ({"version": "7", "slice.country": "FR"}, 3, 3),
        ({"version": "8", "slice.country": "FR"}, 4, 4),
    ]


def test_filters_narrow(store: FilledStore) -> None:
    store.add(
        *labelled_predictions(PAIRS[:2], environment="prod"),
        *labelled_predictions(PAIRS[:3], 10, environment="test", version="8"),
        Prediction("no-version", version=None, span=99, service="other"),
    )
    counted = {
        query: sum(w["predictions"] for w in quality(store, query)["windows"])
        for query in ("", "?environment=prod", "?version=8", "?version=", "?service=other")
    }
    assert list(counted.values()) == [6, 2, 3, 1, 1]


def test_a_target_has_its_own_figures(store: FilledStore) -> None:
    store.add(
        *labelled_predictions(PAIRS[:4]),
        Label("order-0", "legit", label_id="thumb", target="thumbs"),
    )
    (window,) = quality(store, "?target=thumbs")["windows"]
    assert (window["labeled"], window["metrics"]["accuracy"]["value"]) == (1, 0.0)


def test_the_configured_target_and_positive_class_are_the_defaults(store: FilledStore) -> None:
    config = Config(models={"fraud": Model(primary_target="thumbs", positive_class="legit")})
    store.add(
        *labelled_predictions([("legit", "fraud")], positive_class=None),
        Label("order-0", "legit", label_id="thumb", target="thumbs"),
    )
    body = get(store, "/api/v1/models/fraud/quality", config).json()
    assert (body["target"], body["average"]) == ("thumbs", "binary")
    assert body["windows"][0]["metrics"]["recall"]["value"] == 1.0


def test_the_configured_positive_class_may_be_spelled_as_an_alias(store: FilledStore) -> None:
    model = Model(positive_class="1", class_aliases={"1": "fraud"})
    store.add(*labelled_predictions(PAIRS, positive_class=None))
    body = get(store, "/api/v1/models/fraud/quality", Config(models={"fraud": model})).json()
    assert body["average"] == "binary"
    assert body["windows"][0]["metrics"]["recall"]["value"] == 6 / 7


def test_without_a_positive_class_the_average_is_macro(store: FilledStore) -> None:
    store.add(*labelled_predictions(PAIRS, positive_class=None))
    assert quality(store)["average"] == "macro"
    (window,) = quality(store, "?average=binary")["windows"]
    assert window["metrics"]["f1"]["value"] is None
    assert "positive" in window["metrics"]["f1"]["reason"]


def test_without_labels_every_figure_says_why(store: FilledStore) -> None:
    store.add(Prediction())
    (window,) = quality(store)["windows"]
    assert window["coverage"] == 0.0
    assert window["metrics"]["accuracy"] == {
        "value": None,
        "reason": "no label has joined yet; see coverage",
        "n": 0,
    }
    assert window["confusion"] == {"classes": [], "actual_by_predicted": []}
    assert window["per_class"] == {}


def test_a_corrected_label_changes_the_figure(store: FilledStore) -> None:
    store.add(*labelled_predictions([("fraud", "legit")]))
    assert quality(store)["windows"][0]["metrics"]["accuracy"]["value"] == 0.0
    store.add(Label("order-0", "fraud", label_id="label-fraud-0", revision=1))
    assert quality(store)["windows"][0]["metrics"]["accuracy"]["value"] == 1.0


def test_models_are_listed(store: FilledStore) -> None:
    store.add(*labelled_predictions(PAIRS[:2]), Prediction(model="churn", version="1", span=9))
    churn, fraud = get(store, "/api/v1/models").json()
    assert churn["model"] == "churn"
    assert fraud == {
        "model": "fraud",
        "versions": ["7"],
        "services": ["fraud-api"],
        "environments": [],
        "targets": ["default"],
        # to the minute, as the counters know it
        "first_seen": rfc3339(START_NS - START_NS % MINUTE_NS),
        "last_seen": rfc3339(START_NS - START_NS % MINUTE_NS),
        "predictions": 2,
        "labeled": 2,
        "time_axis": "prediction",
    }


def test_models_say_what_the_configuration_knows_of_them(store: FilledStore) -> None:
    known = {"owner": "risk", "description": "is it fraud?", "runbook": "https://wiki/fraud"}
    store.add(Prediction(), Prediction(model="churn", span=9))
    config = Config(models={"fraud": Model(**known), "churn": Model(owner="growth")})  # type: ignore[arg-type]
    churn, fraud = get(store, "/api/v1/models", config).json()
    assert {key: fraud[key] for key in known} == known
    assert (churn["owner"], "runbook" in churn, "description" in churn) == ("growth", False, False)


@pytest.mark.parametrize("model", ["team/fraud", "цена €", "a/quality", "100%", "a?b#c", "a b+c"])
def test_any_name_of_a_model_works_percent_encoded(store: FilledStore, model: str) -> None:
    store.add(*labelled_predictions(PAIRS[:2], model=model))
    assert quality(store, model=model)["windows"][0]["labeled"] == 2
    rows = get(store, f"/api/v1/models/{quote(model, safe='')}/predictions").json()
    assert (rows["model"], len(rows["predictions"])) == (model, 2)


def test_an_unknown_model_is_404_and_names_those_that_exist(store: FilledStore) -> None:
    empty = refused(get(store, "/api/v1/models/frod/quality"), 404)
    assert "OTLP" in empty["remedy"]
    store.add(Prediction())
    body = refused(get(store, "/api/v1/models/frod/predictions"), 404)
    assert body["value"] == "frod"
    assert body["remedy"] == "known: fraud"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("every=2h", "1m, 5m, 1h, 1d, all"),
        ("average=samples", "binary, macro, micro, weighted"),
        ("from=yesterday", "2026-11-21T06:00:00Z"),
        ("from=2026-11-21T06:00:00", "offset"),
        ("from=2026-11-21T06:00:00+01:00", "%2B"),
        ("from=-1", "not a time"),
        ("from=9999-01-01T00:00:00Z", "1970 to 2262"),
        ("from=120&to=60", "not after"),
        ("by=colour", "slice.<key>"),
        ("by=slice.", "slice.<key>"),
        ("by=version,,model", "environment"),
        ("window=1h", "every, from, to, target"),
        ("every=1h&every=1d", "more than once"),
    ],
)
def test_a_bad_parameter_is_400_with_the_remedy(store: FilledStore, query: str, named: str) -> None:
    store.add(Prediction())
    body = refused(get(store, f"/api/v1/models/fraud/quality?{query}"), 400)
    assert named in body["detail"]
    assert f"{body['parameter']}=" in query
    assert {"value", "rule", "remedy"} <= body.keys()


def test_too_many_windows_are_refused(store: FilledStore) -> None:
    config = Config(limits=Limits(query_windows=2))
    url = "/api/v1/models/fraud/quality?every=1m"
    store.add(
        *(
            Prediction(f"p{i}", span=i + 1, event_time=HOUR_START_NS + i * MINUTE_NS)
            for i in range(3)
        )
    )
    body = refused(get(store, url, config), 400)
    assert "3 windows" in body["rule"]
    assert "limits.query_windows" in body["rule"]
    assert "coarser" in body["remedy"]
    until = (HOUR_START_NS + 2 * MINUTE_NS) // SECOND_NS
    assert get(store, f"{url}&to={until}", config).status_code == 200


def test_only_windows_that_hold_something_count(store: FilledStore) -> None:
    # One clock that runs a year late would make a range of half a million minutes.
    config = Config(limits=Limits(query_windows=2))
    store.add(
        Prediction("now"), Prediction("late", span=2, event_time=START_NS - 365 * 24 * HOUR_NS)
    )
    windows = get(store, "/api/v1/models/fraud/quality?every=1m", config).json()["windows"]
    assert len(windows) == 2


def test_too_many_groups_are_refused(store: FilledStore) -> None:
    config = Config(limits=Limits(query_windows=2))
    store.add(*(Prediction(f"p{i}", version=str(i), span=i + 1) for i in range(3)))
    url = "/api/v1/models/fraud/quality"
    assert "3 windows × groups" in refused(get(store, f"{url}?by=version", config), 400)["rule"]
    assert get(store, url, config).status_code == 200


def test_matrices_beyond_reason_are_refused(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(*labelled_predictions([("a", "b"), ("c", "d")]))
    monkeypatch.setattr(api, "MATRIX_CELLS_MAX", 15)
    body = refused(get(store, "/api/v1/models/fraud/quality"), 400)
    assert "16 cells" in body["rule"]


def test_figures_of_very_many_classes_are_left_out_and_refused_where_they_are_asked_for(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(*labelled_predictions([("a", "b"), ("c", "d")]))
    url = "/api/v1/models/fraud/quality"
    assert set(get(store, url).json()["windows"][0]["per_class"]) == {"a", "b", "c", "d"}
    monkeypatch.setattr(quality_json, "CLASS_ROWS_MAX", 3)
    monkeypatch.setattr(api, "CLASS_ROWS_MAX", 3)
    body = get(store, url).json()
    assert body["windows"][0]["per_class"] == {}
    assert body["windows"][0]["confusion"]["classes"] == ["a", "b", "c", "d"]
    assert "4 classes of windows × groups are not shown, at most 3" in body["notes"][-1]
    body = refused(get(store, f"{url}?include=per_class"), 400)
    assert "4 classes of windows × groups, at most 3" in body["rule"]
    assert "include=per_class" in body["remedy"]


def test_models_takes_no_parameters(store: FilledStore) -> None:
    refused(get(store, "/api/v1/models?limit=3"), 400)
