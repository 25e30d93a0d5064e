"""Seeded traffic: predictions, labels, corrections and withdrawals, as requests to be sent."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from truth import Label, Prediction, Record, Stage

from inferspan import semconv
from inferspan_collector import testing

MODEL = "mortal"
CLASSES = ("fraud", "legit", "review")
SECOND_NS = 1_000_000_000
Way = Literal["/v1/traces", "/v1/logs", "/v1/labels"]


@dataclass(frozen=True)
class Request:
    """What one sender sends at once, and the records that it holds."""

    path: Way
    records: tuple[Record, ...]
    zipped: bool = False
    model: str = field(default=MODEL)

    @cached_property
    def body(self) -> bytes:
        """The bytes on the wire."""
        return gzip.compress(self.content, 1) if self.zipped else self.content

    @property
    def headers(self) -> dict[str, str]:
        """Of the HTTP request."""
        content_type = (
            "application/x-ndjson" if self.path == "/v1/labels" else "application/x-protobuf"
        )
        return {"Content-Type": content_type} | (
            {"Content-Encoding": "gzip"} if self.zipped else {}
        )

    @cached_property
    def content(self) -> bytes:
        """The message, not compressed."""
        if self.path == "/v1/labels":
            lines = [_line(r, self.model) for r in self.records if isinstance(r, Label)]
            return "\n".join(map(json.dumps, lines)).encode()
        labels = [r for r in self.records if isinstance(r, Label)]
        if self.path == "/v1/logs":
            logged = [
                testing.log_record(
                    semconv.EVENT_LABEL, _label_attributes(r, self.model), time_ns=r.time_ns
                )
                for r in labels
            ]
            return testing.logs_request(logged).SerializeToString()
        spans = [prediction_span(r, self.model) for r in self.records if isinstance(r, Prediction)]
        spans += [_stage_span(r, self.model) for r in self.records if isinstance(r, Stage)]
        request = testing.traces_request(spans)
        if labels:
            request.MergeFrom(
                testing.traces_request(
                    [_label_span(r, self.model) for r in labels], scope=semconv.SCOPE_LABELS
                )
            )
        return request.SerializeToString()


def prediction_attributes(prediction: Prediction, model: str) -> dict[str, str]:
    """The attributes of a prediction's span."""
    version, prediction_id = prediction.key
    return {
        semconv.OPERATION_NAME: "predict",
        semconv.MODEL_NAME: model,
        semconv.MODEL_VERSION: version,
        semconv.TASK_TYPE: semconv.MULTICLASS,
        semconv.PREDICTION_ID: prediction_id,
        semconv.OUTPUT_CLASS: prediction.predicted,
    }


def prediction_span(prediction: Prediction, model: str) -> testing.Span:
    """A prediction as any exporter would send it."""
    return testing.otlp_span(
        f"predict {model}",
        prediction_attributes(prediction, model),
        ids=prediction.ids,
        start_ns=prediction.time_ns,
        kind=prediction.kind,
    )


def _stage_span(stage: Stage, model: str) -> testing.Span:
    return testing.otlp_span(
        f"{stage.name} {model}",
        {semconv.STAGE_NAME: stage.name},
        ids=(stage.of.ids[0], stage.span_id),
        parent=stage.of.ids[1],
        start_ns=stage.of.time_ns,
        duration_ns=stage.duration_ns,
    )


def _label_attributes(label: Label, model: str) -> dict[str, testing.AttributeValue]:
    attributes: dict[str, testing.AttributeValue | None] = {
        semconv.LABEL_ID: label.label_id,
        semconv.MODEL_NAME: model,
        semconv.MODEL_VERSION: label.version,
        semconv.PREDICTION_ID: label.prediction_id,
        semconv.TARGET_NAME: label.target,
        semconv.LABEL_CLASS: label.actual,
        semconv.LABEL_ACTION: "delete" if label.actual is None else None,
        semconv.LABEL_TIME_UNIX_NANO: label.time_ns,
        semconv.LABEL_REVISION: label.revision,
        semconv.LABEL_SOURCE: label.source,
    }
    return {key: value for key, value in attributes.items() if value is not None}


def _label_span(label: Label, model: str) -> testing.Span:
    return testing.otlp_span(
        f"label {model}",
        _label_attributes(label, model),
        ids=testing.span_ids(f"span of {label.label_id}"),
        start_ns=label.time_ns,
    )


def _line(label: Label, model: str) -> dict[str, object]:
    line = {
        "id": label.label_id,
        "model": model,
        "version": label.version,
        "prediction_id": label.prediction_id,
        "target": label.target,
        "class": label.actual,
        "action": "delete" if label.actual is None else None,
        "time": label.time_ns,
        "revision": label.revision,
        "source": label.source,
    }
    return {key: value for key, value in line.items() if value is not None}


def predictions(
    rng: random.Random, version: str, prefix: str, count: int, now_ns: int
) -> list[Prediction]:
    """Predictions of the last minutes, each with an id and a span of its own."""
    return [
        Prediction(
            key=(version, f"{version}-{prefix}-{number}"),
            predicted=rng.choice(CLASSES),
            ids=testing.span_ids(f"{version}-{prefix}-{number}"),
            time_ns=now_ns - rng.randrange(600) * SECOND_NS,
        )
        for number in range(count)
    ]


def labels_of(rng: random.Random, prediction: Prediction) -> Iterator[Label]:
    """None, one, a correction, a withdrawal: as truth comes in."""
    _, prediction_id = prediction.key
    for revision, chance in enumerate((0.8, 0.2, 0.4)):
        if rng.random() > chance:
            return
        withdrawn = revision > 0 and rng.random() < 0.3
        yield Label(
            label_id=f"{prediction_id}-r{revision}",
            prediction_id=prediction_id,
            actual=None if withdrawn else rng.choice(CLASSES),
            time_ns=prediction.time_ns + SECOND_NS,
            revision=revision,
        )


def stages_of(rng: random.Random, prediction: Prediction) -> Iterator[Stage]:
    """Steps of a prediction, one of them more than once now and then."""
    for number, name in enumerate(("features", "classify", "classify")[: rng.randrange(4)]):
        span_id = testing.span_ids(f"stage {number} of {prediction.key}")[1]
        yield Stage(prediction, name, span_id, duration_ns=rng.randrange(5_000_000))


def requests(
    rng: random.Random, version: str, prefix: str, count: int, now_ns: int
) -> list[Request]:
    """One sender's requests of `count` predictions, their steps and labels, in an order of its own.

    Labels and steps may come before their predictions, labels over each way that there is.
    """
    made = predictions(rng, version, prefix, count, now_ns)
    labels = [label for prediction in made for label in labels_of(rng, prediction)]
    stages = [stage for prediction in made for stage in stages_of(rng, prediction)]
    rng.shuffle(labels)
    rng.shuffle(stages)
    sent = [
        *(Request("/v1/traces", part, rng.random() < 0.3) for part in _parts(rng, stages)),
        *(Request("/v1/traces", part, rng.random() < 0.3) for part in _parts(rng, made)),
        *(
            Request(rng.choice(("/v1/traces", "/v1/logs", "/v1/labels")), part)
            for part in _parts(rng, labels)
        ),
    ]
    rng.shuffle(sent)
    return sent


def _parts(rng: random.Random, records: Sequence[Record]) -> Iterator[tuple[Record, ...]]:
    first = 0
    while first < len(records):
        size = rng.randrange(1, 20)
        yield tuple(records[first : first + size])
        first += size
