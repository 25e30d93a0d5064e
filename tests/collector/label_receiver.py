"""A receiver of labels that runs, for the tests of its answers and of what it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from receiving import Switch
from starlette.applications import Starlette

from inferspan_collector.config import Limits
from inferspan_collector.receivers import labels
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.telemetry import Telemetry
from inferspan_collector.testing import RecordingSink

GOOD = {"prediction_id": "order-17", "model": "fraud", "class": "legit"}


class Receiver:
    """The routes as they run, the sink behind them, and a client."""

    def __init__(
        self, sink: RecordingSink, telemetry: Telemetry, budget: Budget, client: httpx.Client
    ) -> None:
        self.sink = sink
        self.telemetry = telemetry
        self.budget = budget
        self.client = client

    def post(self, body: bytes, query: str = "", **headers: str) -> httpx.Response:
        sent = {"content-type": "application/x-ndjson"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(f"/v1/labels{query}", content=body, headers=sent)

    def push(self, *lines: object, query: str = "") -> list[dict[str, object]]:
        """Send lines (text as it is, else as JSON); the answers, checked for their form."""
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        response = self.post("\n".join(texts).encode(), query)
        assert response.headers["content-type"] == "application/x-ndjson"
        answers = [json.loads(line) for line in response.text.splitlines()]
        for answer in answers:
            invalid = answer["result"] == "invalid"
            assert list(answer) == ["line", "id", "result"] + ["error"] * invalid
        taken = any(answer["result"] != "invalid" for answer in answers)
        assert response.status_code == (200 if taken or not answers else 400)
        return answers


@contextmanager
def receiving(server: tuple[Switch, str], limits: Limits) -> Iterator[Receiver]:
    switch, url = server
    sink, telemetry, budget = RecordingSink(), Telemetry(), Budget.of(limits)
    switch.app = Starlette(routes=labels.routes(sink, telemetry, limits, budget))
    with httpx.Client(base_url=url, timeout=20) as client:
        yield Receiver(sink, telemetry, budget, client)


def problem_of(response: httpx.Response) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    return problem
