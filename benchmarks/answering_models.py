"""A model server on loopback that answers at once, over HTTP and gRPC, until its process ends."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_NAME: Final = "model"
_SAID: Final = json.dumps(
    {
        "model_name": _NAME,
        "model_version": "7",
        "outputs": [{"name": "label", "datatype": "INT64", "shape": [1], "data": [1]}],
    }
).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(_SAID)))
        self.end_headers()
        self.wfile.write(_SAID)


def serving_http() -> str:
    """Begin to serve; its address."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    web.daemon_threads = True
    threading.Thread(target=web.serve_forever, daemon=True).start()
    return f"127.0.0.1:{web.server_port}"


def serving_grpc() -> str:
    """Begin to serve; its address."""
    import grpc
    from tritonclient.grpc import service_pb2, service_pb2_grpc

    said = service_pb2.ModelInferResponse(model_name=_NAME, model_version="7")
    said.outputs.add(name="label", datatype="INT64", shape=[1])
    said.raw_output_contents.append((1).to_bytes(8, "little"))

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ModelInfer(self, request: Any, context: Any) -> Any:
            return said

    server = grpc.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _serving.append(server)
    return f"127.0.0.1:{port}"


_serving: Final[list[Any]] = []
"""Servers of gRPC end when nobody holds them."""
