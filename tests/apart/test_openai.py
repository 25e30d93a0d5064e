"""With OpenTelemetry's instrumentation of OpenAI's client: an answer of its is one prediction."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
import pytest
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

import inferspan
from inferspan import semconv
from inferspan.providers import tracing
from inferspan.testing import CapturedSpans

pytestmark = pytest.mark.usefixtures("contained_errors")
ASKED = [{"role": "user", "content": "Say yes."}]


class Model(BaseHTTPRequestHandler):
    """Answers as the API does: at once, or in two pieces."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = {"id": "chatcmpl-1", "created": 1, "model": "tiny-2026"}
        if asked.get("stream"):
            pieces = [{"role": "assistant", "content": "y"}, {"content": "es"}, {}]
            events = [
                {
                    **told,
                    "object": "chat.completion.chunk",
                    "choices": [
                        {"index": 0, "delta": piece, "finish_reason": None if piece else "stop"}
                    ],
                }
                for piece in pieces
            ]
            body = (
                "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
            )
            kind = "text/event-stream"
        else:
            message = {"role": "assistant", "content": "yes"}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            body = json.dumps({**told, "object": "chat.completion", "choices": choices})
            kind = "application/json"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def client() -> Iterator[openai.OpenAI]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v1"
        with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as made:
            yield made
        server.shutdown()


@pytest.fixture
def theirs(spans: CapturedSpans) -> Iterator[None]:
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=tracing()[0])
    yield
    instrumentor.uninstrument()


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_generation_by_the_client_is_one_prediction(
    streamed: bool, client: openai.OpenAI, spans: CapturedSpans
) -> None:
    @inferspan.predict(model="assistant", task="generation")
    def whole() -> str:
        answer = client.chat.completions.create(model="tiny", messages=ASKED)
        return answer.choices[0].message.content or ""

    @inferspan.predict(model="assistant", task="generation")
    def pieces() -> Iterator[str]:
        for piece in client.chat.completions.create(model="tiny", messages=ASKED, stream=True):
            yield piece.choices[0].delta.content or ""

    assert ("".join(pieces()) if streamed else whole()) == "yes"
    prediction = spans.prediction()
    (other,) = (span for span in spans if span is not prediction)
    said = dict(other.attributes or {})
    assert (said["gen_ai.operation.name"], said["gen_ai.response.id"]) == ("chat", "chatcmpl-1")
    assert said[semconv.PREDICTION_SPAN_ID] == f"{prediction.context.span_id:016x}"
    # A reader of the GenAI conventions finds one span that speaks them.
    assert semconv.GEN_AI_REQUEST_MODEL not in (prediction.attributes or {})
