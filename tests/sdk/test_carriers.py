"""Carriers that are no good: what cannot be read or written costs nobody a call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator

import inferspan
from inferspan import semconv
from inferspan.containment import errors
from inferspan.propagation import HEADERS_MAX, PREDICTION_HEADER, extract, inject
from inferspan.testing import CapturedSpans

from .sending import inside, kafka

values = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.integers(),
    st.lists(st.text(max_size=5), max_size=2),
)
names = st.one_of(
    st.sampled_from([PREDICTION_HEADER, "traceparent", "tracestate", "baggage", b"traceparent"]),
    st.text(max_size=10),
    st.integers(),
)


@given(st.one_of(st.dictionaries(names, values), st.lists(st.tuples(names, values))))
def test_any_headers_are_read_without_an_error(carrier: Any) -> None:
    with extract(carrier):
        assert inferspan.current_prediction() is None


@given(st.text(max_size=50), st.text(min_size=1, max_size=50), st.none() | st.text(max_size=9))
def test_any_prediction_survives_the_way(
    prediction_id: str, model: str, version: str | None
) -> None:
    known = semconv.prediction_id_text(prediction_id)
    reference = inferspan.PredictionRef(known or "x", model, version)
    with extract(kafka(inject(prediction=reference))):
        arrived = inferspan.current_prediction()
    assert arrived is not None
    assert (arrived.id, arrived.model, arrived.version) == (known or "x", model, version)


@pytest.mark.parametrize("carrier", [5, [1, 2], None], ids=["int", "ints", "none"])
def test_what_is_no_carrier_is_contained(
    carrier: Any, contained_errors: list[BaseException]
) -> None:
    with extract(carrier):
        pass
    assert len(contained_errors) == 1
    contained_errors.clear()


def test_a_carrier_that_cannot_be_written_to_stays_as_it_is(
    spans: CapturedSpans, contained_errors: list[BaseException]
) -> None:
    assert inside(lambda: inject(())) == ()  # type: ignore[type-var]
    assert len(contained_errors) == 1
    contained_errors.clear()


def test_a_propagator_that_raises_loses_the_trace_alone(
    spans: CapturedSpans, contained_errors: list[BaseException]
) -> None:
    class Broken(TextMapPropagator):
        def inject(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("broken")

        def extract(self, *args: Any, **kwargs: Any) -> Context:
            raise RuntimeError("broken")

        @property
        def fields(self) -> set[str]:
            return set()

    before = propagate.get_global_textmap()
    propagate.set_global_textmap(Broken())
    try:
        headers = inside(inject)
        assert set(headers) == {PREDICTION_HEADER}
        with extract(headers):
            pass
    finally:
        propagate.set_global_textmap(before)
    assert [str(error) for error in contained_errors] == ["broken", "broken"]
    contained_errors.clear()


def test_a_header_that_is_no_prediction_is_counted() -> None:
    before = errors.counts().get("prediction header", 0)
    with extract({PREDICTION_HEADER: "nonsense"}):
        assert inferspan.current_prediction() is None
    assert errors.counts()["prediction header"] == before + 1


def test_too_many_headers_are_not_looked_at(spans: CapturedSpans) -> None:
    headers = kafka(inside(inject))
    with extract([("a", b"")] * HEADERS_MAX + headers):
        assert inferspan.current_prediction() is None
    with extract([("a", b"")] * (HEADERS_MAX - len(headers)) + headers):
        assert inferspan.current_prediction() is not None


def test_a_propagator_with_names_in_mixed_case_finds_them(spans: CapturedSpans) -> None:
    class MixedCase(TextMapPropagator):
        def inject(self, carrier: Any, *args: Any, **kwargs: Any) -> None:
            carrier["X-Tenant"] = "a"

        def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Context:
            assert "x-tenant" in getter.keys(carrier)
            return baggage.set_baggage("tenant", getter.get(carrier, "X-Tenant")[0], context)

        @property
        def fields(self) -> set[str]:
            return {"X-Tenant"}

    before = propagate.get_global_textmap()
    propagate.set_global_textmap(MixedCase())
    try:
        with extract(inject()):
            assert baggage.get_baggage("tenant") == "a"
    finally:
        propagate.set_global_textmap(before)


def test_a_header_too_long_is_passed_over(spans: CapturedSpans) -> None:
    headers = inside(inject)
    with extract({**headers, PREDICTION_HEADER: headers[PREDICTION_HEADER].ljust(8193, "=")}):
        assert inferspan.current_prediction() is None
