"""A prediction reads the same whether its full span arrived or only its slim record."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, SamplingResult

import inferspan
from feature_rows import FEATURE_COLUMNS, features_of
from inferspan import settings as told
from inferspan.settings import Settings
from inferspan.testing import START_TIME_NS, capture_spans
from inferspan_collector.batches import UNSAMPLED, PredictionBatch, Strings, Texts
from inferspan_collector.decode.requests import decode_traces

Call = tuple[Callable[..., Any], tuple[Any, ...]]

TEXTS = st.text(max_size=5)
CLASSES = st.sampled_from(["fraud", "legit", "a|b", "ü", ""])
PROBABILITIES = st.floats(0, 1) | st.floats(0, 1, width=32)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
SLICES = TEXTS | st.none() | st.integers() | st.booleans()


class Failed(Exception):
    """What a model raises."""


def answer(given: Any) -> Any:
    if given is Failed:
        raise Failed("no answer")
    return given


single = inferspan.predict(
    model="single",
    version="7",
    task="binary_classification",
    positive="fraud",
    prediction_id="id",
    slices=["country"],
    features=["amount", "kind"],
)(lambda id, country, amount, kind, given: answer(given))
minted = inferspan.predict(model="minted", task="multiclass_classification")(answer)
numbers = inferspan.predict(model="numbers", task="regression", slices=["country"])(
    lambda country, given: answer(given)
)
named_rows = inferspan.predict(
    model="rows",
    task="binary_classification",
    prediction_id="ids",
    slices=["country"],
    features=["amount", "kind"],
)(lambda ids, country, amount, kind, given: answer(given))
sets = inferspan.predict(model="sets", task="multilabel_classification")(answer)
tables = inferspan.predict(model="tables", task="regression")(lambda table, given: answer(given))
probabilities = inferspan.predict(
    model="p", operation="predict_proba", classes=["a", "b", "c"], task="multiclass_classification"
)(answer)


def rows_of(entries: st.SearchStrategy[Any], size: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(entries, min_size=size, max_size=size)


@st.composite
def batches(draw: st.DrawFn) -> Call:
    size = draw(st.integers(0, 4))
    ids = draw(rows_of(TEXTS, size))
    given = draw(rows_of(CLASSES, size) | st.just(Failed))
    amount = draw(rows_of(st.floats(allow_nan=False) | st.none(), size))
    kind = draw(rows_of(TEXTS, size))
    return named_rows, (ids, draw(rows_of(CLASSES, size)), amount, kind, given)


CALLS: st.SearchStrategy[Call] = st.one_of(
    st.tuples(
        st.just(single),
        st.tuples(
            TEXTS | st.integers() | st.none(),
            SLICES,
            st.floats(allow_nan=False) | st.none(),
            TEXTS,
            st.fixed_dictionaries({"label": CLASSES, "score": PROBABILITIES}) | st.just(Failed),
        ),
    ),
    st.tuples(st.just(minted), st.tuples(CLASSES | st.lists(CLASSES, max_size=3))),
    st.tuples(st.just(numbers), st.tuples(SLICES, NUMBERS | st.lists(NUMBERS, max_size=3))),
    batches(),
    st.tuples(
        st.just(tables),
        st.tuples(
            st.integers(0, 3).map(lambda size: np.zeros((size, 2))), st.lists(NUMBERS, max_size=3)
        ),
    ),
    st.tuples(
        st.just(sets),
        st.tuples(
            st.lists(st.sampled_from("abc"), max_size=3)
            | st.just(Failed)
            | st.just({"label": ["a"], "score": [0.5]})
            | st.just({"label": ["a", "b"], "score": [0.5, 0.25]})
        ),
    ),
    st.tuples(
        st.just(probabilities),
        st.tuples(
            st.lists(rows_of(st.integers(1, 9), 3), max_size=3).map(
                lambda rows: np.array(rows, float).reshape(-1, 3) / 30
            )
            | st.just(Failed)
            | st.just(np.array([[0.5, 0.25, 0.25], [np.nan, 0.5, 0.5]]))
            | st.dictionaries(st.sampled_from("abcd"), st.just(1 / 3), min_size=1).map(
                lambda said: {"probabilities": said}
            )
            | st.just({"label": "z", "probabilities": [0.5, 0.25, 0.25]})
        ),
    ),
)


def test_an_infinite_feature_is_the_same_of_a_span_and_of_a_slim_record() -> None:
    score = {"label": "fraud", "score": 0.5}
    calls: list[Call] = [(single, ("1", "DE", end, "k", score)) for end in (math.inf, -math.inf)]
    for sampler in (ALWAYS_ON, ALWAYS_OFF):
        kept = [row["amount"] for row in features_of(sent(calls, sampler))]
        assert sorted(kept) == [-math.inf, math.inf], sampler


def sent(calls: Sequence[Call], sampler: Sampler) -> PredictionBatch:
    """What the collector reads of the calls."""
    with capture_spans(sampler=sampler) as spans:
        for function, arguments in calls:
            with contextlib.suppress(Failed):
                function(*arguments)
        inferspan.flush(60)
        body = encode_spans(list(spans)).SerializeToString()
    decoded = decode_traces(body, json=False, received_ns=START_TIME_NS + 10**15)
    assert decoded.refused == ()
    return decoded.predictions


def rows(batch: PredictionBatch) -> list[dict[str, object]]:
    """A batch row by row, in an order that does not depend on that of arrival."""
    columns: dict[str, list[Any]] = {}
    # A record names what any of its calls has, a span what its own has.
    features = [
        {name: value for name, value in row.items() if value is not None}
        for row in features_of(batch)
    ]
    columns["features"] = [sorted(row.items()) for row in features]
    for field in dataclasses.fields(batch):
        # A slim record says that no span of the call is to be looked for.
        if field.name in FEATURE_COLUMNS or field.name == "kind":
            continue
        column = getattr(batch, field.name)
        if field.name == "slices":
            columns |= {f"slice {key}": each.objects().tolist() for key, each in column.items()}
        elif field.name == "probabilities":
            columns[field.name] = [
                column.take(np.array([row])).data.tobytes() or None for row in range(len(batch))
            ]
        elif isinstance(column, Strings | Texts):
            columns[field.name] = column.objects().tolist()
        else:
            columns[field.name] = [repr(value) for value in column.tolist()]
    found = [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in zip(*columns.values(), strict=True)
    ]
    return sorted(found, key=lambda row: (row["trace"], int(str(row["span_row"]))))


# A failing example has eight calls at most; to shrink it, through both sides, would take minutes.
@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.lists(CALLS, max_size=8))
def test_the_collector_reads_the_same_of_spans_and_of_slim_records(calls: list[Call]) -> None:
    full, slim = rows(sent(calls, ALWAYS_ON)), rows(sent(calls, ALWAYS_OFF))
    minted_ids = (
        [row.pop("prediction_id") for row in full],
        [row.pop("prediction_id") for row in slim],
    )
    assert full == slim
    for one, other in zip(*minted_ids, strict=True):
        assert one == other or len(str(one)) == len(str(other)) == 32


class _Some(Sampler):
    """Samples the calls that it is told to, one after the other."""

    def __init__(self, wanted: Sequence[bool]) -> None:
        self._wanted = iter(wanted)

    def should_sample(self, *arguments: Any, **named: Any) -> SamplingResult:
        sampler = ALWAYS_ON if next(self._wanted) else ALWAYS_OFF
        return sampler.should_sample(*arguments, **named)

    def get_description(self) -> str:
        return "some"


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate], max_examples=20)
@given(st.lists(st.booleans(), min_size=1, max_size=20))
def test_a_record_says_which_of_its_calls_have_a_full_span(wanted: list[bool]) -> None:
    previous = told.install(Settings.read({told.RECORDS_VARIABLE: "all"}))
    try:
        with capture_spans(sampler=_Some(wanted)) as spans:
            for _ in wanted:
                minted("a")
            body = encode_spans(spans.records).SerializeToString()
            full = {s.context.span_id for s in spans.predictions if s.context is not None}
    finally:
        told.install(previous)
    batch = decode_traces(body, json=False, received_ns=START_TIME_NS + 10**15).predictions

    unsampled = batch.kind == UNSAMPLED
    assert len(batch) == len(wanted)
    assert unsampled.sum() == wanted.count(False)
    assert sorted(batch.span[~unsampled].tolist()) == sorted(full)
