"""Single predictions of a model: outcomes, cells of the matrix, slices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from asking import FilledStore, ask, labelled_predictions
from records import MINUTE_NS, SECOND_NS, START_NS, Prediction

from inferspan_collector.publish import api
from inferspan_collector.publish.parameters import rfc3339
from inferspan_collector.store.row_queries import OUTCOMES

PAIRS = [("fraud", "fraud")] * 6 + [("fraud", "legit")] * 2 + [("legit", "fraud")] + [
    ("legit", "legit")
] * 11  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    yield filled
    filled.close()


def get(store: FilledStore, url: str) -> httpx.Response:
    return ask(api.routes(store, store.config), url)


def test_single_predictions_newest_first(store: FilledStore) -> None:
    store.add(
        *labelled_predictions(PAIRS[4:8], slices={"country": "DE"}),
        Prediction("late", span=50, trace=50, event_time=START_NS - 1, score=0.25),
        Prediction("broken", span=51, trace=51, predicted=None, error_type="ValueError"),
    )
    found = {
        outcome: [
            row["prediction_id"]
            for row in get(store, f"/api/v1/models/fraud/predictions?outcome={outcome}").json()[
                "predictions"
            ]
        ]
        for outcome in OUTCOMES
    }
    assert found == {
        "correct": ["order-1", "order-0"],
        "incorrect": ["order-3", "order-2"],
        "unlabeled": ["late"],
        "failed": ["broken"],
    }
    row = get(store, "/api/v1/models/fraud/predictions?outcome=incorrect&limit=1").json()
    assert row["predictions"] == [
        {
            "prediction_id": "order-3",
            "index": 0,
            "trace_id": f"{4:032x}",
            "span_id": f"{4:016x}",
            "environment": None,
            "service": "fraud-api",
            "version": "7",
            "variant": None,
            "predicted": "fraud",
            "score": None,
            "value": None,
            "expected": "legit",
            "correct": False,
            "error_type": None,
            "time": rfc3339(START_NS + 3 * SECOND_NS),
            "duration": 0.005,
            "label_time": rfc3339(START_NS + MINUTE_NS),
            "implied": False,
            "slices": {"country": "DE"},
        }
    ]


def test_one_cell_of_the_matrix_can_be_listed(store: FilledStore) -> None:
    store.add(*labelled_predictions(PAIRS))
    rows = get(store, "/api/v1/models/fraud/predictions?predicted=legit&expected=fraud").json()
    assert [row["prediction_id"] for row in rows["predictions"]] == ["order-8"]


def test_numbers_that_json_lacks_become_null(store: FilledStore) -> None:
    store.add(Prediction(task="regression", predicted=None, value=math.inf))
    (row,) = get(store, "/api/v1/models/fraud/predictions").json()["predictions"]
    assert row["value"] is None


@pytest.mark.parametrize("query", ["outcome=wrong", "limit=0", "limit=1001", "limit=x", "by=model"])
def test_bad_parameters_of_the_list_are_400(store: FilledStore, query: str) -> None:
    store.add(Prediction())
    assert get(store, f"/api/v1/models/fraud/predictions?{query}").status_code == 400


def test_slices_narrow_the_list(store: FilledStore) -> None:
    store.add(
        Prediction("a", span=1, slices={"country": "DE", "device": "phone"}),
        Prediction("b", span=2, slices={"country": "DE"}),
        Prediction("c", span=3, slices={"country": "FR", "device": "phone"}),
        Prediction("d", span=4),
    )

    def listed(query: str) -> list[str]:
        body = get(store, f"/api/v1/models/fraud/predictions?{query}").json()
        return sorted(row["prediction_id"] for row in body["predictions"])

    assert listed("slice.country=DE") == ["a", "b"]
    assert listed("slice.device=phone") == ["a", "c"]
    assert listed("slice.country=DE&slice.device=phone") == ["a"]
    assert listed("slice.country=phone") == []
    assert listed("") == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("slice.country=DE&slice.country=FR", "more than once"),
        ("slice.=DE", "slice.<key>"),
        ("&".join(f"slice.k{i}=v" for i in range(9)), "at most 8"),
    ],
)
def test_slices_that_cannot_be_asked_for_are_400(store: FilledStore, query: str, said: str) -> None:
    store.add(Prediction())
    response = get(store, f"/api/v1/models/fraud/predictions?{query}")
    assert response.status_code == 400
    assert said in response.json()["detail"]
