"""The vocabulary: every attribute, span, event and scope name that crosses the wire, spelled once.

Standard library only. Both sides use it: the SDK writes these names, the collector reads them.
`docs/vocabulary.md` explains them; a change here needs a decision record.
"""

from __future__ import annotations

import json
import math
import unicodedata
import uuid
from collections.abc import Mapping
from typing import Final

SCHEMA_URL: Final = "https://inferspan.dev/schemas/0.1.0"
"""Identifies this version of the vocabulary on the wire; nothing fetches it."""

# --- scopes: who wrote a span -------------------------------------------------------------------

SCOPE_PREDICTIONS: Final = "inferspan"
"""Prediction and stage spans."""
SCOPE_RECORDS: Final = "inferspan.records"
"""Slim records: what a prediction leaves behind when its full span is not exported."""
SCOPE_LABELS: Final = "inferspan.labels"
"""Label records: the truth that arrives later."""
SCOPE_PROCESSOR: Final = "inferspan.processor"
"""What the collector emits. It ignores this scope on its own input, so a loop cannot form."""

# --- resource (names of OpenTelemetry) ----------------------------------------------------------

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
DEPLOYMENT_ENVIRONMENT_NAME: Final = "deployment.environment.name"

# --- the prediction span ------------------------------------------------------------------------

OPERATION_NAME: Final = "inferspan.operation.name"
"""string, always. One of `OPERATIONS`; the span's name starts with it."""
MODEL_NAME: Final = "inferspan.model.name"
"""string, always."""
MODEL_VERSION: Final = "inferspan.model.version"
"""string, recommended."""
MODEL_FRAMEWORK: Final = "inferspan.model.framework"
"""string, when known: sklearn, xgboost, torch…"""
MODEL_ARTIFACT_HASH: Final = "inferspan.model.artifact_hash"  # string, when known: `sha256:…`
MODEL_VARIANT: Final = "inferspan.model.variant"
"""string, when routed: canary, shadow, a, b."""
TASK_TYPE: Final = "inferspan.task.type"
"""string, one of `TASKS`; absent = unspecified: only equality or numeric error is computed."""

PREDICTION_ID: Final = "inferspan.prediction.id"
"""string ≤ 128: the caller's key, else a UUIDv7 in hex. Never a metric label."""
PREDICTION_COUNT: Final = "inferspan.prediction.count"
"""int: rows of a batch call; absent = 1."""
PREDICTION_IDS: Final = "inferspan.prediction.ids"
"""string[]: one id per row of a batch call."""
EVENT_TIME_UNIX_NANO: Final = "inferspan.event.time_unix_nano"
"""int, ns: business time, where it differs from the span's (backfill, batch)."""

OUTPUT_CLASS: Final = "inferspan.output.class"
"""string: the predicted class, as `class_text` writes it."""
OUTPUT_SCORE: Final = "inferspan.output.score"
"""double: P(positive) for a binary task, else P(predicted class)."""
OUTPUT_VALUE: Final = "inferspan.output.value"
"""double: the predicted number of a regression."""
OUTPUT_POSITIVE_CLASS: Final = "inferspan.output.positive_class"
"""string: which class is the positive one of a binary task."""
OUTPUT_THRESHOLD: Final = "inferspan.output.threshold"
"""double: the score from which the positive class is answered."""
OUTPUT_CLASSES_PREDICTED: Final = "inferspan.output.classes_predicted"
"""string[]: one per row of a batch; with offsets, the sets of a multilabel or ranking row."""
OUTPUT_VALUES: Final = "inferspan.output.values"
OUTPUT_SCORES: Final = "inferspan.output.scores"
"""double[]: one per row, or one per entry of `classes_predicted`; values are one per row."""
OUTPUT_OFFSETS: Final = "inferspan.output.offsets"
"""int[]: Arrow-style row offsets into `classes_predicted` (rows + 1 of them), for ragged rows."""
OUTPUT_CLASSES: Final = "inferspan.output.classes"
"""JSON text: the classes that the columns of `probabilities` stand for. Others send string[K]."""
OUTPUT_PROBABILITIES: Final = "inferspan.output.probabilities"
"""double[N·K], row-major."""
INPUT_SHAPE: Final = "inferspan.input.shape"
"""string: `1000x30`."""
INPUT_DTYPE: Final = "inferspan.input.dtype"
"""string: `float64`, or the type's name."""

FEATURE_NAMES: Final = "inferspan.feature.names"
"""JSON text: names of the numeric features, in the order of `FEATURE_DATA`."""
FEATURE_DATA: Final = "inferspan.feature.data"
"""bytes: float64 little-endian, NaN = missing, in the order of `FEATURE_NAMES`."""
FEATURE_CATEGORY_NAMES: Final = "inferspan.feature.category_names"
"""JSON text: names of the categorical features."""
FEATURE_CATEGORY_VALUES: Final = "inferspan.feature.category_values"
"""string[]: their values, in the same order."""

INPUT_VALUE: Final = "input.value"
"""JSON object ≤ 2 kB, for people and for OpenInference's readers; so is `OUTPUT_VALUE_JSON`."""
INPUT_MIME_TYPE: Final = "input.mime_type"
OUTPUT_VALUE_JSON: Final = "output.value"
OUTPUT_MIME_TYPE: Final = "output.mime_type"
OPENINFERENCE_SPAN_KIND: Final = "openinference.span.kind"
MIME_JSON: Final = "application/json"

TENSOR_NAME: Final = "tensor.name"
"""Suffix after `inferspan.input.`, `inferspan.output.` or `inferspan.state.`."""
TENSOR_DATATYPE: Final = "tensor.datatype"
TENSOR_SHAPE: Final = "tensor.shape"
TENSOR_DATA: Final = "tensor.data"
SLICE_PREFIX: Final = "inferspan.slice."
"""Prefix of declared slices, `inferspan.slice.country`: ≤ `SLICE_KEYS_MAX`, no dot in the key."""
CAPTURE_POLICY: Final = "inferspan.capture.policy"
"""string, always: `shapes`, `values` or `none`."""
CAPTURE_DROPPED: Final = "inferspan.capture.dropped"
"""string[]: what was left out and why, `output:no class, score or number found`."""
SAMPLING_ADJUSTED_COUNT: Final = "inferspan.sampling.adjusted_count"
"""double ≥ 1, on foreign spans only: how many predictions this one stands for."""
SAMPLING_KEPT: Final = "inferspan.sampling.kept"
"""string: why a span was built though the sampler left it out: one of `KEEP_REASONS`."""
ERROR_TYPE: Final = "error.type"
"""string: the exception's type; messages are recorded only under `values`: they leak inputs."""

STREAM_CHUNKS: Final = "inferspan.stream.chunks"
"""int: items a generator yielded."""
STREAM_COMPLETED: Final = "inferspan.stream.completed"
"""bool: false when the consumer left before the end."""
STREAM_FIRST_CHUNK_DURATION: Final = "inferspan.stream.first_chunk.duration"
"""double, s: from the first request for an item to that item."""
STREAM_INTERVAL_P50: Final = "inferspan.stream.chunk_interval.p50"
"""double, s: from the request for an item after the first to it; absent under two items."""
STREAM_INTERVAL_P99: Final = "inferspan.stream.chunk_interval.p99"
STREAM_INTERVAL_MAX: Final = "inferspan.stream.chunk_interval.max"
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
"""These three besides ours where the task is `GENERATION`, for readers of the GenAI conventions."""
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"

# --- micro-batches: one span for the batch, linked to the requests in it -------------------------

BATCH_SPAN_ID: Final = "inferspan.batch.span_id"
"""string, on a request's span: 16 hex digits."""
BATCH_SIZE: Final = "inferspan.batch.size"
"""int, on both: requests in the batch."""
BATCH_POSITION: Final = "inferspan.batch.position"
"""int, on a request's span: its place in the batch, from 0."""
BATCH_QUEUE_DURATION: Final = "inferspan.batch.queue.duration"
"""double, s, on a request's span: how long it waited for the batch to begin."""

# --- the slim record: `predictions {model}`, many calls in columns -------------------------------
# C calls in the order of their columns, R rows; bytes are little-endian except ids. Codes are
# unsigned of 1, 2 or 4 bytes each (by length): 0 = absent, k = entry k - 1 of the dictionary.
# Floats are float32 where that loses nothing in the whole column, else float64; NaN = absent.

RECORD_COUNT: Final = "inferspan.record.count"
"""int: C."""
# 16 and 8 bytes a call, big-endian as on the wire.
RECORD_TRACE_IDS: Final = "inferspan.record.trace_ids"
RECORD_SPAN_IDS: Final = "inferspan.record.span_ids"
RECORD_SAMPLED: Final = "inferspan.record.sampled"
"""bool of all calls, or bytes[⌈C / 8⌉], one bit a call, lowest first: whether its full span was
sampled, so that a trace may hold it; absent = unknown."""
RECORD_IDS: Final = "inferspan.record.ids"
"""bytes[16n] where all are 32 hex digits, else string[n]. n = C: rows of a call share its id, and
have an index; n = R: each has its own."""
RECORD_ROW_COUNTS: Final = "inferspan.record.row_counts"
"""bytes, uint32[C]: rows of each call; absent = 1 each, so R = C."""
# Unsigned of 4 or 8 bytes each (by length), in ns; offsets count from the record span's start.
RECORD_START_OFFSETS: Final = "inferspan.record.start_offsets"
RECORD_DURATIONS: Final = "inferspan.record.durations"
RECORD_ERROR_TYPES: Final = "inferspan.record.error_types"
RECORD_ERROR_TYPE_CODES: Final = "inferspan.record.error_type_codes"
"""bytes, codes[C]; absent = no call failed."""
RECORD_CLASSES: Final = "inferspan.record.classes"
RECORD_CLASS_CODES: Final = "inferspan.record.class_codes"
"""bytes, codes: R of them, or with offsets one per entry of a set."""
RECORD_CLASS_OFFSETS: Final = "inferspan.record.class_offsets"
"""bytes, uint32[R + 1], Arrow-style, for sets (multilabel, ranking); a lone code 0 = no answer."""
RECORD_SCORES: Final = "inferspan.record.scores"
RECORD_VALUES: Final = "inferspan.record.values"
RECORD_PROBABILITY_CLASSES: Final = "inferspan.record.probability_classes"
RECORD_PROBABILITY_CLASS_CODES: Final = "inferspan.record.probability_class_codes"
RECORD_PROBABILITIES: Final = "inferspan.record.probabilities"
"""bytes, floats: of each row with a code one per class of its list, which is JSON text."""
# Slices and categorical features: a dictionary (string[]), and codes of the rows (bytes).
RECORD_SLICE_PREFIX: Final = "inferspan.record.slice."
RECORD_SLICE_CODES_PREFIX: Final = "inferspan.record.slice_codes."
RECORD_FEATURE_NAMES: Final = "inferspan.record.feature.names"
RECORD_FEATURE_DATA: Final = "inferspan.record.feature.data"
"""bytes, floats[names x R], one feature after the other."""
RECORD_CATEGORY_PREFIX: Final = "inferspan.record.category."
RECORD_CATEGORY_CODES_PREFIX: Final = "inferspan.record.category_codes."

# --- stages and snapshots -----------------------------------------------------------------------

STAGE_NAME: Final = "inferspan.stage.name"
"""string: name of an intermediate step; the span is `{stage} {model}`."""
PREDICTION_SPAN_ID: Final = "inferspan.prediction.span_id"
"""string, 16 hex digits, on stages below others, and on spans of others about the same call."""
PHASE_QUEUE_DURATION: Final = "inferspan.phase.queue.duration"
"""double, s: this and the next three say what of a call, or of a stage, is known to be what."""
PHASE_PREPROCESS_DURATION: Final = "inferspan.phase.preprocess.duration"
PHASE_COMPUTE_DURATION: Final = "inferspan.phase.compute.duration"
PHASE_POSTPROCESS_DURATION: Final = "inferspan.phase.postprocess.duration"
EVENT_SNAPSHOT: Final = "inferspan.snapshot"
"""Span event that carries a state as `inferspan.state.*`; a model's stage has it on its span."""
STATE_NAME: Final = "inferspan.state.name"
STATE_MEAN: Final = "inferspan.state.mean"
"""double: as the next three, of the finite elements; of one number this says all."""
STATE_STD: Final = "inferspan.state.std"
STATE_MIN: Final = "inferspan.state.min"
STATE_MAX: Final = "inferspan.state.max"
STATE_NAN_COUNT: Final = "inferspan.state.nan_count"
STATE_SHAPE: Final = "inferspan.state.shape"
STATE_DTYPE: Final = "inferspan.state.dtype"

# --- the label record ---------------------------------------------------------------------------

PREDICTION_INDEX: Final = "inferspan.prediction.index"
"""int: row within a batch call that shares one prediction id; absent = 0."""
PREDICTION_ITEM_ID: Final = "inferspan.prediction.item_id"
"""string: the item of a ranking."""
ENTITY_ID: Final = "inferspan.entity.id"
"""string: whom the outcome is about, where no prediction id is known."""
LABEL_ID: Final = "inferspan.label.id"
"""string, required. (label.id, revision) seen twice is a duplicate."""
TARGET_NAME: Final = "inferspan.target.name"
"""string: which truth; absent = `DEFAULT_TARGET`."""
TARGET_KIND: Final = "inferspan.target.kind"
"""string: one of `TARGET_KINDS`; absent = ground_truth."""
LABEL_CLASS: Final = "inferspan.label.class"
"""string: the true class."""
LABEL_CLASSES: Final = "inferspan.label.classes"
"""string[]: the true set of a multilabel row."""
LABEL_VALUE: Final = "inferspan.label.value"
"""double: the true number, or a class written as a number; the collector converts by the task."""
LABEL_VALUES: Final = "inferspan.label.values"
LABEL_TEXT: Final = "inferspan.label.text"
"""string: a reference answer."""
LABEL_TIME_UNIX_NANO: Final = "inferspan.label.time_unix_nano"
"""int, ns: when the outcome became known; absent = when it was first accepted."""
LABEL_SOURCE: Final = "inferspan.label.source"
LABEL_ANNOTATOR_KIND: Final = "inferspan.label.annotator_kind"
LABEL_REVISION: Final = "inferspan.label.revision"
"""int: 0, then 1 for the first correction…"""
LABEL_ACTION: Final = "inferspan.label.action"
"""string: `upsert` (default) or `delete`."""
LABEL_WEIGHT: Final = "inferspan.label.weight"
"""double > 0; absent = 1."""

# --- the evaluation span (the collector's) ------------------------------------------------------

EVALUATION_OUTCOME: Final = "inferspan.evaluation.outcome"
"""string: `correct`, `incorrect` or `retracted`; not a boolean, for Jaeger ignores false."""
EVALUATION_PREDICTED: Final = "inferspan.evaluation.predicted"
EVALUATION_EXPECTED: Final = "inferspan.evaluation.expected"
EVALUATION_ERROR: Final = "inferspan.evaluation.error"
"""double: predicted − expected, for a regression."""
MATERIALIZED: Final = "inferspan.materialized"
"""string `true`, on the span of an unsampled prediction that the collector rebuilt."""
LABEL_DELAY: Final = "inferspan.label.delay"
"""double, s: label time − prediction time."""
EVENT_EVALUATION_RESULT: Final = "gen_ai.evaluation.result"
"""Event of OpenTelemetry's GenAI conventions; accepted on input (kind = evaluation) and emitted."""
GEN_AI_EVALUATION_NAME: Final = "gen_ai.evaluation.name"
GEN_AI_EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
GEN_AI_EVALUATION_SCORE_VALUE: Final = "gen_ai.evaluation.score.value"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
"""string: names the answer a label or an evaluation is about, where no span does."""
EVENT_LABEL: Final = "inferspan.label"
"""OTLP log event that carries a label record."""
EVENT_NAME: Final = "event.name"
"""Where a log event's name stands when its sender is older than OTLP 1.5's own field for it."""

# --- vocabularies -------------------------------------------------------------------------------

OPERATIONS: Final = (
    "predict", "predict_proba", "embed", "rank", "detect", "forecast", "transform", "generate",
)  # fmt: skip
BINARY: Final = "binary_classification"
MULTICLASS: Final = "multiclass_classification"
MULTILABEL: Final = "multilabel_classification"
REGRESSION: Final = "regression"
RANKING: Final = "ranking"
FORECASTING: Final = "forecasting"
DETECTION: Final = "detection"
EMBEDDING: Final = "embedding"
GENERATION: Final = "generation"
TASKS: Final = (
    BINARY, MULTICLASS, MULTILABEL, REGRESSION, RANKING, FORECASTING, DETECTION, EMBEDDING,
    GENERATION,
)  # fmt: skip
NUMERIC_TASKS: Final = (REGRESSION, FORECASTING)
"""Tasks whose output is a number: outcomes are errors, not equality."""
CAPTURE_POLICIES: Final = ("shapes", "values", "none")
CAPTURE_DEFAULT: Final = "shapes"
KEEP_REASONS: Final = ("marked", "error", "slow", "low_confidence")
TARGET_KINDS: Final = ("ground_truth", "feedback", "evaluation")
ANNOTATOR_KINDS: Final = ("HUMAN", "LLM", "CODE", "SYSTEM")
LABEL_ACTIONS: Final = ("upsert", "delete")
DEFAULT_TARGET: Final = "default"

# --- limits -------------------------------------------------------------------------------------
PREDICTION_ID_LENGTH_MAX: Final = 128
SLICE_KEYS_MAX: Final = 8
CONTENT_BYTES_MAX: Final = 6 * 1024
"""Content (inputs, outputs, states) of one span, in bytes."""
JSON_BYTES_MAX: Final = 2 * 1024
"""`input.value` and `output.value`, in bytes, valid JSON after truncation."""
INTEGER_BITS_MAX: Final = 2_048
"""Of an integer that is a class or an id: 617 decimals; Python may refuse to write 641."""
REQUEST_ROWS_MAX: Final = 500_000
"""Predictions of one OTLP request; a batch call or slim record holds many."""
REQUEST_BYTES_MAX: Final = 64 * 1024 * 1024
"""One OTLP request, after decompression."""


def class_text(value: object) -> str | None:
    """Write a class as the one text both sides compare.

    Strings stay (in Unicode NFC, lone surrogates replaced), booleans become `true` and `false`,
    integral numbers decimals (`1.0` → `1`), other floats their `repr`. numpy scalars count as the
    Python number they hold.

    Args:
        value: a class as a model or a label gives it.

    Returns:
        The text; None for what is never a label: None, NaN, infinities, huge integers, other types.
    """
    if isinstance(value, str):
        valid = value.encode("utf-8", "replace").decode("utf-8")
        return unicodedata.normalize("NFC", valid)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value)) if value.bit_length() <= INTEGER_BITS_MAX else None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(float(value))
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        scalar = item()
        return None if type(scalar) is type(value) else class_text(scalar)
    return None


def prediction_id_text(value: object, key: bytes | None = None) -> str | None:
    """Write a prediction id as the one text by which predictions and labels are joined.

    Every sender of predictions or labels passes its ids through here, so that both sides agree.

    Args:
        value: the caller's key. Strings stay (lone surrogates replaced), integral numbers become
            decimals (`17.0` → `17`), UUIDs their usual text.
        key: with a key, the HMAC-SHA-256 of the text in hex is sent instead of it.

    Returns:
        The text, at most `PREDICTION_ID_LENGTH_MAX` characters (a longer id is replaced by its
        SHA-256 in hex); None for what cannot be an id: None, the empty text, NaN, other types.
    """
    if isinstance(value, str):
        text: str | None = value.encode("utf-8", "replace").decode("utf-8")
    elif isinstance(value, uuid.UUID):
        text = str(value)
    else:
        text = class_text(value)
    if not text:
        return None
    if len(text) > PREDICTION_ID_LENGTH_MAX:
        text = hash_text(text)
    return text if key is None else hash_text(text, key)


def label_record_id(attributes: Mapping[str, object]) -> str:
    """Derive a label's id from its content, so that loading the same row twice changes nothing.

    Args:
        attributes: the record's attributes as they go on the wire (texts, numbers, lists of
            them), without `LABEL_ID`.

    Returns:
        32 hex digits of the SHA-256 of the attributes as JSON with sorted keys.
    """
    classes = attributes.get(LABEL_CLASSES)
    if isinstance(classes, (list, tuple)):
        # A set has no order, and holds each class once.
        attributes = {**attributes, LABEL_CLASSES: sorted(set(classes))}
    canonical = json.dumps(attributes, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hash_text(canonical)[:32]


def hash_text(text: str, key: bytes | None = None) -> str:
    """The SHA-256 of a text in hex; with a key, its HMAC-SHA-256."""
    # Imported here: OpenSSL costs a tenth of importing all of inferspan, and few need it.
    import hashlib
    import hmac

    if key is None:
        return hashlib.sha256(text.encode()).hexdigest()
    return hmac.digest(key, text.encode(), "sha256").hex()
