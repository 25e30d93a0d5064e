"""Every attribute that one side knows, the other knows too, or is named here with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import inferspan
import inferspan_collector.decode
from inferspan import semconv
from inferspan.testing import capture_spans

SDK = Path(inferspan.__file__).parent
DECODE = Path(inferspan_collector.decode.__file__).parent

WRITE_ONLY = {
    # For people who look at the span, and for readers of OpenInference.
    "INPUT_VALUE",
    "INPUT_MIME_TYPE",
    "OUTPUT_VALUE_JSON",
    "OUTPUT_MIME_TYPE",
    "OPENINFERENCE_SPAN_KIND",
    "INPUT_SHAPE",
    "INPUT_DTYPE",
    "MODEL_FRAMEWORK",
    "MODEL_ARTIFACT_HASH",
    "CAPTURE_POLICY",
    "CAPTURE_DROPPED",
    "TENSOR_NAME",
    "TENSOR_DATATYPE",
    "TENSOR_SHAPE",
    "TENSOR_DATA",
    "STATE_NAME",
    "STATE_MEAN",
    "STATE_STD",
    "STATE_MIN",
    "STATE_MAX",
    "STATE_NAN_COUNT",
    "STATE_SHAPE",
    "STATE_DTYPE",
    "STREAM_CHUNKS",
    "STREAM_COMPLETED",
    "STREAM_FIRST_CHUNK_DURATION",
    "STREAM_INTERVAL_P50",
    "STREAM_INTERVAL_P99",
    "STREAM_INTERVAL_MAX",
    # For readers of OpenTelemetry's GenAI conventions.
    "GEN_AI_OPERATION_NAME",
    "GEN_AI_REQUEST_MODEL",
    "GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK",
    "SERVICE_VERSION",
    "SAMPLING_KEPT",
    "BATCH_SPAN_ID",
    "BATCH_SIZE",
    "BATCH_POSITION",
    "BATCH_QUEUE_DURATION",
}
READ_ONLY = {
    # Senders other than our SDK.
    "SAMPLING_ADJUSTED_COUNT",
    "EVENT_TIME_UNIX_NANO",
    "ENTITY_ID",
    "PHASE_QUEUE_DURATION",
    "PHASE_PREPROCESS_DURATION",
    "PHASE_POSTPROCESS_DURATION",
    # Log events, which our SDK does not send.
    "EVENT_NAME",
    "GEN_AI_EVALUATION_NAME",
    "GEN_AI_EVALUATION_SCORE_LABEL",
    "GEN_AI_EVALUATION_SCORE_VALUE",
    "GEN_AI_RESPONSE_ID",
}
ATTRIBUTES = {
    name: value
    for name, value in vars(semconv).items()
    if name.isupper()
    and isinstance(value, str)
    and "." in value
    and not name.startswith(("SCOPE_", "SCHEMA_"))
    and name not in ("EVENT_LABEL", "EVENT_SNAPSHOT", "EVENT_EVALUATION_RESULT")
}
"""Constant → attribute name."""


def used_in(directory: Path) -> set[str]:
    """Attribute constants of `semconv` that a package's modules mention."""

    def mentions() -> Iterator[str]:
        for path in directory.rglob("*.py"):
            if path.stem in ("semconv", "testing"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    if node.value.id == "semconv":
                        yield node.attr
                elif isinstance(node, ast.ImportFrom) and node.module == "inferspan.semconv":
                    yield from (alias.name for alias in node.names)

    return set(mentions()) & ATTRIBUTES.keys()


def test_what_the_sdk_writes_is_read_or_write_only() -> None:
    assert used_in(SDK) - used_in(DECODE) == WRITE_ONLY


def test_what_the_collector_reads_is_written_or_read_only() -> None:
    assert used_in(DECODE) - used_in(SDK) == READ_ONLY


def test_no_span_carries_a_name_outside_the_vocabulary() -> None:
    @inferspan.predict(
        model="m",
        version="7",
        task="binary_classification",
        positive="fraud",
        prediction_id="key",
        slices=["country"],
        features=["amount", "country"],
        capture="values",
    )
    def score(key: str, amount: float, country: str, x: np.ndarray) -> dict[str, object]:
        with inferspan.stage("features"):
            inferspan.snapshot("embedding", x)
        return {"label": "fraud", "score": 0.93, "probabilities": {"legit": 0.07, "fraud": 0.93}}

    with capture_spans() as spans:
        score("k", 12.5, "DE", np.arange(200.0))
        inferspan.label("k", "fraud", model="m")
        inferspan.flush()
        found = {name for span in spans for name in span.attributes or ()}
        found |= {name for span in spans for event in span.events for name in event.attributes}
    suffixes = tuple(value for name, value in ATTRIBUTES.items() if name.startswith("TENSOR_"))
    known = set(ATTRIBUTES.values())
    strange = {
        name
        for name in found - known
        if not name.startswith(semconv.SLICE_PREFIX) and not name.endswith(suffixes)
    }
    assert strange == set()
    assert len(found) > 20
