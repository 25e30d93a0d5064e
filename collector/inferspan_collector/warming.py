"""Compiled code of all stages, ready before the first request: each stage runs once, on nothing.

A machine compiles it at the first start and keeps it on disk; later it is loaded. `WARMERS` is the
one list of what has to be made ready; a stage that compiles code is added there.
"""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from inferspan import semconv
from inferspan_collector import decode
from inferspan_collector.config import Config
from inferspan_collector.store.database import Database
from inferspan_collector.store.writer import Writer
from inferspan_collector.telemetry import Telemetry

MEMORY: Final = "64MB"
_MOMENT_NS: Final = 1_800_000_000_000_000_000

_logger = logging.getLogger(__name__)


def warm() -> None:
    """Make everything ready. Some twenty seconds the first time on a machine, one later."""
    for warmer in WARMERS:
        warmer()


@functools.cache
def warm_store() -> None:
    """Store a prediction and its label, in a store of its own that is thrown away; once a process.

    Where no temporary directory can be written, the first requests wait instead.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="inferspan-") as directory:
            database = Database.open(Path(directory) / "warming", MEMORY)
            try:
                writer = Writer(database, Config(), Telemetry())
                for scope, attributes in (_PREDICTION, _LABEL):
                    body = _request(scope, attributes)
                    read = decode.decode_traces(body, json=False, received_ns=_MOMENT_NS)
                    writer.commit([read], _MOMENT_NS)
            finally:
                database.close()
    except OSError as error:
        _logger.warning("the store is not made ready (%s): its first request waits", error)


_ID: Final = {semconv.MODEL_NAME: "warming", semconv.PREDICTION_ID: "warming"}
_PREDICTION: Final = (
    semconv.SCOPE_PREDICTIONS,
    _ID | {semconv.OPERATION_NAME: "predict", semconv.OUTPUT_CLASS: "a"},
)
_LABEL: Final = (
    semconv.SCOPE_LABELS,
    _ID | {semconv.LABEL_ID: "warming", semconv.LABEL_CLASS: "a"},
)


def _request(scope: str, attributes: dict[str, str]) -> bytes:
    """An OTLP request of one span."""
    request = ExportTraceServiceRequest()
    in_scope = request.resource_spans.add().scope_spans.add()
    in_scope.scope.name = scope
    span = in_scope.spans.add(
        trace_id=b"\1" * 16,
        span_id=b"\1" * 8,
        start_time_unix_nano=_MOMENT_NS,
        end_time_unix_nano=_MOMENT_NS,
    )
    for name, text in attributes.items():
        span.attributes.add(key=name).value.string_value = text
    return request.SerializeToString()


WARMERS: Final[tuple[Callable[[], None], ...]] = (decode.warm, warm_store)
