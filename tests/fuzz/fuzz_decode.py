"""Fuzz the decoder: any bytes, read both ways, give the same, and nothing crashes.

    python tests/fuzz/fuzz_decode.py [libFuzzer options] DIRECTORY
    python tests/fuzz/fuzz_decode.py --write-seeds

The readers in Python and the library's way are instrumented, so that libFuzzer sees what each input
reaches; the compiled way is held to the same result. It starts from `corpus/`, bodies written as
hexadecimal text, and keeps in the directory what reaches more. A finding is written as `crash-…`
where `-artifact_prefix=` says: put it into the corpus, with a name that says what it shows.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import atheris

import inferspan_collector

sys.path[:0] = [str(Path(__file__).parents[1] / "collector"), str(Path(__file__).parents[1])]

CORPUS = Path(__file__).with_name("corpus")
# Instrumented, compiled code would be other code.
PACKAGE = "inferspan_collector.decode.compiled"
SOURCES = Path(inferspan_collector.__path__[0], "decode", "compiled").glob("*.py")
COMPILED = [PACKAGE, *(f"{PACKAGE}.{source.stem}" for source in SOURCES)]
with atheris.instrument_imports(include=["inferspan_collector.decode"], exclude=COMPILED):
    from inferspan_collector.decode import Mapper, decode_logs, decode_traces

from damage import damaged
from two_ways import assert_same

from inferspan import semconv
from inferspan_collector.config import Config
from inferspan_collector.config.mappings import ready_made_names
from inferspan_collector.testing import (
    NOW_NS,
    label_span,
    log_record,
    logs_request,
    otlp_span,
    prediction_span,
    span_ids,
    traces_request,
)

OF_OTHERS = {
    "name": "tickets",
    "match": {"scope": "tickets.*", "attributes": {"app.model": "*"}},
    "prediction": {
        "model": {"attribute": "app.model", "template": "/models/{}/"},
        "class": {"attribute": "app.answer", "json_path": "$.a[*]", "index": 0},
        "score": {"attribute": "app.score"},
        "slices": {"country": {"attribute": "app.country", "values": {"D*": "DE"}}},
    },
}
MAPPED = partial(
    decode_traces,
    mapper=Mapper(Config.model_validate({"mappings": [*ready_made_names(), OF_OTHERS]}).mappings),
)


def read(body: bytes) -> None:
    """Read a body as traces, with mappings or without, and as logs; both ways."""
    for decode in (MAPPED if len(body) % 2 else decode_traces, decode_logs):
        assert_same(decode, body, NOW_NS)


def changed(body: bytes, size_max: int, seed: int) -> bytes:
    """A body changed as libFuzzer does it, or as broken senders do."""
    if seed % 2:
        return damaged(body, seed, 1 + seed % 5)[:size_max]
    return bytes(atheris.Mutate(body, size_max))


def seeds() -> dict[str, bytes]:
    """Requests that reach what is read of any: written once, kept in the corpus."""
    prediction = {
        semconv.OUTPUT_CLASS: "fraud",
        semconv.OUTPUT_SCORE: 0.5,
        semconv.SLICE_PREFIX + "country": "DE",
        semconv.FEATURE_NAMES: '["a"]',
        semconv.FEATURE_DATA: bytes(8),
    }
    batch = {semconv.PREDICTION_IDS: ["a", "b"], semconv.OUTPUT_VALUES: [1.0, 2.0]}
    scores = {
        semconv.OUTPUT_CLASS: "b",
        semconv.OUTPUT_SCORE: 0.75,
        semconv.OUTPUT_CLASSES: ["a", "b"],
        semconv.OUTPUT_PROBABILITIES: [0.25, 0.75],
    }
    label = {semconv.LABEL_CLASS: "fraud", semconv.LABEL_REVISION: 1, semconv.LABEL_TEXT: "é"}
    value = {semconv.LABEL_VALUE: 38.5, semconv.LABEL_ACTION: "upsert"}
    ticket = {"app.model": "/models/m/v1", "app.answer": '{"a": ["x"]}', "app.score": "0.5"}
    judged = {
        "openinference.span.kind": "EVALUATOR",
        "evaluations.0.evaluation.name": "tone",
        "evaluations.0.evaluation.score": 1,
    }
    requests = {
        "predictions": traces_request(
            [prediction_span("a", prediction), prediction_span("b", prediction, failed=True)],
            resource={semconv.SERVICE_NAME: "s", semconv.DEPLOYMENT_ENVIRONMENT_NAME: "é"},
        ),
        "batch-among-single": traces_request(
            [prediction_span("a"), prediction_span("b", batch), prediction_span("c", scores)]
        ),
        "foreign": traces_request(
            [
                prediction_span("a", prediction),
                otlp_span("GET /", {"http.route": "/"}, ids=span_ids("b")),
                otlp_span("infer", {semconv.OUTPUT_CLASS: "x"}, ids=span_ids("c")),
            ],
            scope="other",
        ),
        "labels": traces_request(
            [label_span("a", label, links=[span_ids("a")]), label_span("b", value)],
            scope=semconv.SCOPE_LABELS,
        ),
        "mapped": traces_request(
            [otlp_span("work", ticket), otlp_span("judge", judged, links=[span_ids("work")])],
            scope="tickets.api",
        ),
        "events": logs_request(
            [
                log_record(semconv.EVENT_LABEL, label | value, context=span_ids("a")),
                log_record(semconv.EVENT_LABEL, {semconv.LABEL_ID: "l", **label}),
                log_record("other", {"k": [1, "a"]}),
            ]
        ),
    }
    for span in requests["foreign"].resource_spans[0].scope_spans[0].spans:
        span.flags = 0x101  # its tag takes two bytes
    return {name: request.SerializeToString() for name, request in requests.items()}


def main() -> None:
    if "--write-seeds" in sys.argv:
        for name, body in seeds().items():
            (CORPUS / f"{name}.hex").write_text(body.hex() + "\n")
        return
    for text in CORPUS.glob("*.hex"):
        body = bytes.fromhex(text.read_text())
        Path(sys.argv[-1], text.stem).write_bytes(body)
        # What is compiled on the way would be taken for a slow finding.
        read(body)
    atheris.Setup(sys.argv, read, custom_mutator=changed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
