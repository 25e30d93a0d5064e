"""The page says what the API says, teaches where there is nothing, and lets no text be markup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from asking import labelled_later, labelled_predictions
from records import MINUTE_NS, SECOND_NS, START_NS, Label, Prediction, Stage
from shown_data import HOSTILE, NOW_NS, TRIAGE, hostile, regression, triage
from shown_page import HTML, Shown, elements, links, shown, text

from inferspan_collector.config import Config
from inferspan_collector.page import wording
from inferspan_collector.page.choices import address
from inferspan_collector.page.parts import PARTS
from inferspan_collector.telemetry import HELD, HELD_LIMIT

PAIRS = [("fraud", "fraud")] * 40 + [("fraud", "legit")] * 10 + [("legit", "legit")] * 30
JAEGER = "http://127.0.0.1:16686"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Shown]:
    with shown(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    config = Config.model_validate(
        {
            "jaeger": {"ui": f"{JAEGER}/"},
            "models": {
                TRIAGE: {
                    "owner": "radiology",
                    "latency_objective_ms": 20,
                    "reference": {"until": "2026-11-17T20:00:00Z"},
                }
            },
        }
    )
    with shown(tmp_path_factory.mktemp("filled"), config) as found:
        found.store.now = NOW_NS
        found.store.add(*triage())
        found.store.add(*regression())
        found.store.add(*hostile())
        yield found


def quality(page: Shown, query: str, model: str = TRIAGE) -> dict:  # type: ignore[type-arg]
    response = page.get(f"/api/v1/models/{quote(model, safe='')}/quality{query}")
    body: dict = response.json()  # type: ignore[type-arg]
    return body


def test_programs_still_get_the_list_of_endpoints(page: Shown) -> None:
    response = page.get("/", {"accept": "*/*"})
    assert response.headers["content-type"].startswith("text/plain")
    assert "/api/v1/models" in response.text


def test_an_empty_collector_says_how_to_send_the_first_prediction(page: Shown) -> None:
    said = text(page.whole("/"))
    assert "No prediction has arrived yet" in said
    assert "inferspan.configure" in said
    assert page.config.receivers.otlp_http in said


def test_a_model_without_labels_says_how_to_send_one(page: Shown) -> None:
    page.store.add(*(Prediction(f"p{i}", span=i + 1, trace=i + 1) for i in range(50)))
    said = text(page.whole("/models/fraud"))
    assert "No label has joined yet" in said
    assert "inferspan labels push" in said
    assert "no label has joined yet; see coverage" in said
    assert "0.0 %" in said


def test_figures_are_those_of_the_api(filled: Shown) -> None:
    said = text(filled.whole(f"/models/{TRIAGE}?range=all"))
    (window,) = quality(filled, "")["windows"]
    figure = window["metrics"]["accuracy"]
    assert f"accuracy {wording.number(figure['value'], 'accuracy')}" in said
    assert f"{wording.interval(figure, 'accuracy')}, n = {figure['n']:,}" in said
    assert f"p95 {wording.seconds(window['latency']['p95'])}" in said
    for row in window["confusion"]["actual_by_predicted"]:
        for n in row:
            assert wording.count(n) in said
    for by in quality(filled, "?by=version")["windows"]:
        assert wording.number(by["metrics"]["accuracy"]["value"], "accuracy") in said


def test_what_is_expected_stands_first_beside_what_is_true(filled: Shown) -> None:
    html = filled.whole(f"/models/{TRIAGE}")
    parts = [each["id"] for tag, each in elements(html) if tag == "section" and "id" in each]
    assert parts == list(PARTS)
    assert parts[0] == "estimates"
    body = filled.get(f"/api/v1/models/{TRIAGE}/estimates?every=1h").json()
    newest = body["windows"][-1]["metrics"]["accuracy"]
    estimate = text(filled.part(address(TRIAGE, "estimates")))
    assert (
        f"expected accuracy {wording.number(newest['estimated']['value'], 'accuracy')}" in estimate
    )
    assert f"true so far {wording.number(newest['realized']['value'], 'accuracy')}" in estimate
    assert "of its labels are to be here by now" in estimate


def test_alerts_are_those_of_the_api_and_stand_in_the_chart(filled: Shown) -> None:
    start = NOW_NS // MINUTE_NS + 1 - 1440
    windows = quality(filled, f"?every=1h&from={start * 60}")["windows"]
    n = sum(window["metrics"]["accuracy"]["alert"] for window in windows)
    assert n > 1
    html = filled.part(address(TRIAGE, "trend"))
    assert f"{n} alerts" in text(html)
    assert sum(each.get("class") == "alert" for _, each in elements(html)) == n
    assert f"{n} alerts" in text(filled.whole("/"))


def test_every_mistake_leads_to_its_trace(filled: Shown) -> None:
    body = filled.get(f"/api/v1/models/{TRIAGE}/predictions?outcome=incorrect&limit=12").json()
    links = [each.get("href") for _, each in elements(filled.part(address(TRIAGE, "mistakes")))]
    for row in body["predictions"]:
        assert f"{JAEGER}/trace/{row['trace_id']}?uiFind={row['span_id']}" in links


def test_without_jaeger_there_is_the_id_and_what_to_set(page: Shown) -> None:
    page.store.add(*labelled_predictions(PAIRS))
    html = page.part(address("fraud", "mistakes"))
    assert "jaeger.ui" in text(html)
    assert not [each for _, each in elements(html) if "/trace/" in (each.get("href") or "")]
    assert page.get("/api/v1/models/fraud/predictions?outcome=incorrect").json()["predictions"][0][
        "trace_id"
    ] in text(html)


def test_a_cell_of_the_matrix_leads_to_its_predictions(filled: Shown) -> None:
    html = filled.part(address(TRIAGE, "confusion"))
    (missed,) = [link for link in links(html) if "predicted=benign&expected=malignant" in link]
    rows = text(filled.whole(missed.partition("#")[0])).partition("Newest mistakes")[2]
    assert "Only where benign was said and malignant was true" in rows


def test_a_figure_of_few_is_not_yet_known(page: Shown) -> None:
    page.store.add(*labelled_predictions(PAIRS[:10]))
    said = text(page.whole("/models/fraud"))
    assert "not yet known , below 30" in said
    html = page.part(address("fraud", "trend"))
    assert any("unsure" in (each.get("class") or "") for _, each in elements(html))


def test_a_figure_that_is_withheld_says_why(filled: Shown) -> None:
    html = filled.part(address("demand", "trend"))
    (window,) = quality(filled, "", "demand")["windows"]
    withheld = {f["reason"] for f in window["metrics"].values() if f["value"] is None}
    assert withheld
    said = text(html)
    assert [reason for reason in withheld if " ".join(reason.split()) not in said] == []


def test_stages_stand_below_the_latency_with_n_and_coverage(page: Shown) -> None:
    page.store.now = START_NS + MINUTE_NS
    steps = [Stage("<b>features", span=100), Stage(None, "queue", span=1, duration=1_000_000)]
    page.store.add(Prediction(), Prediction("order-2", span=2), *steps)
    html = page.part("/parts/latency/fraud")

    said = text(html)
    assert "Of recorded traces only" in said
    assert "<b>features 2" in said
    assert "the call queue 999 µs" in said
    assert "1 50.0 %" in said


def test_slices_and_versions_narrow_by_links(filled: Shown) -> None:
    html = filled.whole(f"/models/{TRIAGE}?by=hospital&range=all")
    (south,) = [link for link in links(html) if link.endswith("value=south")]
    said = text(filled.whole(south))
    windows = quality(filled, "?by=slice.hospital")["windows"]
    (figure,) = [
        w["metrics"]["accuracy"] for w in windows if w["group"]["slice.hospital"] == "south"
    ]
    assert "Only hospital = south" in said
    assert f"{wording.interval(figure, 'accuracy')}, n = {figure['n']:,}" in said
    (version,) = quality(filled, "?version=7")["windows"]
    assert f"n = {version['metrics']['accuracy']['n']:,}" in text(
        filled.whole(f"/models/{TRIAGE}?version=7&range=all")
    )


def test_where_no_version_was_chosen_none_is_marked(page: Shown) -> None:
    page.store.add(*labelled_predictions(PAIRS[:4], version=None))
    page.store.add(*labelled_predictions(PAIRS[:4], 100, version="7"))
    marked = {
        asked: [each for _, each in elements(page.part(f"/parts/groups/fraud{asked}"))
                if each.get("class") == "chosen"]
        for asked in ("?range=all", "?range=all&version=7")
    }  # fmt: skip
    assert [len(rows) for rows in marked.values()] == [0, 1]


def test_drift_says_which_columns_changed(filled: Shown) -> None:
    said = text(filled.part(address(TRIAGE, "drift")))
    columns = filled.get(f"/api/v1/models/{TRIAGE}/drift?every=1h").json()["columns"]
    assert [name for name in columns if name not in said] == []
    assert "changed" in said


def test_the_lag_of_labels_is_that_of_the_api(filled: Shown) -> None:
    start = NOW_NS // MINUTE_NS + 1 - 1440
    body = filled.get(f"/api/v1/models/{TRIAGE}/estimates?every=1h&from={start * 60}").json()
    said = text(filled.part(address(TRIAGE, "labels")))
    assert f"half are here within {wording.seconds(body['label_lag']['p50'])}" in said
    assert (
        f"labelled in the end {wording.number(body['label_lag']['final_coverage'], 'coverage')}"
        in said
    )


def test_versions_lead_to_whether_their_difference_is_chance(filled: Shown) -> None:
    html = filled.part(f"{address(TRIAGE, 'groups')}?range=all")
    assert f"inferspan compare {TRIAGE} --a 7 --b 8" in text(html)
    (url,) = [link for link in links(html) if "/compare?" in link]
    asked = urlsplit(url)
    assert asked.path == f"/api/v1/models/{TRIAGE}/compare"
    assert parse_qs(asked.query)["a"] == ["7"]
    assert parse_qs(asked.query)["b"] == ["8"]


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ("label_arrival", "shows this model when its labels come"),
        ("prediction", "models.fraud.time_axis: label_arrival"),
    ],
)
def test_labels_that_take_longer_than_the_monitor_looks_back(
    tmp_path: Path, axis: str, said: str
) -> None:
    config = Config.model_validate({"jaeger": {"time_axis": axis}})
    with shown(tmp_path, config) as page:
        page.store.add(*labelled_later(40, lag_minutes=3 * 1440))
        page.store.now = START_NS + 3 * 1440 * MINUTE_NS + 3600 * SECOND_NS
        assert said in text(page.part(f"{address('fraud', 'labels')}?range=all"))


def test_our_own_health_is_said_with_a_remedy(page: Shown) -> None:
    page.store.add(Label("nobody", "fraud", model="fraud"))
    page.store.now = START_NS + 60 * MINUTE_NS
    assert "labels of fraud without a prediction 1" in text(page.whole("/"))
    page.store.alive = False
    said = text(page.whole("/"))
    assert "the writer does not run" in said
    assert "start the collector again" in said


@pytest.mark.parametrize(("part", "worth_a_look"), [("queue", True), ("recent_ids", False)])
def test_memory_that_is_nearly_full_is_worth_a_look(
    page: Shown, part: str, worth_a_look: bool
) -> None:
    page.store.telemetry.watch(HELD, lambda: 81, part=part)
    page.store.telemetry.watch(HELD_LIMIT, lambda: 100, part=part)
    assert (f"held: {part} 81 B of 100 B" in text(page.whole("/"))) is worth_a_look


def test_no_text_of_a_model_is_markup(filled: Shown) -> None:
    for url in ("/", address(HOSTILE), address(HOSTILE, None, {"by": HOSTILE, "value": HOSTILE})):
        html = filled.whole(url)
        assert "{{7*7}}" in text(html)
        for tag, attributes in elements(html):
            assert tag not in ("img", "iframe", "object", "style"), (tag, attributes)
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            assert tag != "script" or (attributes["src"] or "").startswith("/page/page.js?")
            assert not (attributes.get("href") or "").lower().startswith("javascript")


def test_every_answer_forbids_what_is_not_ours(filled: Shown) -> None:
    for url in (
        "/",
        f"/models/{TRIAGE}",
        "/models/nobody",
        address(TRIAGE, "trend"),
        "/page/page.css",
    ):
        headers = filled.get(url).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("/models/nobody", 404, ("nobody", "rule", "names are compared exactly", "remedy")),
        ("/models/fraud?range=2h", 400, ("2h", "not one of the known values", "use 1h, 6h")),
        ("/models/fraud?from=yesterday", 400, ("yesterday", "not a time", "write 2026-")),
        ("/models/fraud?colour=red", 400, ("red", "no such parameter", "known here")),
        ("/models/fraud?list=odd", 400, ("odd", "use incorrect")),
        ("/parts/nothing/fraud", 404, ("nothing", "estimates, trend")),
        ("/?page=0", 400, ("a whole number from 1 on", "leave it out")),
    ],
)
def test_what_is_wrong_is_said_with_value_rule_and_remedy(
    page: Shown, url: str, status: int, said: tuple[str, ...]
) -> None:
    page.store.add(Prediction())
    response = page.get(url)
    assert response.status_code == status
    shown_text = text(response.text)
    assert [part for part in said if part not in shown_text] == []


def test_a_question_that_the_api_refuses_leaves_the_other_parts(tmp_path: Path) -> None:
    config = Config.model_validate({"limits": {"query_windows": 1}})
    with shown(tmp_path, config) as page:
        page.store.add(*labelled_predictions(PAIRS))
        page.store.add(*labelled_predictions(PAIRS, 100, start=START_NS + 60 * MINUTE_NS))
        page.store.now = START_NS + 61 * MINUTE_NS
        said = text(page.whole("/models/fraud?every=1m"))
    assert "limits.query_windows" in said
    assert "ask for a coarser" in said
    assert "true \\ said" in said


def test_a_time_without_predictions_says_where_they_are(page: Shown) -> None:
    page.store.add(*labelled_predictions(PAIRS))
    page.store.now = START_NS + 3 * 86_400 * SECOND_NS
    html = page.whole("/models/fraud")
    assert "No predictions in this time" in text(html)
    (link,) = [
        each["href"] or "" for tag, each in elements(html) if (tag, each.get("href", "")) ==
        ("a", "/models/fraud?range=all") and "aria-current" not in each
    ][:1]  # fmt: skip
    assert "80" in text(page.whole(link))
    # The first page shows what there is instead of nothing.
    assert "all time" in text(page.whole("/"))


def test_names_with_slashes_have_their_page(page: Shown) -> None:
    page.store.add(Prediction(model="org/fraud/parts/trend"))
    said = text(page.whole(address("org/fraud/parts/trend")))
    assert "org/fraud/parts/trend" in said


def test_a_part_stands_in_a_page_of_its_own_for_who_has_no_script(filled: Shown) -> None:
    html = filled.get(address(TRIAGE, "drift"), HTML).text
    assert "<!doctype html>" in html
    assert "feature.radius" in text(html)


def test_one_is_a_prediction(page: Shown) -> None:
    page.store.add(Prediction())
    assert "1 prediction," in text(page.whole("/"))
    assert "1 predictions" not in text(page.whole("/models/fraud"))


def test_what_is_loaded_stays_small(filled: Shown) -> None:
    for url in ("/", f"/models/{TRIAGE}?by=hospital", "/models/demand?every=5m"):
        html = filled.whole(url)
        files = sum(
            len(filled.get(f"/page/{n}").content) for n in ("page.css", "page.js", "icon.svg")
        )
        assert len(html.encode()) + files < 160_000, url


def test_files_change_their_address_with_their_content(filled: Shown) -> None:
    html = filled.get("/").text
    sources = [e.get("src") or e.get("href") for t, e in elements(html) if t in ("script", "link")]
    assert len(sources) == 3
    for source in sources:
        assert source is not None
        response = filled.get(source)
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
    assert filled.get("/page/serving.py").status_code == 404
