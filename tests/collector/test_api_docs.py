"""`docs/api.md` shows real answers, and `docs/metrics.md` every figure and series there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import FilledStore, ask, labelled_predictions
from records import START_NS, Prediction, Stage

from inferspan_collector.publish import api, stage_durations
from inferspan_collector.quality import FAMILIES
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import AVERAGES, Question
from inferspan_collector.quality.measures import MEMBERS

DOCS = Path(__file__).parents[2] / "docs"
PAIRS = [("fraud", "fraud")] * 2 + [("legit", "legit")] * 5 + [("legit", "fraud")]
EXAMPLES = re.findall(
    r"^```http\nGET (\S+)\n```\n\n```json\n(.*?)^```$",
    (DOCS / "api.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)


def filled_store(directory: Path) -> FilledStore:
    """What the examples of the page were asked of."""
    store = FilledStore(directory)
    about = {"environment": "prod", "slices": {"country": "DE"}}
    store.add(
        *labelled_predictions(PAIRS, **about),
        Prediction("order-8", trace=9, span=9, event_time=START_NS + 8_000_000_000, **about),  # type: ignore[arg-type]
        *(Stage(trace=n, owner=n) for n in (1, 2, 3)),
        Stage(None, "queue", span=1, duration=1_000_000),
    )
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = filled_store(tmp_path)
    yield filled
    filled.close()


def alike(shown: object, real: object) -> bool:
    """The same, but for the decimals that a page cuts."""
    if isinstance(shown, dict) and isinstance(real, dict):
        return shown.keys() == real.keys() and all(alike(shown[key], real[key]) for key in shown)
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(alike, shown, real))
    if isinstance(shown, float) and isinstance(real, float):
        return abs(shown - real) <= 0.5e-4
    return type(shown) is type(real) and shown == real


@pytest.mark.parametrize(("url", "answer"), EXAMPLES, ids=[url for url, _ in EXAMPLES])
def test_an_example_of_the_page_is_a_real_answer(store: FilledStore, url: str, answer: str) -> None:
    routes = [*api.routes(store, store.config), *stage_durations.routes(store, store.config)]
    real = ask(routes, url).json()
    assert alike(json.loads(answer), real), real


def test_the_page_has_an_example_of_every_endpoint() -> None:
    paths = [url.split("?")[0] for url, _ in EXAMPLES]
    assert {"/api/v1/models", "/api/v1/models/fraud/quality"} <= set(paths)
    assert {"/api/v1/models/fraud/predictions", "/healthz", "/readyz"} <= set(paths)
    assert "/api/v1/models/fraud/stages" in paths


@pytest.mark.parametrize("names", [api.QUALITY_PARAMETERS, api.PREDICTIONS_PARAMETERS])
def test_every_parameter_is_documented(names: tuple[str, ...]) -> None:
    documented = set(
        re.findall(
            r"^\| `([\w.<>]+)` \|", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    assert set(names) <= documented


def test_every_figure_is_documented() -> None:
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    question = Question(AVERAGES[0])
    figures = {name for f in FAMILIES.values() for name in f.figures(Counts(), question)}
    figures |= {name for member in MEMBERS.values() for name in member.FIGURES}
    assert figures <= documented
