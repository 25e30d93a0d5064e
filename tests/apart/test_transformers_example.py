"""The services of examples/streaming, as processes: a story is one prediction of its request."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from real_servers import DEADLINE_SECONDS, free_ports, serving

from inferspan import semconv
from sdk.receiving import Receiver, attributes_of, receiver
from waiting import wait_until

HERE = Path(__file__).parents[2] / "examples/streaming"
TRACE, CALLER = "a" * 32, "b" * 16
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Prediction-Id": "story-17"}
BESIDE_IT = Path(sys.executable).parent
WORDS = 12


@contextmanager
def service(app: str, log: Path) -> Iterator[tuple[httpx.Client, Receiver]]:
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    before = [BESIDE_IT / "opentelemetry-instrument"] if app == "plain:app" else []
    command = [*before, BESIDE_IT / "uvicorn", app, "--port", str(port), "--log-level", "warning"]
    with receiver() as otlp:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url, "OTEL_SERVICE_NAME": "stories"}
        ready = f"{address}/openapi.json"
        with (
            serving(command, ready, log, cwd=HERE, environment=environment),
            httpx.Client(base_url=address, timeout=DEADLINE_SECONDS) as client,
        ):
            yield client, otlp


def asked(words: int) -> dict[str, str]:
    return {"prompt": "once upon a time", "words": str(words)}


@pytest.mark.parametrize(
    ("app", "model"), [("plain:app", "GPT2LMHeadModel"), ("declared:app", "story")]
)
def test_a_story_is_one_prediction_of_its_request(app: str, model: str, tmp_path: Path) -> None:
    with service(app, tmp_path / "log") as (client, otlp):
        answer = client.get("/story", params=asked(WORDS), headers=HEADERS)
        lines = [line for line in answer.text.splitlines() if line]
        pieces = [json.loads(line.removeprefix("data: ")) for line in lines]
        if app == "declared:app":
            verdict = {"prediction_id": "story-17", "label": "good"}
            assert client.post("/feedback", json=verdict).status_code == 202
    assert len("".join(pieces).split()) == WORDS
    ((_, span),) = otlp.spans(semconv.SCOPE_PREDICTIONS)
    assert span.name == f"generate {model}"
    assert span.trace_id.hex() == TRACE
    # Newer versions of FastAPI trace requests themselves, where there is a global provider.
    servers = [one for _, one in otlp.spans("fastapi") if one.parent_span_id.hex() == CALLER]
    assert span.parent_span_id.hex() in [CALLER, *(server.span_id.hex() for server in servers)]
    found: dict[str, Any] = attributes_of(span)
    assert found[semconv.PREDICTION_ID] == "story-17"
    assert found[semconv.GEN_AI_REQUEST_MODEL] == model
    assert found[semconv.STREAM_COMPLETED] is True
    assert found[semconv.STREAM_CHUNKS] == (WORDS if app == "plain:app" else len(pieces))
    assert found[semconv.STREAM_FIRST_CHUNK_DURATION] > 0
    labels = [attributes_of(label) for _, label in otlp.spans(semconv.SCOPE_LABELS)]
    assert [label[semconv.PREDICTION_ID] for label in labels] == ["story-17"] * len(labels)
    assert len(labels) == (app == "declared:app")


def test_a_reader_who_leaves_ends_the_story(tmp_path: Path) -> None:
    def ended() -> bool:
        return bool(otlp.spans(semconv.SCOPE_PREDICTIONS))

    with service("declared:app", tmp_path / "log") as (client, otlp):
        with client.stream("GET", "/story", params=asked(200), headers=HEADERS) as answer:
            next(answer.iter_text())
        wait_until(ended, DEADLINE_SECONDS, "the story's span")
    ((_, span),) = otlp.spans(semconv.SCOPE_PREDICTIONS)
    found = attributes_of(span)
    assert found[semconv.STREAM_COMPLETED] is False
    assert found[semconv.STREAM_CHUNKS] < 200
    assert semconv.ERROR_TYPE not in found
