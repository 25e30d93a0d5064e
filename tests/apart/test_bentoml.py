"""A real BentoML: the prediction is below its span, ids come and go, verdicts become labels."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
from real_servers import free_ports, serving

from inferspan import semconv
from sdk.receiving import attributes_of, receiver

HERE = Path(__file__).parent
TRACE = "a" * 32


def test_trace_and_id_come_through_bentoml_and_back(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [
        *(Path(sys.executable).with_name("bentoml"), "serve", "served_by_bentoml:Fraud"),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    with receiver() as otlp:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
            "BENTOML_DO_NOT_TRACK": "1",
            "BENTOML_HOME": str(tmp_path / "home"),
        }
        with (
            serving(
                command,
                f"{address}/readyz",
                tmp_path / "log",
                cwd=HERE,
                environment=environment,
            ),
            httpx.Client(base_url=address, timeout=30) as client,
        ):
            headers = {"traceparent": f"00-{TRACE}-{'b' * 16}-01", "X-Prediction-Id": "order-17"}
            answer = client.post("/score", json={"amount": 930}, headers=headers)
            assert answer.json() == {"label": "fraud", "score": 0.93}
            assert answer.headers["X-Prediction-Id"] == "order-17"
            own_span = answer.headers["X-BentoML-Request-ID"]
            verdict = {"prediction_id": "order-17", "label": "legit"}
            assert client.post("/feedback/", json=verdict).status_code == 202
    ((_, span),) = otlp.spans(semconv.SCOPE_PREDICTIONS)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, own_span)
    assert attributes_of(span)[semconv.PREDICTION_ID] == "order-17"
    ((_, label),) = otlp.spans(semconv.SCOPE_LABELS)
    assert attributes_of(label)[semconv.PREDICTION_ID] == "order-17"
