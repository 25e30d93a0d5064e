"""Text that is handed out while it is generated: how it streamed is on the span."""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from transformers import TextIteratorStreamer, pipeline
from transformers.generation.streamers import BaseStreamer

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans, capture_spans
from sdk.integrations.tiny_transformers import teller, tokenizer

PROMPT = "once upon a time"
TOKENS = 5


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    inferspan.instrument("transformers")
    yield
    inferspan.uninstrument()


def told(spans: CapturedSpans) -> dict[str, Any]:
    return dict(spans.prediction().attributes or {})


class Kept(BaseStreamer):  # type: ignore[misc]
    """Keeps what it is given, until it is full."""

    def __init__(self, room: int = 100) -> None:
        self.put_in: list[Any] = []
        self.room = room
        self.ended = 0

    def put(self, value: Any) -> None:
        if len(self.put_in) == self.room:
            raise queue.Full
        self.put_in.append(value.tolist())

    def end(self) -> None:
        self.ended += 1


def tokens() -> Any:
    return tokenizer()(PROMPT, return_tensors="pt")


def stream(model: Any) -> Iterator[str]:
    """What a service does: the model runs in a thread, and its words come out here."""
    words = tokenizer()
    streamer = TextIteratorStreamer(words, skip_prompt=True, timeout=60)
    given = {**words(PROMPT, return_tensors="pt"), "streamer": streamer}
    context = contextvars.copy_context()
    running = threading.Thread(target=context.run, args=(model.generate,), kwargs=given)
    running.start()
    yield from streamer
    running.join()


def test_a_stream_says_when_its_first_token_came_and_how_many(spans: CapturedSpans) -> None:
    model = teller(TOKENS)
    text = "".join(stream(model))
    assert len(text.split()) == TOKENS
    attributes = told(spans)
    assert spans.prediction().name == "generate GPT2LMHeadModel"
    assert attributes[semconv.STREAM_CHUNKS] == TOKENS
    assert attributes[semconv.STREAM_COMPLETED] is True
    first = attributes[semconv.STREAM_FIRST_CHUNK_DURATION]
    assert attributes[semconv.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK] == first > 0
    assert attributes[semconv.GEN_AI_OPERATION_NAME] == "generate_content"
    assert attributes[semconv.STREAM_INTERVAL_MAX] >= attributes[semconv.STREAM_INTERVAL_P50] > 0


def test_the_streamer_is_given_what_it_was_given_before(spans: CapturedSpans) -> None:
    model, kept, bare = teller(TOKENS), Kept(), Kept()
    made = model.generate(**tokens(), streamer=kept)
    inferspan.uninstrument()
    assert torch.equal(model.generate(**tokens(), streamer=bare), made)
    assert (kept.put_in, kept.ended) == (bare.put_in, bare.ended)
    assert told(spans)[semconv.STREAM_CHUNKS] == len(kept.put_in) - 1  # the first is the prompt


def test_a_stream_that_its_reader_ends_is_not_complete(spans: CapturedSpans) -> None:
    model = teller(TOKENS)
    with pytest.raises(queue.Full):
        model.generate(**tokens(), streamer=Kept(room=3))
    attributes = told(spans)
    assert attributes[semconv.STREAM_COMPLETED] is False
    assert attributes[semconv.STREAM_CHUNKS] == 3
    assert attributes[semconv.ERROR_TYPE].endswith("Full")


def test_a_pipeline_streams_as_its_model_does(spans: CapturedSpans) -> None:
    pipe = pipeline("text-generation", model=teller(TOKENS), tokenizer=tokenizer(), device="cpu")
    kept = Kept()
    pipe(PROMPT, streamer=kept, do_sample=False, max_new_tokens=TOKENS)
    assert kept.ended == 1
    assert told(spans)[semconv.STREAM_CHUNKS] == len(kept.put_in) - 1
    assert spans.stages == []


def test_without_a_streamer_nothing_is_said_of_one(spans: CapturedSpans) -> None:
    teller(TOKENS).generate(**tokens())
    assert not [name for name in told(spans) if name.startswith("inferspan.stream.")]


def test_a_decorated_stream_has_the_models_call_as_a_stage(spans: CapturedSpans) -> None:
    model = teller(TOKENS)

    @inferspan.predict(model="story", task="generation", operation="generate")
    def tell() -> Iterator[str]:
        yield from stream(model)

    pieces = list(tell())
    attributes = told(spans)
    assert spans.prediction().name == "generate story"
    assert attributes[semconv.STREAM_CHUNKS] == len(pieces)
    (within,) = spans.stages
    assert within.parent == spans.prediction().context
    assert (within.attributes or {})[semconv.STAGE_NAME] == "GPT2LMHeadModel"


def test_what_is_not_sampled_streams_as_it_did() -> None:
    model, kept = teller(TOKENS), Kept()
    with capture_spans(sampler=ALWAYS_OFF) as unsampled:
        model.generate(**tokens(), streamer=kept)
        assert len(unsampled.records) == 1
    assert unsampled.predictions == []
    assert kept.ended == 1
