"""Run `inferspan` as a user runs it, and send to it what a test needs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan import semconv
from inferspan_collector import testing

COMMAND = str(Path(sys.executable).with_name("inferspan"))
FREE = "127.0.0.1:0"
DEADLINE_SECONDS = 60.0
MODEL = "fraud"


@dataclass
class Served:
    """A running `inferspan serve`."""

    process: subprocess.Popen[str]
    otlp_http: str
    otlp_grpc: str
    api: str
    log: Path


@contextlib.contextmanager
def serving(
    data: Path,
    *arguments: str,
    otlp_http: str = FREE,
    otlp_grpc: str = FREE,
    api: str = FREE,
    command: Sequence[str] = (COMMAND,),
) -> Iterator[Served]:
    """Run `inferspan serve` until the block ends, on free ports unless told."""
    log = data.parent / f"{data.name}.log"
    addresses = ("--otlp-http", otlp_http, "--otlp-grpc", otlp_grpc, "--api", api)
    with (
        log.open("a") as errors,
        subprocess.Popen(
            (*command, "serve", "--data", str(data), *addresses, *arguments),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, f"inferspan serve ended: {log.read_text()}"
            ready = json.loads(line)
            assert ready.pop("ready") is True
            yield Served(process, **ready, log=log)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(DEADLINE_SECONDS)


def inferspan(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        (COMMAND, *arguments),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
    )


def send_predictions(otlp_http: str, ids: Sequence[str], predicted: str = "legit") -> None:
    """Send one prediction per id, as an OTLP exporter does; returns once it is answered."""
    spans = [
        testing.prediction_span(
            prediction_id,
            {semconv.TASK_TYPE: semconv.BINARY, semconv.OUTPUT_CLASS: predicted},
            model=MODEL,
        )
        for prediction_id in ids
    ]
    send_spans(otlp_http, spans)


def send_spans(otlp_http: str, spans: Sequence[Span]) -> None:
    """Send spans in one request; returns once it is answered."""
    request = urllib.request.Request(
        f"{otlp_http}/v1/traces",
        data=testing.traces_request(spans).SerializeToString(),
        headers={"Content-Type": "application/x-protobuf"},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
        assert answer.status == 200


def post(url: str, body: bytes, content_type: str) -> None:
    """Send a body whose answer must tell of no error."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
        assert b"error" not in answer.read()


def asked(api: str, model: str, what: str, **parameters: str) -> dict[str, Any]:
    """`GET /api/v1/models/MODEL/WHAT`."""
    url = f"{api}/api/v1/models/{model}/{what}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def models(api: str) -> list[dict[str, object]]:
    """`GET /api/v1/models`."""
    with urllib.request.urlopen(f"{api}/api/v1/models", timeout=DEADLINE_SECONDS) as answer:
        found: list[dict[str, object]] = json.load(answer)
        return found


def counts(api: str) -> tuple[object, object]:
    """Predictions and labelled predictions of the one model there is."""
    (model,) = models(api)
    return model["predictions"], model["labeled"]
