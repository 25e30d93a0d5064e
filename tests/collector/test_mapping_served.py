"""A collector with mappings: spans of others are counted, and judged by labels as ours are."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from collector_process import DEADLINE_SECONDS, models
from mapped_spans import DATA
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from prometheus_client.parser import text_string_to_metric_families

from inferspan_collector.config import load
from inferspan_collector.server import Addresses, running_collector
from inferspan_collector.testing import otlp_span, traces_request

LISTENING = """
receivers: {otlp_http: "127.0.0.1:0", otlp_grpc: "127.0.0.1:0", api: "127.0.0.1:0"}
"""
CONFIGURATION = f"""{LISTENING}
mappings:
  - triton
  - name: tickets
    match: {{scope: "tickets.*"}}
    prediction:
      model: {{attribute: app.model}}
      task: multiclass_classification
      prediction_id: {{attribute: app.ticket}}
      class: {{attribute: app.answer, json_path: "$.label"}}
      required: [class]
"""


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[Addresses]:
    (file := tmp_path / "inferspan.yaml").write_text(CONFIGURATION)
    with running_collector(load(file, {"store": {"data": str(tmp_path / "data")}})) as running:
        yield running.addresses


def post(url: str, body: bytes, media_type: str) -> dict[str, object]:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": media_type})
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
        text = answer.read()
    found: dict[str, object] = json.loads(text) if media_type.endswith("/json") else {}
    return found


def metric(api: str, name: str) -> dict[frozenset[str], float]:
    with urllib.request.urlopen(f"{api}/metrics", timeout=DEADLINE_SECONDS) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {
            frozenset(sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
            if sample.name == name
        }


BOTH_SIDES = """
mappings:
  - ready_made: gen_ai
    prediction: {version: null}
  - ready_made: vllm
    prediction: {model: llama-3-8b}
"""


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["client first", "server first"])
def test_a_call_traced_on_both_sides_is_one_prediction_and_the_servers_span_wins(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    asked = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "llama-3-8b"}
    answered = {"gen_ai.response.model": "llama-3-8b", "gen_ai.response.id": "chatcmpl-1"}
    client = otlp_span("chat llama-3-8b", asked | answered, kind=3, duration_ns=9_000_000)
    server = otlp_span("llm_request", {"gen_ai.request.id": "chatcmpl-1"}, kind=2)
    sides = (
        traces_request([client], scope="opentelemetry.instrumentation.openai_v2"),
        traces_request([server], scope="vllm.llm_engine"),
    )
    (file := tmp_path / "inferspan.yaml").write_text(LISTENING + BOTH_SIDES)
    with running_collector(load(file, {"store": {"data": str(tmp_path / "data")}})) as running:
        addresses = running.addresses
        for side in order:
            body = sides[side].SerializeToString()
            post(f"{addresses.otlp_http}/v1/traces", body, "application/x-protobuf")
        assert addresses.api is not None
        (model,) = models(addresses.api)
        shown = f"{addresses.api}/api/v1/models/llama-3-8b/predictions"
        with urllib.request.urlopen(shown, timeout=DEADLINE_SECONDS) as answer:
            (kept,) = json.load(answer)["predictions"]
    assert (model["model"], model["predictions"]) == ("llama-3-8b", 1)
    assert kept["span_id"] == server.span_id.hex()


def test_spans_of_others_count_over_both_transports_and_are_judged(addresses: Addresses) -> None:
    assert addresses.api is not None
    assert addresses.otlp_grpc is not None
    recorded = (DATA / "spans_triton.json").read_bytes()
    assert post(f"{addresses.otlp_http}/v1/traces", recorded, "application/json") == {}
    tickets = [
        otlp_span(f"t{n}", {"app.model": "router", "app.ticket": f"t{n}", "app.answer": answer})
        for n, answer in enumerate(['{"label": "billing"}', '{"label": "tech"}', '{"lab'])
    ]
    with grpc.insecure_channel(addresses.otlp_grpc) as channel:
        answer = TraceServiceStub(channel).Export(
            traces_request(tickets, scope="tickets.api"), timeout=DEADLINE_SECONDS
        )
    assert answer.partial_success.rejected_spans == 1
    assert answer.partial_success.error_message.startswith("bad_json: mapping 'tickets': ")
    truths = [{"model": "router", "prediction_id": f"t{n}", "class": "billing"} for n in range(2)]
    lines = "\n".join(map(json.dumps, truths)).encode()
    post(f"{addresses.api}/v1/labels", lines, "application/x-ndjson")

    told = {
        str(model["model"]): (model["predictions"], model["labeled"])
        for model in models(addresses.api)
    }
    assert told == {"fraud": (1, 0), "ranker": (1, 0), "router": (2, 2)}
    assert metric(addresses.api, "inferspan_mapped_spans_total") == {
        frozenset({"triton"}): 2,
        frozenset({"tickets"}): 2,
    }
    refused = metric(addresses.api, "inferspan_refused_records_total")
    assert refused == {frozenset({"predictions", "otlp_grpc", "bad_json"}): 1}
    outcomes = metric(addresses.api, "inferspan_quality_outcomes_total")
    assert sum(n for labels, n in outcomes.items() if "correct" in labels) == 1
    assert sum(n for labels, n in outcomes.items() if "incorrect" in labels) == 1
