"""A small model server on loopback that speaks the Open Inference Protocol, HTTP and gRPC.

It has two models: `iris` answers `label` and `probabilities`, `price` one number a row.
https://github.com/kserve/open-inference-protocol, with the extension for binary tensors.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

ASKED: list[tuple[str, dict[str, str]]] = []
"""The id, and the headers or metadata, of every request so far."""
CLASSES = np.array(["setosa", "virginica"])


def answers(model: str, x: Any) -> dict[str, Any]:
    """What the models say of rows."""
    if model == "price":
        return {"price": x.sum(1, keepdims=True, dtype=np.float32)}
    high = np.clip(x[:, 0] / 10, 0, 1).astype(np.float32)
    return {
        "label": CLASSES[(high > 0.5).astype(int)],
        "probabilities": np.column_stack([1 - high, high]),
    }


def described(name: str, array: Any) -> dict[str, Any]:
    kind = "FP32" if array.dtype == np.float32 else "BYTES"
    return {"name": name, "datatype": kind, "shape": list(array.shape)}


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        parts = self.path.strip("/").split("/")  # v2/models/NAME[/versions/V]/infer
        body = self.rfile.read(int(self.headers["Content-Length"]))
        header = int(self.headers.get("Inference-Header-Content-Length", len(body)))
        asked = json.loads(body[:header])
        ASKED.append((asked.get("id", ""), {n.lower(): said for n, said in self.headers.items()}))
        given = asked["inputs"][0]
        flat = given.get("data") or np.frombuffer(body[header:], np.float32)
        status, answer = 404, {"error": f"unknown model {parts[2]}"}
        if parts[2] in ("iris", "price"):
            made = answers(parts[2], np.reshape(flat, given["shape"]).astype(np.float32))
            found = [described(n, a) | {"data": a.ravel().tolist()} for n, a in made.items()]
            answer = {"model_name": parts[2], "id": asked.get("id", ""), "outputs": found}
            status = 200
        said = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def ModelInfer(self, request: Any, context: Any) -> Any:
        ASKED.append((request.id, dict(context.invocation_metadata())))
        if request.model_name not in ("iris", "price"):
            context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model {request.model_name}")
        given = request.inputs[0]
        x = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(given.shape)
        response = service_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
        for name, array in answers(request.model_name, x).items():
            response.outputs.add(**described(name, array))
            raw = array.tobytes()
            if array.dtype != np.float32:
                texts = [str(text).encode() for text in array]
                raw = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
            response.raw_output_contents.append(raw)
        return response


@contextmanager
def serving() -> Iterator[tuple[str, str]]:
    """Addresses of the server, HTTP and gRPC."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{web.server_port}", f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
        web.shutdown()
        thread.join()
        web.server_close()
