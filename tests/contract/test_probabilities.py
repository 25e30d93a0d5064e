"""What the collector would derive from probabilities, the SDK has written already.

Slim records carry no probabilities: class and score of a prediction must not depend on whether
its full span was exported.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from inferspan import semconv
from inferspan.output_columns import OutputRule
from inferspan.outputs import Output, read_output
from inferspan_collector.decode.attributes import Attributes
from inferspan_collector.decode.outputs import read_outputs

TASKS = (None, semconv.BINARY, semconv.MULTICLASS)
DERIVED = (
    semconv.OUTPUT_CLASS,
    semconv.OUTPUT_SCORE,
    semconv.OUTPUT_CLASSES_PREDICTED,
    semconv.OUTPUT_SCORES,
)


def on_the_wire(attributes: Mapping[str, object]) -> Attributes:
    """The attributes as the collector gets them, through real OTLP bytes."""
    context = SpanContext(1, 1, is_remote=False)
    sent = ReadableSpan("predict m", context, attributes=attributes)  # type: ignore[arg-type]
    body = encode_spans([sent]).SerializeToString()
    (span,) = TracesData.FromString(body).resource_spans[0].scope_spans[0].spans
    return Attributes(span.attributes)


def rows_of(attributes: Mapping[str, object], rows: int, rule: OutputRule) -> list[object]:
    """Class and score of every row, as the collector reads them; NaN as a text, to be equal."""
    found = read_outputs(on_the_wire(attributes), rows, rule.task, rule.positive)
    return [(label, str(score)) for label, score in zip(found.predicted, found.score, strict=True)]


def written(output: Output, rule: OutputRule) -> dict[str, object]:
    attributes: dict[str, object] = {}
    output.write_to(attributes)  # type: ignore[arg-type]
    if rule.threshold is not None:
        attributes[semconv.OUTPUT_THRESHOLD] = rule.threshold
    return attributes


probabilities = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1.0 + 5e-7, float("nan")]), st.floats(0, 1)
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[object, OutputRule, int]:
    """A matrix or what names its parts, the rule, and the rows."""
    task = draw(st.sampled_from(TASKS))
    width = 2 if task == semconv.BINARY else draw(st.integers(1, 4))
    classes = tuple("abcd"[:width])
    positive = draw(st.sampled_from([None, "a", "b"][: width + 1])) if width == 2 else None
    # The collector asks for a threshold of binary tasks only, and so does what is compared here.
    threshold = draw(st.sampled_from([None, 0.25, 0.5])) if task == semconv.BINARY else None
    rule = OutputRule(task, "predict_proba", positive, classes, threshold)
    rows = draw(st.integers(1, 4))
    values = draw(st.lists(probabilities, min_size=rows * width, max_size=rows * width))
    kind = draw(st.sampled_from([np.float64, np.float32]))
    matrix = np.array(values, kind).reshape(rows, width)
    form = draw(st.sampled_from(["matrix", "parts", "labelled", "mapping"]))
    if form == "parts":
        return {"probabilities": matrix}, rule, rows
    if form == "labelled":
        labels = draw(st.lists(st.sampled_from([*classes, "z"]), min_size=rows, max_size=rows))
        return {"label": labels, "probabilities": matrix}, rule, rows
    if form == "mapping":
        named = dict(zip(classes, matrix[0].tolist(), strict=True))
        return {"probabilities": named}, rule, 1
    return matrix, rule, rows


@example(
    (
        np.array([[0.75, 0.25], [0.5, 0.5]]),
        OutputRule(semconv.BINARY, "predict_proba", "b", ("a", "b"), 0.25),
        2,
    )
)
@given(answers())
def test_class_and_score_are_those_that_the_collector_would_derive(
    case: tuple[object, OutputRule, int],
) -> None:
    returned, rule, rows = case
    output = read_output(returned, rule)
    if output.dropped is not None:
        return
    full = written(output, rule)
    slim = {
        name: value
        for name, value in full.items()
        if name not in (semconv.OUTPUT_PROBABILITIES, semconv.OUTPUT_CLASSES)
    }
    assert rows_of(full, rows, rule) == rows_of(slim, rows, rule)
    given_labels = isinstance(returned, dict) and "label" in returned
    if semconv.OUTPUT_PROBABILITIES in full and not given_labels:
        alone = {name: value for name, value in full.items() if name not in DERIVED}
        assert rows_of(alone, rows, rule) == rows_of(slim, rows, rule)
