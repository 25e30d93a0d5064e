"""Grafana's dashboards: made by code, of its published model, and about series that are documented.

Whether Prometheus has an answer to each query is asked of a real one: `tests/e2e/test_composed.py`.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).parents[1]
GRAFANA = ROOT / "collector/grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
BOARDS: list[dict[str, Any]] = [json.loads(file.read_text()) for file in FILES]
SOURCES = yaml.safe_load((GRAFANA / "provisioning/datasources/inferspan.yaml").read_text())
RULES = [
    rule["record"]
    for file in (ROOT / "collector/prometheus/rules").glob("*.yaml")
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
]
FOREIGN = {"ALERTS", "otelcol_exporter_queue_size", "otelcol_exporter_queue_capacity"}
"""Series that Prometheus and the gateway make."""
SERIES = re.compile(r"\b(?:model_version:[\w:]+|(?:inferspan|otelcol)_\w+|ALERTS)\b")
COLUMNS = 24

boards = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries(board: dict[str, Any]) -> list[str]:
    """Every query of a board, its variables' too."""
    asked = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    variables = [v for v in board["templating"]["list"] if v["type"] == "query"]
    return asked + [variable["query"]["query"] for variable in variables]


def understood(board: dict[str, Any]) -> Any:
    """What Grafana's published model keeps of a dashboard."""
    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(board)))


def lost(given: Any, kept: Any, path: str = "") -> list[str]:
    """Where something that was given is not kept as it was."""
    if isinstance(given, dict) and isinstance(kept, dict):
        inner = (lost(value, kept.get(key), f"{path}.{key}") for key, value in given.items())
        return list(itertools.chain.from_iterable(inner))
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        pairs = enumerate(zip(given, kept, strict=True))
        inner = (lost(one, other, f"{path}[{n}]") for n, (one, other) in pairs)
        return list(itertools.chain.from_iterable(inner))
    return [] if given == kept else [path]


def test_there_is_one_for_each_reader() -> None:
    assert {board["uid"] for board in BOARDS} == {
        "inferspan-on-call", "inferspan-data-science", "inferspan-product",
    }  # fmt: skip


def test_files_are_what_the_code_makes(tmp_path: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import __main__ as m, runpy, json; "
    program += "print(json.dumps(runpy.run_path(sys.argv[1] + '/__main__.py')['texts']()))"
    done = subprocess.run(
        (sys.executable, "-c", program, GRAFANA / "boards"), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    written = {file.name: file.read_text() for file in FILES}
    assert made == written, "run `python collector/grafana/boards`"


@boards
def test_a_board_is_of_grafanas_published_model(board: dict[str, Any]) -> None:
    """Whatever the model does not know would be dropped, and is found missing here."""
    assert lost(board, understood(board)) == []


def test_a_misspelt_key_would_be_found() -> None:
    board = json.loads(FILES[0].read_text())
    panel = next(panel for panel in board["panels"] if panel["type"] == "timeseries")
    panel["fieldConfig"]["defaults"]["units"] = panel["fieldConfig"]["defaults"].pop("unit")
    assert [path.rpartition(".")[2] for path in lost(board, understood(board))] == ["units"]


@boards
def test_panels_have_a_place_of_their_own(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


@boards
def test_panels_say_what_they_show(board: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in panels(board)]
    assert len(titles) == len(set(titles))
    assert [panel["title"] for panel in panels(board) if not panel["description"]] == []


@boards
def test_queries_are_about_series_that_are_documented(board: dict[str, Any]) -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    documented = set(re.findall(r"`(inferspan_\w+)`", text)) | set(RULES) | FOREIGN
    for query in queries(board):
        bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", "", query)
        named = set(
            re.findall(r"\b(?:model_version:[\w:]+|(?:inferspan|otelcol)_\w+|ALERTS)\b", bare)
        )
        assert named, query
        histograms = {name.removesuffix("_bucket") for name in named if name.endswith("_bucket")}
        plain = {name for name in named if not name.endswith("_bucket")} | histograms
        assert plain - documented == set(), query


@boards
def test_boards_ask_sources_and_use_variables_that_exist(board: dict[str, Any]) -> None:
    asked = set(re.findall(r"'type': '(\w+)', 'uid': '([\w-]+)'", str(board)))
    assert asked == {("prometheus", "prometheus")}
    assert asked <= {(source["type"], source["uid"]) for source in SOURCES["datasources"]}
    variables = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", str(panels(board)))) - {"__all"}
    assert {name for name in used if not name.startswith("__")} == variables


@boards
def test_exemplars_lead_to_traces(board: dict[str, Any]) -> None:
    sources = {source["type"]: source for source in SOURCES["datasources"]}
    (destination,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination == {"name": "trace_id", "datasourceUid": sources["jaeger"]["uid"]}
    shown = [t for panel in panels(board) for t in panel["targets"] if t.get("exemplar")]
    # Who looks at money follows no single call.
    assert bool(shown) == (board["uid"] != "inferspan-product")


def test_no_coefficient_for_the_product() -> None:
    (board,) = [board for board in BOARDS if board["uid"] == "inferspan-product"]
    assert not re.search("kappa|matthews|roc_auc|f1", str(board))
