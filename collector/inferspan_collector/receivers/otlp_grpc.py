"""OTLP/gRPC: the same requests as raw bytes, decoded as those of HTTP are.

Exporters try again after UNAVAILABLE, and after RESOURCE_EXHAUSTED only with RetryInfo; UNKNOWN,
which gRPC makes of an exception, loses the sender's data. So no exception leaves a handler here.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from inferspan_collector.config import Limits, split_address
from inferspan_collector.decode import MalformedRequest
from inferspan_collector.listening import AddressTaken, holder
from inferspan_collector.receivers.intake import count, submitted
from inferspan_collector.receivers.otlp import SIGNALS, Signal
from inferspan_collector.submission import Overloaded, Sink, Unstorable
from inferspan_collector.telemetry import CONTAINED, REQUESTS, Telemetry

TRANSPORT: Final = "otlp_grpc"
WORKERS: Final = 32
"""Requests under way at once; most of them wait for one and the same commit."""
RETRY_AFTER_SECONDS: Final = 1
DETAILS_KEY: Final = "grpc-status-details-bin"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Failure:
    code: grpc.StatusCode
    message: str
    retry_after_seconds: int | None = None


class GrpcReceiver:
    """The OTLP/gRPC receiver of traces and logs.

    Args:
        sink: takes what was decoded.
        telemetry: counts.
        limits: `request_bytes` is the largest message.
        address: `HOST:PORT`; port 0 takes a free one.
    """

    def __init__(self, sink: Sink, telemetry: Telemetry, limits: Limits, address: str) -> None:
        self._sink = sink
        self._telemetry = telemetry
        self._limit = limits.request_bytes
        self._address = address
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix=TRANSPORT)
        self._server = grpc.server(
            self._workers,
            handlers=[self._handlers(signal) for signal in SIGNALS],
            options=[
                ("grpc.max_receive_message_length", self._limit),
                # Otherwise two collectors share a port, and each gets half of the data.
                ("grpc.so_reuseport", 0),
            ],
        )

    def start(self) -> str:
        """Begin to listen.

        Returns:
            `HOST:PORT` as bound.

        Raises:
            AddressTaken: something else listens there, or it is not an address of this machine.
        """
        host, port = split_address(self._address)
        try:
            bound = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise AddressTaken(self._address, holder(port)) from error
        self._server.start()
        return f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"

    def stop(self, grace_seconds: float) -> None:
        """Accept nothing more, give requests under way so long, and end."""
        self._server.stop(grace_seconds).wait()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _handlers(self, signal: Signal) -> grpc.GenericRpcHandler:
        def export(body: bytes, context: grpc.ServicerContext) -> bytes:
            answer = self._answer(signal, body)
            code = grpc.StatusCode.OK if isinstance(answer, bytes) else answer.code
            self._telemetry.add(REQUESTS, transport=TRANSPORT, code=code.name)
            if isinstance(answer, bytes):
                return answer
            _abort(context, answer)
            return b""

        return grpc.method_handlers_generic_handler(
            signal.service, {"Export": grpc.unary_unary_rpc_method_handler(export)}
        )

    def _answer(self, signal: Signal, body: bytes) -> bytes | _Failure:
        if len(body) > self._limit:
            return _Failure(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"the request has {len(body)} bytes; at most {self._limit} are read: send smaller "
                "batches",
            )
        try:
            decoded = signal.decode(body, json=False, received_ns=self._sink.now_ns())
            future = submitted(decoded, self._sink, TRANSPORT)
            if future is not None:
                future.result()
            count(decoded, self._telemetry, TRANSPORT)
            return signal.answer(decoded).SerializeToString()
        except (MalformedRequest, Unstorable) as error:
            return _Failure(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Overloaded as error:
            return _Failure(grpc.StatusCode.UNAVAILABLE, str(error), error.retry_after_seconds)
        except Exception as error:
            self._telemetry.add(CONTAINED, where=TRANSPORT)
            _log.exception("an OTLP/gRPC request failed; its sender was told to come again")
            message = f"unexpected {type(error).__name__}; see the collector's log"
            return _Failure(grpc.StatusCode.UNAVAILABLE, message, RETRY_AFTER_SECONDS)


def _abort(context: grpc.ServicerContext, failure: _Failure) -> None:
    if failure.retry_after_seconds is not None:
        detail = Any()
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=max(1, failure.retry_after_seconds))))
        status = Status(code=failure.code.value[0], message=failure.message, details=[detail])
        context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    context.abort(failure.code, failure.message)
