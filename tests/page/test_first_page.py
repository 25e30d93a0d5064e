"""The first page: a card for each model, what alerts now before all others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import labelled_predictions
from records import MINUTE_NS, START_NS, Prediction
from shown_page import Shown, shown, text

from inferspan_collector.config import Config
from inferspan_collector.page.choices import address
from inferspan_collector.telemetry import PUBLISHED_METRICS

RIGHT = [("legit", "legit")]
WRONG = [("fraud", "legit")]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Shown]:
    with shown(tmp_path) as found:
        yield found


def test_what_alerts_now_stands_first_with_its_figure(tmp_path: Path) -> None:
    config = Config.model_validate(
        {"models": {"zinc": {"thresholds": {"accuracy": {"lower": 0.8}}}}}
    )
    with shown(tmp_path, config) as page:
        page.store.now = START_NS + 30 * MINUTE_NS
        for at, model in enumerate(("alum", "zinc")):
            page.store.add(
                *labelled_predictions(10 * WRONG + 10 * RIGHT, model=model, first=at * 1_000)
            )
            more = 30 * WRONG
            page.store.add(*labelled_predictions(more, at * 1_000 + 500, model=model))
        before = text(page.whole("/"))
        page.figures.make()
        after = text(page.whole("/"))
        page.store.add(*(Prediction(f"m{i}", model=f"m-{i:02}", span=9_000 + i) for i in range(30)))
        many, last = text(page.whole("/")), text(page.whole("/?page=2"))
    assert before.index("alum") < before.index("zinc")
    assert after.index("zinc") < after.index("alum")
    assert re.search(
        r"◆ now accuracy 20\.0 % \([\d.]+ to [\d.]+ %\) of the last 1h, n = 50\b", after
    )
    # On the first page, whatever its name.
    assert "zinc" in many
    assert "zinc" not in last


def test_a_model_of_few_windows_has_a_card_without_a_picture(page: Shown) -> None:
    page.store.add(*labelled_predictions(4 * RIGHT))
    card = page.part(address("fraud", "card"))
    assert "<svg" not in card
    assert "None" not in text(card)


def test_many_models_are_shown_some_at_a_time(page: Shown) -> None:
    page.store.add(*(Prediction(f"p{i}", model=f"model-{i:02}", span=i + 1) for i in range(30)))
    first, second = text(page.whole("/")), text(page.whole("/?page=2"))
    assert "model-00" in first
    assert "model-29" not in first
    assert "model-29" in second


@pytest.mark.parametrize(
    ("failed", "said"), [(0, "✓ metrics pushed 3"), (2, "! look metrics pushed 3")]
)
def test_what_is_pushed_and_asked_elsewhere_is_part_of_our_health(
    tmp_path: Path, failed: int, said: str
) -> None:
    config = Config.model_validate({"publish": {"otlp": "http://otlp.example:4318"}})
    with shown(tmp_path, config) as page:
        page.store.telemetry.add(PUBLISHED_METRICS, 3, result="ok")
        page.store.telemetry.add(PUBLISHED_METRICS, failed, result="error")
        first = text(page.whole("/"))
    assert said in first
    assert ("is http://otlp.example:4318 (publish.otlp) up?" in first) is bool(failed)
    assert "Monitor's other services" not in first
