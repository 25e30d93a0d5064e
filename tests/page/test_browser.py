"""The page in a real browser: what it shows, that nothing is refused or run that should not be, on
narrow screens, in the dark, by keyboard, and without a script.

Screenshots are kept where `SCREENSHOTS` says, else in `artifacts/page`, which git ignores.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import shown_data
from playwright.sync_api import Browser, Page, sync_playwright
from shown_data import HOSTILE, NOW_NS, TRIAGE

from inferspan_collector.config import Config
from inferspan_collector.page.choices import address
from inferspan_collector.page.parts import PARTS
from inferspan_collector.server import running_collector

pytestmark = pytest.mark.real

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
KEPT = Path(__file__).parents[2] / "artifacts/page"
WAIT_MS = 30_000
LOADING = "[data-part] .pending"
LOADED = """performance.getEntriesByType("navigation")
    .concat(performance.getEntriesByType("resource"))
    .reduce((bytes, each) => bytes + each.decodedBodySize, 0)"""
"""Bytes of the page and of whatever it loaded, what was kept from before included."""
PAGES = {
    "models": "/",
    "triage": f"/models/{TRIAGE}?by=hospital",
    "regression": "/models/demand",
    "hostile": address(HOSTILE, None, {"by": HOSTILE}),
    "unlabelled": "/models/unlabelled",
}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A collector with two days of predictions; its address."""
    data = tmp_path_factory.mktemp("browsed")
    config = Config.model_validate(
        {
            "receivers": {"otlp_http": "off", "otlp_grpc": "off", "api": "127.0.0.1:0"},
            "store": {"data": str(data)},
            "jaeger": {"ui": "http://127.0.0.1:16686"},
            "publish": {"grafana": "http://127.0.0.1:3000"},
            "models": {
                TRIAGE: {
                    "owner": "radiology",
                    "latency_objective_ms": 20,
                    "reference": {"until": "2026-11-17T20:00:00Z"},
                }
            },
        }
    )
    shown_data.fill(data, config)
    with running_collector(config, clock=lambda: NOW_NS) as running:
        assert running.addresses.api is not None
        yield running.addresses.api


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, with a profile of its own."""
    program = shutil.which("chromium")
    assert program, "these tests need Chromium: apt-get install chromium (as .ci/run does)"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield started
        started.close()


@dataclass
class Tab:
    """A page, and whatever it complained about."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        """Go there, and wait for the parts that load by themselves."""
        self.page.goto(self.address + url)
        self.page.wait_for_selector(LOADING, state="detached", timeout=WAIT_MS)

    def shot(self, name: str) -> None:
        """Keep what it looks like."""
        kept = Path(os.environ.get("SCREENSHOTS", KEPT))
        kept.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=kept / f"{name}.png", full_page=True)


@pytest.fixture
def tab(browser: Browser, collector: str, request: pytest.FixtureRequest) -> Iterator[Tab]:
    """1,280 pixels wide and light, unless the test's parameter says otherwise."""
    options: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
    context = browser.new_context(**(options | getattr(request, "param", {})))
    found = Tab(context.new_page(), collector)
    found.page.on("console", lambda message: found.complaints.append(message.text))
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on("dialog", lambda dialog: found.complaints.append(dialog.message))
    yield found
    context.close()
    assert found.complaints == []


def screen(width: int, scheme: str = "light", **more: Any) -> dict[str, Any]:
    return {"viewport": {"width": width, "height": 900}, "color_scheme": scheme} | more


SCREENS = {
    f"{scheme}-{width}": screen(width, scheme)
    for width in (1280, 400)
    for scheme in ("light", "dark")
}


@pytest.mark.parametrize("tab", SCREENS.values(), ids=SCREENS, indirect=True)
def test_every_page_shows_its_parts_within_the_screen(
    tab: Tab, request: pytest.FixtureRequest
) -> None:
    for name, url in PAGES.items():
        tab.open(url)
        wide = tab.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, name
        assert 0 < tab.page.evaluate(LOADED) < 150_000, name
        if name == "triage":
            headings = tab.page.locator("section.part > h2").all_inner_texts()
            assert headings == [part.TITLE for part in PARTS.values()]
            for part in ("estimates", "trend", "latency", "labels"):
                box = tab.page.locator(f"#{part} .plot svg.chart").first.bounding_box()
                assert box is not None
                assert box["width"] > 200, part
        tab.shot(f"{name}-{request.node.callspec.id}")


def test_alerts_the_drop_and_the_trace_behind_a_mistake_are_there(tab: Tab) -> None:
    tab.open("/")
    card = tab.page.locator(".card", has_text=TRIAGE)
    assert "alerts" in card.inner_text()
    card.get_by_role("link", name=TRIAGE).click()
    tab.page.wait_for_selector(LOADING, state="detached", timeout=WAIT_MS)
    assert tab.page.locator("#trend svg.alert").count() > 1
    assert "windows apart" in tab.page.locator("#estimates").inner_text()
    link = tab.page.locator("#mistakes td a").first.get_attribute("href") or ""
    assert link.startswith("http://127.0.0.1:16686/trace/")
    assert "changed" in tab.page.locator("#drift").inner_text()


def test_hostile_names_stay_text(tab: Tab) -> None:
    # Whatever of them ran would be an alert box, which the fixture takes for a complaint.
    tab.open("/")
    tab.page.get_by_role("link", name=HOSTILE).click()
    tab.page.wait_for_selector(LOADING, state="detached", timeout=WAIT_MS)
    assert tab.page.locator("h1").inner_text() == HOSTILE
    assert tab.page.locator("img, iframe, object").count() == 0
    assert tab.page.locator("script").count() == 1


@pytest.mark.parametrize("tab", [SCREENS["dark-400"]], indirect=True)
def test_the_dark_scheme_is_dark_and_can_be_read(tab: Tab) -> None:
    tab.open(PAGES["triage"])
    style = "getComputedStyle(document.body)"
    ground, ink = (tab.page.evaluate(f"{style}.{x}") for x in ("backgroundColor", "color"))

    def light(colour: str) -> float:
        return sum(map(float, colour.strip("rgb()").split(","))) / 3

    assert light(ground) < 60
    assert light(ink) > 200


def test_everything_is_reached_by_keyboard_in_the_order_of_the_page(tab: Tab) -> None:
    tab.open(PAGES["triage"])
    seen: list[dict[str, Any]] = []
    for _ in range(28):
        tab.page.keyboard.press("Tab")
        seen.append(
            tab.page.evaluate(
                """(() => { const e = document.activeElement, s = getComputedStyle(e);
                return {text: e.textContent.trim(), tag: e.tagName, outline: s.outlineStyle,
                        top: Math.round(e.getBoundingClientRect().top + scrollY)}; })()"""
            )
        )
    assert seen[0]["text"] == "Skip to the figures"
    first = [each["text"] for each in seen[1:8]]
    assert first[:3] == ["inferspan", "Models", "Grafana: on call"]
    assert first[-2:] == ["Jaeger: mistakes of triage-api", "hour"]
    assert {"SELECT", "SUMMARY", "BUTTON"} <= {each["tag"] for each in seen}
    assert {each["outline"] for each in seen[1:]} == {"solid"}
    # Within a line things stand at slightly different heights.
    tops = [each["top"] for each in seen[1:]]
    assert all(later >= earlier - 20 for earlier, later in pairwise(tops))


def test_a_choice_is_made_by_links_and_a_form(tab: Tab) -> None:
    tab.open(PAGES["triage"])
    tab.page.locator("select[name=version]").select_option("7")
    tab.page.get_by_role("button", name="Show").click()
    tab.page.wait_for_selector(LOADING, state="detached", timeout=WAIT_MS)
    assert "version=7" in tab.page.url
    tab.page.get_by_role("link", name="all", exact=True).click()
    tab.page.wait_for_selector(LOADING, state="detached", timeout=WAIT_MS)
    assert "version=7" in tab.page.url
    assert "range=all" in tab.page.url
    tab.page.get_by_role("link", name="south").click()
    tab.page.wait_for_selector(LOADING, state="detached", timeout=WAIT_MS)
    assert "Only hospital = south" in tab.page.locator("main").inner_text()


@pytest.mark.parametrize("tab", [screen(1280, java_script_enabled=False)], indirect=True)
def test_without_a_script_what_takes_long_is_a_link(tab: Tab) -> None:
    tab.page.goto(tab.address + PAGES["triage"])
    assert tab.page.locator("section.part").count() == len(PARTS)
    tab.page.goto(tab.address + address(TRIAGE, "drift"))
    assert "feature.radius" in tab.page.locator("main").inner_text()
