"""OTLP/gRPC: the same requests as raw bytes, decoded as those of HTTP are.

Exporters try again after UNAVAILABLE, and after RESOURCE_EXHAUSTED only with RetryInfo; UNKNOWN,
which gRPC makes of an exception, loses the sender's data. So no exception leaves a handler here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from inferspan_collector.batches import Decoded
from inferspan_collector.certificates import NO_CERTIFICATES, Certificates
from inferspan_collector.config import Limits, split_address
from inferspan_collector.decode import Together
from inferspan_collector.listening import AddressTaken, holder
from inferspan_collector.receivers.access import EVERYBODY, INGEST, LABELS, Access, Denied, Rights
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.receivers.calls_together import CallsTogether
from inferspan_collector.receivers.defects import Defects
from inferspan_collector.receivers.failures import Failure, failure_of
from inferspan_collector.receivers.intake import committed_within, count, outcome, permitted
from inferspan_collector.receivers.otlp import SIGNALS, Signal
from inferspan_collector.receivers.pending_labels import UNLIMITED, PendingLabels
from inferspan_collector.receivers.read_as_one import Kept, bytes_max, kept_as_one
from inferspan_collector.submission import Overloaded, Sink
from inferspan_collector.telemetry import REQUESTS, Telemetry

TRANSPORT: Final = "otlp_grpc"
CALLS_MAX: Final = 64
"""Requests under way at once; most of them wait for one and the same commit."""
SHEDDING_THREADS: Final = 4
"""Threads beyond those, that only ever send surplus requests away."""
COMMIT_SECONDS_MAX: Final = 30.0
"""How long a request waits for its commit, where its sender does not wait less."""
READ_BYTES: Final = (1024 * 1024, 4 * 1024 * 1024)
"""What is read from a connection at once, at first and at most. gRPC begins with 8 KiB; requests of
hundreds take a tenth less CPU to receive with this, and a connection 0.15 MiB of memory more."""
DETAILS_KEY: Final = "grpc-status-details-bin"
_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    503: grpc.StatusCode.UNAVAILABLE,
}


class GrpcReceiver:
    """The OTLP/gRPC receiver of traces and logs.

    Args:
        sink: takes what was decoded.
        telemetry: counts.
        limits: `request_bytes` is the largest message.
        budget: what requests under way may hold, shared with the other receivers.
        address: `HOST:PORT`; port 0 takes a free one.
        access: knows the tokens.
        certificates: the server's; without one, requests come in the clear.
        pending: limits the labels that wait.
        calls_max: requests under way at once; surplus ones are told to come again.
        commit_seconds: the longest wait for a commit; after it the sender is told to come again.
        signals: how each kind of export is read.
    """

    def __init__(
        self,
        sink: Sink,
        telemetry: Telemetry,
        limits: Limits,
        budget: Budget,
        address: str,
        *,
        access: Access = EVERYBODY,
        certificates: Certificates = NO_CERTIFICATES,
        pending: PendingLabels = UNLIMITED,
        calls_max: int = CALLS_MAX,
        commit_seconds: float = COMMIT_SECONDS_MAX,
        signals: Sequence[Signal] = SIGNALS,
    ) -> None:
        self._sink = sink
        self._telemetry = telemetry
        self._defects = Defects(telemetry, TRANSPORT)
        self._budget = budget
        self._address = address
        self._access = access
        self._certificates = certificates
        self._pending = pending
        self._commit_seconds = commit_seconds
        self._together = CallsTogether(
            budget,
            self._begin_together,
            bytes_max(limits),
            limits.group_milliseconds / 1e3,
        )
        # Not gRPC's own `maximum_concurrent_rpcs`: it refuses the surplus with RESOURCE_EXHAUSTED
        # and no RetryInfo, upon which exporters drop their data.
        self._calls = threading.BoundedSemaphore(calls_max)
        self._workers = ThreadPoolExecutor(
            calls_max + SHEDDING_THREADS, thread_name_prefix=TRANSPORT
        )
        self._server = grpc.server(
            self._workers,
            handlers=[self._handlers(signal) for signal in signals],
            options=[
                # Decompressed. The library refuses a larger one by itself, and tells nobody here.
                ("grpc.max_receive_message_length", limits.request_bytes),
                # Otherwise two collectors share a port, and each gets half of the data.
                ("grpc.so_reuseport", 0),
                ("grpc.experimental.tcp_read_chunk_size", READ_BYTES[0]),
                ("grpc.experimental.tcp_max_read_chunk_size", READ_BYTES[1]),
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
            bound = self._bind()
        except RuntimeError as error:
            raise AddressTaken(self._address, holder(port)) from error
        self._server.start()
        return f"[{host}]:{bound}" if ":" in host else f"{host}:{bound}"

    def stop(self, grace_seconds: float) -> None:
        """Accept nothing more, give requests under way so long, and end."""
        self._server.stop(grace_seconds).wait()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _bind(self) -> int:
        credentials = self._certificates.grpc_credentials()
        if credentials is None:
            return int(self._server.add_insecure_port(self._address))
        return int(self._server.add_secure_port(self._address, credentials))

    def _handlers(self, signal: Signal) -> grpc.GenericRpcHandler:
        def export(body: bytes, context: grpc.ServicerContext) -> bytes:
            answer = self._answer(signal, body, context)
            code = grpc.StatusCode.OK if isinstance(answer, bytes) else _CODES[answer.status]
            self._telemetry.add(REQUESTS, transport=TRANSPORT, code=code.name)
            if isinstance(answer, bytes):
                return answer
            _abort(context, answer)
            return b""

        return grpc.method_handlers_generic_handler(
            signal.service, {"Export": grpc.unary_unary_rpc_method_handler(export)}
        )

    def _answer(
        self, signal: Signal, body: bytes, context: grpc.ServicerContext
    ) -> bytes | Failure:
        try:
            rights = self._rights(context)
            with self._one_call():
                return self._stored(signal, body, rights, context.time_remaining())
        except Exception as error:
            return failure_of(error, self._telemetry, TRANSPORT)

    def _rights(self, context: grpc.ServicerContext) -> Rights:
        """What the sender may do; nothing at all for a web page.

        A browser does not speak gRPC in the clear; over TLS it could be made to try.
        """
        metadata = context.invocation_metadata()
        if any(name == "origin" for name, _ in metadata):
            raise Denied(
                403,
                "a request with an Origin",
                "web pages may not send",
                "send it from a program",
                reason="foreign_origin",
            )
        given = [_text(value) for name, value in metadata if name == "authorization"]
        return self._access.require(given, INGEST, LABELS)

    @contextlib.contextmanager
    def _one_call(self) -> Iterator[None]:
        if not self._calls.acquire(blocking=False):
            raise Overloaded(
                "as many requests are under way as are taken at once; send this again",
                reason="calls",
            )
        try:
            yield
        finally:
            self._calls.release()

    def _stored(
        self, signal: Signal, body: bytes, rights: Rights, seconds_left: float | None
    ) -> bytes:
        self._sink.check_room(len(body), TRANSPORT)
        wait = self._commit_seconds if seconds_left is None else seconds_left
        wait = min(wait, self._commit_seconds)
        together = self._together.begin((signal, rights), body) if signal.together else None
        if together is not None:
            answer = committed_within(together, wait)
            if answer is not None:
                return answer
        decoded = self._decoded(signal, body)
        decoded = self._pending.admit(permitted(decoded, rights))
        committed_within(self._sink.keep(decoded, TRANSPORT), wait)
        self._count(decoded)
        return signal.answer(decoded)

    def _decoded(self, signal: Signal, body: bytes) -> Decoded:
        with (
            self._telemetry.timed("decode"),
            self._budget.holding(len(body)),
            self._budget.making_rows(len(body)) as reserve,
        ):
            return self._defects.decoded(
                signal, body, json=False, received_ns=self._sink.now_ns(), reserve=reserve
            )

    def _begin_together(
        self,
        key: tuple[Signal, Rights],
        some: Sequence[bytes],
        answers: Sequence[Future[bytes | None]],
    ) -> Kept | None:
        """Store several bodies as one, or some of them; what is stored is answered."""
        signal, rights = key
        kept = kept_as_one(
            lambda: self._decoded_together(signal, some, rights),
            rights,
            sink=self._sink,
            pending=self._pending,
            defects=self._defects,
            transport=TRANSPORT,
        )
        if kept is not None:
            decoded, stored = kept.decoded, [answers[place] for place in kept.places]
            kept.future.add_done_callback(lambda done: self._end(signal, decoded, done, stored))
        return kept

    def _decoded_together(
        self, signal: Signal, some: Sequence[bytes], rights: Rights
    ) -> Together | None:
        if signal.together is None:
            return None
        size = sum(map(len, some))
        self._sink.check_room(size, TRANSPORT)
        with self._telemetry.timed("decode"), self._budget.making_rows(size) as reserve:
            return signal.together(
                some,
                received_ns=self._sink.now_ns(),
                reserve=reserve,
                labels=LABELS in rights,
            )

    def _end(
        self,
        signal: Signal,
        decoded: Decoded,
        kept: Future[object],
        stored: Sequence[Future[bytes | None]],
    ) -> None:
        try:
            outcome(kept)
            self._count(decoded)
            answer = signal.answer(decoded)
        except Exception as error:
            for each in stored:
                each.set_exception(error)
        else:
            for each in stored:
                each.set_result(answer)

    def _count(self, decoded: Decoded) -> None:
        self._pending.note_at_most(len(decoded.labels))
        count(decoded, self._telemetry, TRANSPORT)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def _abort(context: grpc.ServicerContext, failure: Failure) -> None:
    code = _CODES[failure.status]
    if failure.retry_after_seconds is not None:
        detail = Any()
        detail.Pack(RetryInfo(retry_delay=Duration(seconds=failure.retry_after_seconds)))
        status = Status(code=code.value[0], message=failure.message, details=[detail])
        context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
    context.abort(code, failure.message)
