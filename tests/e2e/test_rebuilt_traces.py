"""Whatever is sampled, Jaeger opens the trace of a mistake, and finds the prediction in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from replaying import served

from inferspan import semconv
from servers.running import Jaeger
from waiting import wait_until

pytestmark = pytest.mark.real

WORKLOAD = Path(__file__).with_name("unsampled_workload.py")
SECONDS = 60.0


def predict(endpoint: str, service: str, ratio: str) -> list[dict[str, Any]]:
    finished = subprocess.run(
        [sys.executable, str(WORKLOAD), ratio],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_SERVICE_NAME": service,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines()]


@pytest.mark.parametrize("ratio", ["0", "0.5"])
def test_the_trace_of_a_mistake_holds_the_prediction(
    jaeger: Jaeger, tmp_path: Path, ratio: str
) -> None:
    service = f"unsampled-{ratio.replace('.', '-')}"
    config = tmp_path / "inferspan.yaml"
    config.write_text(f"{{jaeger: {{otlp: '{jaeger.otlp_http}'}}}}")
    with served(tmp_path / "data", "127.0.0.1:0", "--config", str(config)) as collector:
        made = predict(collector.otlp_http, service, ratio)
        for each in made:
            # Nobody but the collector sends to this Jaeger: a sampled span is not here at all.
            expected = 2 if each["wrong"] and not each["sampled"] else 1
            spans = wait_until(
                lambda each=each, expected=expected: (  # type: ignore[misc]
                    found if len(found := jaeger.trace(each["trace"])) == expected else None
                ),
                SECONDS,
                f"{expected} spans to stand in the trace of {each}",
            )
            names = sorted(span["operationName"] for span in spans)
            assert names == ["evaluate fraud", "predict fraud"][:expected], each
            if expected == 2:
                check(spans, each, service)


def check(spans: list[dict[str, Any]], made: dict[str, Any], service: str) -> None:
    evaluation, prediction = sorted(spans, key=lambda span: span["operationName"])
    assert [span.get("warnings") for span in spans] == [None, None]
    assert (prediction["service"], evaluation["service"]) == (service, f"{service}-quality")
    assert prediction["spanID"] == made["span"]
    assert [each["spanID"] for each in evaluation["references"]] == [made["span"]]
    tags = {tag["key"]: tag["value"] for tag in prediction["tags"]}
    assert tags[semconv.MATERIALIZED] == "true"
    assert tags[semconv.MODEL_VERSION] == "7"
    assert tags[semconv.OUTPUT_CLASS] == "fraud"
    assert tags[semconv.OUTPUT_SCORE] == 0.75
    assert tags[semconv.SLICE_PREFIX + "country"] == "DE"
    assert json.loads(tags[semconv.INPUT_VALUE]) == {"amount": made["amount"]}
