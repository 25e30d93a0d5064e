"""However many requests a batch has, each is linked: on the batch, or on a child of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import inferspan
from inferspan import providers, semconv
from inferspan.batching import LINKED_MAX, LINKS_MAX
from inferspan.testing import CapturedSpans

from .gathering import linked, many, parent_of


@given(st.integers(0, 600), st.sampled_from([None, 1, 3, 128, 1000]))
def test_no_link_is_lost(count: int, limit: int | None) -> None:
    with limited(limit) as spans:
        nowhere = inferspan.PredictionRef("p", "fraud")
        with inferspan.batch([nowhere, *many(count)]):
            pass
        carriers = [s for s in spans if s.name == "batch fraud"]
        further = [s for s in spans if s.name == "batch links fraud"]
        assert len(carriers) == 1
        assert sorted(linked([*carriers, *further])) == [(n + 1, n + 1) for n in range(count)]
        assert all(0 < len(s.links) <= LINKS_MAX for s in further)
        assert {parent_of(s) for s in further} <= {carriers[0].context.span_id}
        assert spans.predictions == []


@contextmanager
def limited(links_max: int | None) -> Iterator[CapturedSpans]:
    caught = CapturedSpans()
    provider = TracerProvider(span_limits=SpanLimits(max_links=links_max), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(caught))
    restore = providers.divert(provider, None)
    try:
        yield caught
    finally:
        restore()
        provider.shutdown()


def test_a_provider_that_keeps_no_links_gets_one_span() -> None:
    with limited(0) as spans, inferspan.batch(many(200)):
        pass
    assert [span.name for span in spans] == ["batch fraud"]


def test_too_many_to_link_is_said(spans: CapturedSpans, caplog: pytest.LogCaptureFixture) -> None:
    with inferspan.batch(many(LINKED_MAX + 1)):
        pass
    assert len(linked(spans)) == LINKED_MAX
    assert (spans.batches[0].attributes or {})[semconv.BATCH_SIZE] == LINKED_MAX + 1
    assert "16,385 requests is linked to 16,384 of them" in caplog.text
