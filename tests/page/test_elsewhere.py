"""Where a model's page leads: to its dashboards in Grafana, to its mistakes in Jaeger."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from asking import labelled_predictions
from records import START_NS
from shown_page import elements, shown

from inferspan_collector.config import Config
from inferspan_collector.page.choices import address

JAEGER = "http://127.0.0.1:16686"
PAIRS = [("fraud", "fraud")] * 40 + [("fraud", "legit")] * 10


def test_a_model_leads_to_its_dashboards_and_its_mistakes(tmp_path: Path) -> None:
    config = Config.model_validate(
        {"jaeger": {"ui": f"{JAEGER}/"}, "publish": {"grafana": "https://g.example/x/"}}
    )
    with shown(tmp_path, config) as page:
        page.store.add(*labelled_predictions(PAIRS, service="fraud & co"))
        html = page.get(f"{address('fraud')}?version=7&range=all").text
    links = {attributes["href"] or "" for tag, attributes in elements(html) if tag == "a"}
    boards = sorted(link for link in links if link.startswith("https://g.example/x/d/inferspan-"))
    assert len(boards) == 3
    for board in boards:
        asked = parse_qs(urlsplit(board).query)
        assert (asked["var-model"], asked["var-version"]) == (["fraud"], ["7"])
        assert int(asked["from"][0]) <= START_NS // 10**6 <= int(asked["to"][0])
    (search,) = [link for link in links if link.startswith(f"{JAEGER}/search?")]
    asked = parse_qs(urlsplit(search).query)
    assert asked["service"] == ["fraud___co-quality"]
    assert asked["tags"] == ['{"inferspan.evaluation.outcome": "incorrect"}']
