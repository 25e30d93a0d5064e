"""With OpenLLMetry's instrumentation of transformers: a generation is one prediction of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.instrumentation.transformers import TransformersInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from transformers import TextGenerationPipeline, pipeline

import inferspan
from inferspan import semconv
from inferspan.providers import tracing
from inferspan.testing import CapturedSpans
from sdk.integrations.tiny_transformers import teller, tokenizer

pytestmark = pytest.mark.usefixtures("uninstrumented", "contained_errors")
THEIRS = "opentelemetry.instrumentation.transformers"


@pytest.fixture
def theirs(spans: CapturedSpans) -> Iterator[Callable[[], None]]:
    """Switches theirs on; it is off again after the test."""
    instrumentor = TransformersInstrumentor()  # type: ignore[no-untyped-call]
    original = vars(TextGenerationPipeline)["__call__"]
    yield lambda: instrumentor.instrument(tracer_provider=tracing()[0])
    inferspan.uninstrument()
    instrumentor.uninstrument()
    # Each takes off what it finds on top; what the other put there stays in the class.
    TextGenerationPipeline.__call__ = original  # type: ignore[method-assign]


def ours() -> None:
    inferspan.instrument("transformers")


def told(spans: CapturedSpans) -> tuple[ReadableSpan, ReadableSpan]:
    """The one prediction, and theirs; there is nothing else."""
    (other,) = (span for span in spans if span not in spans.predictions)
    assert other.instrumentation_scope is not None
    assert other.instrumentation_scope.name == THEIRS
    return spans.prediction(), other


@pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "theirs first"])
def test_a_generation_is_one_prediction_and_theirs_names_it(
    ours_first: bool, theirs: Callable[[], None], spans: CapturedSpans
) -> None:
    pipe = pipeline("text-generation", model=teller(), tokenizer=tokenizer(), device="cpu")
    bare = pipe("once upon a time")
    for instrument in (ours, theirs) if ours_first else (theirs, ours):
        instrument()
    assert pipe("once upon a time") == bare
    prediction, other = told(spans)
    assert prediction.name == "generate GPT2LMHeadModel"
    inner, outer = (prediction, other) if ours_first else (other, prediction)
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    said = dict(other.attributes or {})
    assert said["gen_ai.completion.0.content"] == bare[0]["generated_text"]
    assert said[semconv.PREDICTION_SPAN_ID] == f"{prediction.context.span_id:016x}"


def test_theirs_goes_on_alone_once_ours_is_off(
    theirs: Callable[[], None], spans: CapturedSpans
) -> None:
    pipe = pipeline("text-generation", model=teller(), tokenizer=tokenizer(), device="cpu")
    theirs()
    ours()
    inferspan.uninstrument()
    pipe("once upon a time")
    (other,) = spans
    assert semconv.PREDICTION_SPAN_ID not in (other.attributes or {})
    assert not spans.predictions
