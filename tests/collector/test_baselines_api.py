"""`POST /api/v1/baselines` and `inferspan baseline`: what is taken, refused, kept and removed."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from baseline_files import baseline_of, written
from collector_process import inferspan, send_predictions, serving
from guarded_collector import bearer, settings

from inferspan_collector.baselines import document
from inferspan_collector.publish.admin_requests import BODY_BYTES_MAX
from inferspan_collector.server import Collector, running_collector
from inferspan_collector.store.baselines import PER_MODEL_MAX
from waiting import wait_until

COLUMNS = {
    "predicted": ["fraud", "legit"] * 150,
    "actual": ["fraud", "legit"] * 140 + ["legit", "fraud"] * 10,
    "score": [0.9, 0.2] * 150,
}


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with running_collector(settings(tmp_path / "data", tokens=False)) as running:
        yield running


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("file") / "eval.parquet"
    made = baseline_of(path, COLUMNS, {"version": "7"}, positive="fraud")
    return document.plain(made)


def post(collector: Collector, path: str, body: object, **more: Any) -> httpx.Response:
    return httpx.post(f"{collector.addresses.api}/api/v1/{path}", json=body, **more)


def listed(collector: Collector, model: str = "fraud") -> list[int]:
    answer = httpx.get(f"{collector.addresses.api}/api/v1/models/{model}/baselines")
    return [each["number"] for each in answer.json()["baselines"]]


def test_the_oldest_leaves_and_its_number_is_not_used_again(
    collector: Collector, content: dict[str, Any]
) -> None:
    sent = {"model": "fraud", "baseline": content}
    answers = [post(collector, "baselines", sent).json() for _ in range(PER_MODEL_MAX + 1)]
    assert answers[-1] == {"model": "fraud", "number": PER_MODEL_MAX + 1, "left": [1]}
    assert listed(collector) == [*range(PER_MODEL_MAX + 1, 1, -1)]

    newest = {"model": "fraud", "number": PER_MODEL_MAX + 1}
    assert post(collector, "baselines/remove", {**newest, "model": "other"}).json()["removed"] == 0
    assert post(collector, "baselines/remove", newest).json()["removed"] == 1
    assert post(collector, "baselines/remove", newest).json()["removed"] == 0
    assert post(collector, "baselines", sent).json()["number"] == PER_MODEL_MAX + 2


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("baselines", {"baseline": {}}, "no `model`"),
        ("baselines", {"model": "fraud"}, "baseline = None"),
        ("baselines", {"model": "fraud", "baseline": {}}, "predictions"),
        ("baselines", {"model": "fraud", "baseline": [], "x": 1}, "no such key"),
        ("baselines/remove", {"model": "fraud", "number": "1"}, "number = '1'"),
        ("baselines/remove", {"number": 1}, "no `model`"),
    ],
)
def test_what_is_refused_says_what_to_do(
    collector: Collector, path: str, body: dict[str, Any], said: str
) -> None:
    answer = post(collector, path, body)
    assert answer.status_code == 400
    problem = answer.json()
    assert said in problem["detail"]
    assert {"value", "rule", "remedy"} <= set(problem)
    assert listed(collector) == []


def test_a_longer_body_than_any_baseline_is_refused(collector: Collector) -> None:
    body = b'"' + b"x" * document.DOCUMENT_BYTES_MAX + b'"'
    headers = {"Content-Type": "application/json"}
    url = f"{collector.addresses.api}/api/v1/baselines"
    assert httpx.post(url, content=body, headers=headers, timeout=60).status_code == 413


def test_while_one_is_being_added_another_is_told_to_come_again(collector: Collector) -> None:
    large = {"model": "fraud", "baseline": {}, "padding": "x" * 2 * BODY_BYTES_MAX}
    assert post(collector, "baselines", large).status_code == 400
    address = urlsplit(str(collector.addresses.api))
    with socket.create_connection((address.hostname, address.port), timeout=30) as sender:
        head = f"POST /api/v1/baselines HTTP/1.1\r\nHost: {address.netloc}\r\n"
        head += "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        sender.sendall(head.encode())
        answers = (post(collector, "baselines", large) for _ in itertools.count())
        busy = wait_until(lambda: (a := next(answers)).status_code == 503 and a, 30, "busy")
        assert busy.headers["retry-after"] == "1"
        assert "another baseline is being added" in busy.json()["detail"]
        sender.sendall(b"{}")
        assert b" 400 " in sender.recv(64)
    assert post(collector, "baselines", large).status_code == 400


def test_with_tokens_it_takes_the_right_admin(tmp_path: Path, content: dict[str, Any]) -> None:
    sent = {"model": "fraud", "baseline": content}
    with running_collector(settings(tmp_path / "data")) as collector:
        codes = {
            name: post(collector, "baselines", sent, headers=bearer(name)).status_code
            for name in ("reader", "labeller", "gateway", "operator")
        }
    assert codes == {"reader": 403, "labeller": 403, "gateway": 403, "operator": 200}


def test_the_command_keeps_lists_compares_and_removes(tmp_path: Path) -> None:
    file = written(tmp_path / "eval.csv", COLUMNS)
    with serving(tmp_path / "data") as served:
        send_predictions(served.otlp_http, ["order-1"])
        about = ("baseline", "fraud", "--api", served.api)
        told = ("--version", "7", "--positive-class", "fraud", "--parameter", "depth=6")
        looked = inferspan(*about, str(file), *told, "--dry-run", "--json")
        kept = inferspan(*about, str(file), *told, "--cross-validation", "accuracy=0.9,0.96")
        shown = inferspan(*about, "--list")
    assert looked.returncode == kept.returncode == shown.returncode == 0, kept.stderr
    made = json.loads(looked.stdout)
    assert made["parameters"] == {"depth": "6"}
    assert document.parsed(looked.stdout).predictions == 300
    assert "cross-validation 0.9300 ± 0.0300" in kept.stdout
    assert "kept as baseline 1" in kept.stdout
    assert "version 7" in shown.stdout

    # It is there after a restart.
    with serving(tmp_path / "data") as served:
        about = ("baseline", "fraud", "--api", served.api)
        assert "eval.csv" in inferspan(*about, "--list").stdout
        removed = inferspan(*about, "--remove", "1")
        again = inferspan(*about, "--remove", "1")
    assert (removed.returncode, again.returncode) == (0, 1)
    assert "has no baseline 1" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a FILE, or --list, or --remove"),
        (("eval.csv", "--list"), "one of the three"),
        (("missing.csv",), "cannot read missing.csv"),
        (("eval.csv", "--task", "sorting"), "one of binary, multiclass, regression"),
        (("eval.csv", "--parameter", "depth"), "NAME=VALUE"),
        (("eval.csv", "--cross-validation", "f1=0.9"), "two numbers or more"),
    ],
)
def test_a_wrong_argument_ends_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    written(tmp_path / "eval.csv", COLUMNS)
    monkeypatch.chdir(tmp_path)
    done = inferspan("baseline", "fraud", "--dry-run", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
