"""Far more than fits: what does not is refused with a time to come again, and nothing is lost."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from metrics import metric, resident_bytes
from mortal import Mortal, mortal
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from rounds import ROUNDS
from traffic import MODEL, prediction_span
from truth import Figures, Prediction, counted

from inferspan_collector import testing

SECONDS = 4.0 if ROUNDS <= 25 else 60.0
"""How long senders do not wait between a refusal and the next try."""
HTTP_SENDERS, GRPC_SENDERS = 12, 4
CODES = {"otlp_http": "503", "otlp_grpc": "UNAVAILABLE"}
ANSWER_SECONDS = 120.0
SPANS = 500
"""Of each request: their rows alone are a quarter of a MiB."""
MARK = b"@@@@@@@@"
MEMORY_BYTES_MAX = 1_000_000_000
CONFIGURATION = f"""
limits: {{memory: {MEMORY_BYTES_MAX // 1_000_000}MB, queue_bytes: 1048576, group_bytes: 1048576}}
"""


def template(version: str) -> bytes:
    """A request whose ids hold a mark, to be replaced by what tells one request from the other."""
    now_ns = time.time_ns()
    mark = MARK.decode()
    made = (
        Prediction(
            key=(version, f"{mark}-{number}"),
            predicted="legit",
            ids=(MARK + number.to_bytes(8, "big"), (number + 1).to_bytes(8, "big")),
            time_ns=now_ns,
        )
        for number in range(SPANS)
    )
    request = testing.traces_request(prediction_span(prediction, MODEL) for prediction in made)
    return request.SerializeToString()


class Flood:
    """Senders that send the next request at once, and what was refused again and again.

    Attributes:
        acknowledged: requests that were answered with success.
        refused: answers by what they said.
    """

    def __init__(self, collector: Mortal, body: bytes) -> None:
        self.acknowledged = 0
        self.refused: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self._body = body
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._senders = [
            threading.Thread(target=self._send, args=(way(collector),), daemon=True)
            for way in (*[Http] * HTTP_SENDERS, *[Grpc] * GRPC_SENDERS)
        ]

    def run(self, seconds: float) -> None:
        """Flood for so long; then everything that was refused is delivered in peace."""
        for sender in self._senders:
            sender.start()
        self._over.wait(seconds)
        self._over.set()
        for sender in self._senders:
            sender.join()
        if self.failure is not None:
            raise self.failure

    def _send(self, way: Http | Grpc) -> None:
        try:
            with contextlib.closing(way):
                while not self._over.is_set():
                    token = secrets.token_hex(len(MARK) // 2).encode()
                    self._deliver(way, self._body.replace(MARK, token))
        except BaseException as error:
            self.failure = error
            self._over.set()

    def _deliver(self, way: Http | Grpc, body: bytes) -> None:
        while (refusal := way.attempt(body)) is not None:
            with self._lock:
                self.refused[refusal] += 1
            if self._over.is_set():
                threading.Event().wait(0.1)
        with self._lock:
            self.acknowledged += 1


class Http:
    """One connection of OTLP/HTTP."""

    def __init__(self, collector: Mortal) -> None:
        address = collector.otlp_http.removeprefix("http://")
        self._connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS)

    def attempt(self, body: bytes) -> str | None:
        """None once it is acknowledged, else what it was refused with."""
        headers = {"Content-Type": "application/x-protobuf"}
        self._connection.request("POST", "/v1/traces", body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status == 200:
            taken = ExportTraceServiceResponse.FromString(content)
            assert not taken.partial_success.rejected_spans, taken
            return None
        assert answer.status == 503, f"{answer.status}: {content[:300]!r}"
        assert int(answer.headers["Retry-After"]) >= 1
        return "otlp_http"

    def close(self) -> None:
        self._connection.close()


class Grpc:
    """One channel of OTLP/gRPC."""

    def __init__(self, collector: Mortal) -> None:
        alone = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(collector.otlp_grpc, alone)
        self._export = self._channel.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            response_deserializer=ExportTraceServiceResponse.FromString,
        )

    def attempt(self, body: bytes) -> str | None:
        """None once it is acknowledged, else what it was refused with."""
        try:
            answer = self._export(body, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            trailing = dict(error.trailing_metadata())
            status = Status.FromString(trailing["grpc-status-details-bin"])
            retry = RetryInfo()
            assert status.details[0].Unpack(retry)
            assert retry.retry_delay.seconds >= 1
            return "otlp_grpc"
        assert not answer.partial_success.rejected_spans, answer
        return None

    def close(self) -> None:
        self._channel.close()


def test_what_does_not_fit_is_sent_away_and_comes_again(tmp_path: Path) -> None:
    configuration = tmp_path / "inferspan.yaml"
    configuration.write_text(CONFIGURATION)
    version = "overload"
    with mortal(tmp_path / "data", options=("--config", str(configuration))) as collector:
        pid = collector.pid
        flood = Flood(collector, template(version))
        flood.run(SECONDS)

        assert flood.refused["otlp_http"] > 0
        assert flood.refused["otlp_grpc"] > 0
        for transport, refused in flood.refused.items():
            told = metric(
                collector.api,
                "inferspan_requests_total",
                transport=transport,
                code=CODES[transport],
            )
            assert told == refused
        found = counted(collector.api, MODEL, version=version)
        assert found == Figures(flood.acknowledged * SPANS, 0, {})
        assert collector.pid == pid
        assert resident_bytes(pid, most=True) < MEMORY_BYTES_MAX
