"""Labels over HTTP, into a collector that runs: what they do to the figures, and take back."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector_process import DEADLINE_SECONDS, MODEL, counts, send_predictions

from inferspan_collector.config import load
from inferspan_collector.server import running_collector

FREE = "127.0.0.1:0"
LONG_ID = "order-" + "9" * 200


class Sender:
    """One collector: its predictions are sent already, its labels go over HTTP."""

    def __init__(self, otlp_http: str, api: str) -> None:
        self._api = api
        send_predictions(otlp_http, ["order-17", "order-18", LONG_ID])

    def push(self, *lines: dict[str, object], query: str = "") -> list[str]:
        """The collector's word on each line."""
        body = "\n".join(json.dumps({"model": MODEL, **line}) for line in lines).encode()
        headers = {"Content-Type": "application/x-ndjson"}
        request = urllib.request.Request(f"{self._api}/v1/labels{query}", body, headers)
        with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as response:
            return [json.loads(line)["result"] for line in response.read().splitlines()]

    @property
    def labeled(self) -> int:
        return counts(self._api)[1]


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    data: Path = tmp_path_factory.mktemp("collector") / "data"
    listeners: dict[str, object] = {"otlp_http": FREE, "otlp_grpc": "off", "api": FREE}
    config = load(None, {"receivers": listeners, "store": {"data": str(data)}})
    with running_collector(config) as collector:
        yield Sender(str(collector.addresses.otlp_http), str(collector.addresses.api))


def test_a_label_is_withdrawn_and_given_again(sender: Sender) -> None:
    label = {"prediction_id": "order-17", "class": "legit", "source": "withdrawn"}
    withdrawal = {"prediction_id": "order-17", "action": "delete", "source": "withdrawn"}
    before = sender.labeled
    assert sender.push(label) == ["joined"]
    assert sender.labeled == before + 1
    assert sender.push(withdrawal) == ["joined"]
    assert sender.labeled == before
    assert sender.push(label, withdrawal) == ["duplicate", "duplicate"]
    assert sender.labeled == before
    assert sender.push({**label, "revision": 1}) == ["joined"]
    assert sender.labeled == before + 1


def test_a_long_id_reaches_its_prediction(sender: Sender) -> None:
    before = sender.labeled
    line = {"prediction_id": LONG_ID, "class": "legit"}
    assert sender.push(line, query="?dry_run=true") == ["joined"]
    assert sender.push(line) == ["joined"]
    assert sender.labeled == before + 1


def test_nothing_to_do_is_nothing_done(sender: Sender) -> None:
    before = sender.labeled
    assert sender.push() == sender.push(query="?dry_run=true") == []
    assert sender.labeled == before
