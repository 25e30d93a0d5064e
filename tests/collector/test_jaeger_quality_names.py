"""The Model Quality page keeps apart what reads the same, and shows who has no name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import ask
from records import Label, Prediction
from stored import Stored, stored, unnoticed

from inferspan_collector.config import Config
from inferspan_collector.publish import jaeger_quality


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Stored]:
    with stored(tmp_path, Config()) as opened:
        yield opened


def page(store: Stored, service: str = "fraud-api") -> dict[str, Any]:
    answer = ask(
        jaeger_quality.routes(store, store.config, unnoticed),
        f"{jaeger_quality.PATH}?service={service}",
    )
    reply: dict[str, Any] = answer.json()
    return reply


def test_versions_that_read_the_same_are_both_shown(store: Stored) -> None:
    store.commit(
        Prediction(prediction_id="a", version="7", span=1, trace=1),
        Prediction(prediction_id="b", version="v7", span=2, trace=2),
        Prediction(prediction_id="c", version="v7", span=3, trace=3),
    )
    shown = {client["version"]: client for client in page(store)["clients"]}
    seven = shown.pop("fraud v7")
    assert (seven["count"], [one["traceID"][-1] for one in seven["examples"]]) == (1, ["1"])
    ((name, other),) = shown.items()
    assert name.startswith("fraud v7-")
    assert (other["count"], {one["traceID"][-1] for one in other["examples"]}) == (2, {"2", "3"})


@pytest.mark.parametrize("service", ["unknown_service", "unknown_service-quality"])
def test_predictions_without_a_service_have_a_page(store: Stored, service: str) -> None:
    store.commit(Prediction(service=None), Label(actual="fraud"))
    reply = page(store, service)
    assert {metric["name"]: metric["passCount"] for metric in reply["metrics"]} == {
        "accuracy fraud v7": 1,
        "recall fraud v7[fraud]": 1,
        "completed fraud v7": 1,
    }


def test_without_any_such_prediction_that_page_says_so(store: Stored) -> None:
    store.commit(Prediction())
    reply = page(store, "unknown_service")
    assert "unknown_service predicted nothing" in reply["bannerText"]["value"]
