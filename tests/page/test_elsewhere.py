"""Where a model's page leads: to its dashboards in Grafana, to its mistakes in Jaeger."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from asking import labelled_predictions
from records import START_NS
from shown_page import links, shown

from inferspan_collector.config import Config
from inferspan_collector.page.choices import address
from inferspan_collector.publish.jaeger_names import service_names

JAEGER = "http://127.0.0.1:16686"
MODELS = ["churn", "fraud"]
PAIRS = [("fraud", "fraud")] * 40 + [("fraud", "legit")] * 10


def test_a_model_leads_to_its_dashboards_and_its_mistakes(tmp_path: Path) -> None:
    config = Config.model_validate(
        {"jaeger": {"ui": f"{JAEGER}/"}, "publish": {"grafana": "https://g.example/x/"}}
    )
    with shown(tmp_path, config) as page:
        page.store.add(*labelled_predictions(PAIRS, service="fraud & co"))
        html = page.get(f"{address('fraud')}?version=7&range=all").text
    found = set(links(html))
    boards = sorted(link for link in found if link.startswith("https://g.example/x/d/inferspan-"))
    assert len(boards) == 3
    for board in boards:
        asked = parse_qs(urlsplit(board).query)
        assert (asked["var-model"], asked["var-version"]) == (["fraud"], ["7"])
        assert int(asked["from"][0]) <= START_NS // 10**6 <= int(asked["to"][0])
    (search,) = [link for link in found if link.startswith(f"{JAEGER}/search?")]
    asked = parse_qs(urlsplit(search).query)
    assert asked["service"] == ["fraud___co-quality"]
    assert asked["tags"] == ['{"inferspan.evaluation.outcome": "incorrect"}']


def test_services_that_look_alike_lead_to_their_own_mistakes(tmp_path: Path) -> None:
    config = Config.model_validate({"jaeger": {"ui": JAEGER}})
    alike = ["fraud.api", "fraud_api", "fraud/api"]
    with shown(tmp_path, config) as page:
        for at, service in enumerate(alike):
            # One of them serves another model.
            model = "churn" if service == "fraud_api" else "fraud"
            page.store.add(
                *labelled_predictions(PAIRS, service=service, model=model, first=at * 100)
            )
        names = service_names(alike)
        found = {model: services_of_links(page.get(address(model)).text) for model in MODELS}
    assert found == {
        "fraud": {f"{names['fraud.api']}-quality", f"{names['fraud/api']}-quality"},
        "churn": {"fraud_api-quality"},
    }


def services_of_links(html: str) -> set[str]:
    """The services that links to Jaeger search for."""
    searches = {link for link in links(html) if link.startswith(f"{JAEGER}/search?")}
    return {service for link in searches for service in parse_qs(urlsplit(link).query)["service"]}
