"""Drift and estimates of one slice: what falls in it moves the whole model little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from asking import FilledStore, ask
from foreseen import HOUR_NS, HOUR_START_NS, HOURLY, REFERENCE, drawn, get, hours
from records import Label, Prediction

from inferspan_collector.publish import drifting, foreseeing


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    filled.now = HOUR_START_NS + 48 * HOUR_NS
    yield filled
    filled.close()


def test_what_fell_in_one_slice_is_seen_in_that_slice_alone(store: FilledStore) -> None:
    for country, late_sure in (("DE", True), ("FR", False)):
        first = 0 if country == "DE" else 100
        scores, truths = drawn(8 * HOURLY, 1 + first, sure=True)
        later, _ = drawn(4 * HOURLY, 2 + first, sure=late_sure)
        about = {"slices": {"country": country}}
        for rows in (hours(scores, truths.tolist(), **about), hours(later, None, 8, **about)):
            # Two countries at the same time, of which each prediction has its own id.
            store.add(*(renamed(row, country, first * HOURLY) for row in rows))
    far: dict[str, list[float]] = {}
    for country, fallen in (("DE", False), ("FR", True)):
        asked = f"?every=1h&slice.country={country}{REFERENCE}"
        body = get(store, "estimates", asked)
        assert body["reference"]["predictions"] == 8 * HOURLY
        assert [window["predictions"] for window in body["windows"]] == [HOURLY] * 12
        late = [window["metrics"]["accuracy"]["alert"] for window in body["windows"][8:]]
        assert late == [fallen] * 4
        scores_of = get(store, "drift", asked)["columns"]["predicted.score"]["figures"]
        far[country] = scores_of["jensen_shannon"]["values"][8:]
        assert not fallen or scores_of["jensen_shannon"]["alerts"][8:] == [True] * 4
        for what, whole in (("estimates", body), ("drift", get(store, "drift", asked))):
            grouped = get(store, what, f"?every=1h&by=slice.country{REFERENCE}")
            said = [group["group"]["slice.country"] for group in grouped["groups"]]
            assert said == ["DE", "FR"]
            mine = grouped["groups"][said.index(country)]
            assert {**grouped, **mine, "group": None, "notes": []} == {
                **grouped, **whole, "group": None, "notes": [],
            }  # fmt: skip
    # By chance an hour of the other may be beyond its threshold, but never as far.
    assert max(far["DE"]) < min(far["FR"]) / 2
    unknown = get(store, "drift", "?slice.country=XX")
    assert unknown["windows"] == []
    assert "no prediction of fraud has it; known: DE, FR" in unknown["notes"][0]


def test_a_baseline_says_nothing_of_a_slice(store: FilledStore) -> None:
    store.add(*hours([0.9], None, slices={"country": "DE"}))
    for family, what in ((drifting, "drift"), (foreseeing, "estimates")):
        url = f"/api/v1/models/fraud/{what}?slice.country=DE&reference_baseline=1"
        response = ask(family.routes(store, store.config), url)
        assert response.status_code == 400
        assert "a baseline says nothing of single slices" in response.json()["detail"]


@pytest.mark.parametrize(
    ("query", "rule"),
    [
        ("by=task", "'task' cannot be grouped by here"),
        ("by=nonsense", "'nonsense' cannot be grouped by"),
        ("by=slice.country", "the answer would hold 21 groups, at most 20"),
    ],
)
def test_groups_that_cannot_be_are_refused(store: FilledStore, query: str, rule: str) -> None:
    for number in range(21):
        row = hours([0.9], None, slices={"country": f"C{number:02}"})[0]
        store.add(renamed(row, f"C{number:02}", number))
    for family, what in ((drifting, "drift"), (foreseeing, "estimates")):
        response = ask(family.routes(store, store.config), f"/api/v1/models/fraud/{what}?{query}")
        assert response.status_code == 400
        assert rule in response.json()["rule"]
    (one,) = get(store, "drift", "?by=slice.country,version&slice.country=C07")["groups"]
    assert one["group"] == {"slice.country": "C07", "version": "7"}
    assert one["windows"][0]["predictions"] == 1
    unknown = get(store, "drift", "?by=slice.planet")
    assert unknown["groups"] == []
    assert "planet" in unknown["notes"][0]


@pytest.mark.parametrize("by", ["version,slice.country", "slice.country,slice.device"])
@pytest.mark.parametrize("time", ["", "&from=2026-11-18T00:00:00Z"])
def test_groups_that_do_not_exist_do_not_count(store: FilledStore, by: str, time: str) -> None:
    for number in range(6):
        slices = {"country": f"C{number:02}", "device": f"D{number:02}"}
        row = hours([0.9], None, slices=slices)[0]
        store.add(replace(renamed(row, f"C{number:02}", number), version=f"v{number}"))
    for what in ("drift", "estimates"):
        groups = get(store, what, f"?by={by}{time}")["groups"]
        first, second = by.split(",")
        said = [(group["group"][first], group["group"][second]) for group in groups]
        letters = ("v", "C0") if first == "version" else ("C0", "D0")
        assert said == [(f"{letters[0]}{n}", f"{letters[1]}{n}") for n in range(6)]


def renamed(row: Prediction | Label, country: str, numbers: int) -> Prediction | Label:
    if isinstance(row, Label):
        return replace(
            row,
            prediction_id=f"{country}-{row.prediction_id}",
            label_id=f"{country}-{row.label_id}",
        )
    return replace(
        row,
        prediction_id=f"{country}-{row.prediction_id}",
        trace=row.trace + numbers,
        span=row.span + numbers,
    )
