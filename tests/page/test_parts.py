"""Single parts of a model's page, asked for what the model lacks or what is not known of it yet."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from shown_data import NOW_NS, TRIAGE, triage
from shown_page import Shown, links, shown, text

from inferspan_collector.config import Config
from inferspan_collector.page import wording
from inferspan_collector.page.choices import address
from inferspan_collector.page.parts import PARTS


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    reference = {"until": "2026-11-17T20:00:00Z"}
    config = Config.model_validate({"models": {TRIAGE: {"reference": reference}}})
    with shown(tmp_path_factory.mktemp("filled"), config) as found:
        found.store.now = NOW_NS
        found.store.add(*triage())
        yield found


@pytest.mark.parametrize("part", PARTS)
def test_a_figure_that_the_model_lacks_harms_no_part(filled: Shown, part: str) -> None:
    html = filled.part(f"{address(TRIAGE, part)}?range=all&figure=mean_absolute_error")
    assert "Internal error" not in html
    if part == "groups":
        assert "no such figure here" in text(html)


def test_a_gap_that_nobody_knows_of_yet_is_not_called_chance(filled: Shown) -> None:
    windows = filled.get(f"/api/v1/models/{TRIAGE}/estimates?every=5m").json()["windows"]
    gaps = {window["start"]: window["metrics"]["accuracy"]["gap"] for window in windows}
    few = [start for start, gap in gaps.items() if gap and gap["significant"] is None]
    start = wording.minute_of(few[-1]) * 60
    query = f"from={start:.0f}&to={start + 300:.0f}&every=5m"
    said = text(filled.part(f"{address(TRIAGE, 'estimates')}?{query}"))
    assert "chance may do that" not in said
    assert "not yet known" in said.partition("true less expected")[2]


@pytest.mark.parametrize("part", ["estimates", "drift"])
def test_a_slice_leads_to_what_the_api_says_of_it(filled: Shown, part: str) -> None:
    (row,) = filled.get(f"/api/v1/models/{TRIAGE}/predictions?limit=1").json()["predictions"]
    value = row["slices"]["hospital"]
    html = filled.part(f"{address(TRIAGE, part)}?range=all&by=hospital&value={quote(value)}")
    (url,) = [link for link in links(html) if f"/{part}?" in link]
    assert parse_qs(urlsplit(url).query)["slice.hospital"] == [value]
    answer = filled.get(url)
    assert answer.status_code == 200
    values = filled.get(f"/api/v1/models/{TRIAGE}/quality?by=slice.hospital").json()["windows"]
    (whole,) = [w["predictions"] for w in values if w["group"]["slice.hospital"] == value]
    assert sum(window["predictions"] for window in answer.json()["windows"]) == whole
