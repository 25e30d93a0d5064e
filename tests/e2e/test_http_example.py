"""The services of examples/http do what their page says, and their figures are scikit-learn's."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from collector_process import DEADLINE_SECONDS, Served, models, serving
from sklearn import metrics
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

from inferspan import semconv
from sdk.receiving import receiver
from waiting import wait_until

HERE = Path(__file__).parents[2] / "examples/http"
_, ROWS, _, TRUTH = train_test_split(*load_breast_cancer(return_X_y=True), random_state=0)
IDS = [f"biopsy-{n}" for n in range(len(ROWS))]
NONE = dict.fromkeys(("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")
OPTIONS = {
    "boosted:app": {"xgboost": {"model": "tumour"}},
    "gathered:app": {"onnxruntime": {"prediction_id": "input_feed.id"}},
}
"""What the page says of those that are traced without a line."""
ZERO_CODE = [str(Path(sys.executable).with_name("opentelemetry-instrument"))]


@contextmanager
def uvicorn(app: str, before: list[str], endpoint: str, log: Path) -> Iterator[str]:
    """Address of a service; it has ended by SIGTERM when the block is left."""
    with log.open("w") as errors, socket.create_server(("127.0.0.1", 0)) as listening:
        process = subprocess.Popen(
            [
                *(*before, sys.executable, "-m", "uvicorn", app),
                *("--fd", str(listening.fileno()), "--log-level", "warning"),
            ],
            cwd=HERE,
            env={
                **os.environ,
                **NONE,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "sklearn",
                "INFERSPAN_INSTRUMENT": json.dumps(OPTIONS.get(app, {})),
            },
            pass_fds=[listening.fileno()],
            stdout=errors,
            stderr=errors,
        )
        port = listening.getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == -signal.SIGTERM, log.read_text()
    finally:
        process.kill()
        process.wait()


def headers_of(key: str) -> dict[str, str]:
    """Of a caller who has a trace and an id of its own."""
    n = IDS.index(key) + 1
    return {"X-Prediction-Id": key, "traceparent": f"00-{n:032x}-{n:016x}-01"}


async def ask(address: str, named: bool, verdicts: dict[str, str] | None) -> list[float]:
    """What the service says of every row, and after it what was true."""
    async with httpx.AsyncClient(base_url=address, timeout=DEADLINE_SECONDS) as client:

        async def one(key: str, row: Any) -> float:
            body = {"key": key, "row": row.tolist()} if named else row.tolist()
            answer = await client.post("/score", json=body, headers=headers_of(key))
            assert (answer.status_code, answer.headers["X-Prediction-Id"]) == (200, key)
            said = answer.json()
            return float(said.get("benign", said.get("score")))

        said = await asyncio.gather(*map(one, IDS, ROWS))
        if verdicts is not None:
            body = [{"prediction_id": key, "label": verdicts[key]} for key in IDS]
            answer = await client.post("/feedback", json=body)
            assert (answer.status_code, answer.json()["accepted"]) == (202, len(IDS))
    return said


def sent(served: Served) -> object:
    return next((model["predictions"] for model in models(served.api)), 0)


def label(served: Served) -> None:
    lines = [
        json.dumps({"model": "tumour", "prediction_id": key, "class": int(truth)})
        for key, truth in zip(IDS, TRUTH, strict=True)
    ]
    request = urllib.request.Request(
        f"{served.api}/v1/labels",
        "\n".join(lines).encode(),
        {"Content-Type": "application/x-ndjson"},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
        assert {json.loads(line)["result"] for line in answer} == {"joined"}


@pytest.mark.parametrize(
    "app", ["plain:app", "batched:app", "gathered:app", "boosted:app", "declared:app"]
)
def test_figures_are_scikit_learns(app: str, tmp_path: Path) -> None:
    plain = app.startswith(("plain", "gathered", "boosted"))
    classes = ["0", "1"] if plain else ["malignant", "benign"]
    verdicts = {key: classes[truth] for key, truth in zip(IDS, TRUTH, strict=True)}
    before = ZERO_CODE if plain else []
    with serving(tmp_path / "data") as served:
        with uvicorn(app, before, served.otlp_http, tmp_path / "service.log") as address:
            named = app.startswith("gathered")
            said = asyncio.run(ask(address, named, None if plain else verdicts))
        wait_until(lambda: sent(served) == len(IDS), DEADLINE_SECONDS, "predictions")
        if plain:
            label(served)
        url = f"{served.api}/api/v1/models/tumour/quality?every=all"
        with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:
            (window,) = json.load(answer)["windows"]
    assert (window["predictions"], window["labeled"]) == (len(IDS), len(IDS))
    found = window["metrics"]
    predicted = (np.array(said) > 0.5).astype(int)
    assert found["accuracy"]["value"] == pytest.approx(metrics.accuracy_score(TRUTH, predicted))
    assert found["roc_auc"]["value"] == pytest.approx(metrics.roc_auc_score(TRUTH, said), rel=1e-6)


def test_what_is_gathered_without_a_line_is_linked_to_its_requests(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    with receiver() as otlp, uvicorn("gathered:app", ZERO_CODE, otlp.url, log) as address:
        asyncio.run(ask(address, True, None))
    calls = [span for _, span in otlp.spans(semconv.SCOPE_PREDICTIONS)]
    linked = [link for call in calls for link in call.links]
    assert {int(link.trace_id.hex(), 16) for link in linked} == set(range(1, len(IDS) + 1))
    assert len(linked) == len(IDS)
    # A batch is no part of any of its requests.
    assert {call.parent_span_id for call in calls} == {b""}
