"""`POST /api/v1/forget` and `/api/v1/backup`, and the commands that ask for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from collector_process import inferspan, models, send_predictions

from inferspan_collector.config import load
from inferspan_collector.server import Collector, running_collector
from inferspan_collector.store.database import FILE_NAME, Database

FREE = "127.0.0.1:0"
TOKENS = {"reader": ["read", "ingest"], "keeper": ["admin"]}


def settings(data: Path, tokens: dict[str, list[str]]) -> Any:
    entries = {
        name: {"hash": f"sha256:{hashlib.sha256(name.encode()).hexdigest()}", "rights": rights}
        for name, rights in tokens.items()
    }
    listeners = dict.fromkeys(("otlp_http", "otlp_grpc", "api"), FREE)
    return load(
        None, {"receivers": listeners, "store": {"data": str(data)}, "auth": {"tokens": entries}}
    )


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with running_collector(settings(tmp_path / "data", {})) as running:
        yield running


def api(collector: Collector) -> str:
    assert collector.addresses.api is not None
    return collector.addresses.api


def send(collector: Collector, *ids: str) -> None:
    assert collector.addresses.otlp_http is not None
    send_predictions(collector.addresses.otlp_http, ids)


def test_an_id_that_was_stored_by_its_hash_is_forgotten_as_it_was_sent(
    collector: Collector,
) -> None:
    send(collector, "order-" + "1" * 200)

    asked = {"prediction_id": "order-" + "1" * 200}
    answer = httpx.post(f"{api(collector)}/api/v1/forget", json=asked)

    assert answer.json()["predictions"] == 1


def test_an_id_is_forgotten_and_its_trace_named(collector: Collector) -> None:
    send(collector, "order-1", "order-2")
    asked = {"prediction_id": "order-1", "model": "fraud"}

    looked = httpx.post(f"{api(collector)}/api/v1/forget", json=asked | {"dry_run": True})
    answer = httpx.post(f"{api(collector)}/api/v1/forget", json=asked)

    assert looked.json() | {"dry_run": False} == answer.json()
    assert answer.json()["predictions"] == 1
    (trace_id,) = answer.json()["trace_ids"]
    assert len(trace_id) == 32
    send(collector, "order-1")
    (model,) = models(api(collector))
    assert model["predictions"] == 2
    listed = httpx.get(f"{api(collector)}/api/v1/models/fraud/predictions").json()["predictions"]
    assert [row["prediction_id"] for row in listed] == ["order-2"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "neither prediction_id nor entity_id"),
        ({"prediction_id": "x", "entity_id": "y"}, 400, "both ids"),
        ({"prediction_id": ""}, 400, "a text of 1 to 4096"),
        ({"prediction_id": 17}, 400, "a text of 1 to 4096"),
        ({"prediction_id": "x", "modle": "y"}, 400, "no such key"),
        ({"prediction_id": "x", "dry_run": "yes"}, 400, "true or false"),
        ([], 400, "a JSON object"),
        ({"prediction_id": "x" * 70_000}, 413, "at most"),
    ],
)
def test_what_is_asked_wrongly_is_said(
    collector: Collector, body: object, status: int, said: str
) -> None:
    answer = httpx.post(f"{api(collector)}/api/v1/forget", json=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


def test_only_json_is_taken(collector: Collector) -> None:
    text = {"content-type": "text/plain"}
    answer = httpx.post(f"{api(collector)}/api/v1/forget", content=b"{}", headers=text)
    assert answer.status_code == 415


def test_the_right_admin_is_needed_where_there_are_tokens(tmp_path: Path) -> None:
    with running_collector(settings(tmp_path / "data", TOKENS)) as collector:

        def status(token: str, path: str, body: dict[str, str]) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.post(f"{api(collector)}{path}", json=body, headers=headers).status_code

        for path, body in (
            ("/api/v1/forget", {"prediction_id": "x"}),
            ("/api/v1/backup", {"to": str(tmp_path / "copy")}),
        ):
            assert status("reader", path, body) == 403
            assert status("nobody", path, body) == 401
            assert status("keeper", path, body) == 200
        headers = {"Authorization": "Bearer keeper"}
        assert httpx.get(f"{api(collector)}/api/v1/models", headers=headers).status_code == 403


def test_a_backup_is_written_where_it_was_asked_for(collector: Collector, tmp_path: Path) -> None:
    send(collector, "order-1")
    asked = {"to": str(tmp_path / "copy")}

    answer = httpx.post(f"{api(collector)}/api/v1/backup", json=asked, timeout=60)
    assert answer.json()["predictions"] == 1
    assert answer.json()["path"] == str(tmp_path / "copy" / FILE_NAME)
    again = httpx.post(f"{api(collector)}/api/v1/backup", json=asked)
    assert again.status_code == 409
    assert "is there already" in again.json()["detail"]
    Database.open(tmp_path / "copy").close()


def test_the_commands_ask_a_running_collector(collector: Collector, tmp_path: Path) -> None:
    send(collector, "order-1")
    url = ("--api", api(collector))

    copied = inferspan("backup", "--to", str(tmp_path / "copy"), "--json", *url)
    assert json.loads(copied.stdout)["predictions"] == 1
    looked = inferspan("forget", "--prediction-id", "order-1", "--dry-run", *url)
    assert "1 prediction and 0 labels would be erased" in looked.stdout
    done = inferspan("forget", "--prediction-id", "order-1", "--json", *url)
    assert json.loads(done.stdout)["predictions"] == 1
    assert len(json.loads(done.stdout)["trace_ids"]) == 1
    assert inferspan("backup", "--to", str(tmp_path / "copy"), *url).returncode == 1
    assert inferspan("backup", "--to", "copy", *url).returncode == 1
    unreachable = inferspan("forget", "--prediction-id", "x", "--api", "http://127.0.0.1:9")
    assert unreachable.returncode == 5
