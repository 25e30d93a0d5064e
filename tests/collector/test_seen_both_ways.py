"""A prediction counts once, whether its full span came, its slim record, or both, in any order."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from asking import FilledStore
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from slim_record import STARTED_NS, Call, Row, slim_record

from inferspan import semconv
from inferspan_collector.batches import Decoded
from inferspan_collector.decode import decode_traces
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.telemetry import DUPLICATES
from inferspan_collector.testing import (
    NOW_NS,
    AttributeValue,
    label_span,
    prediction_span,
    traces_request,
)

RESOURCE = {semconv.SERVICE_NAME: "fraud-api", semconv.DEPLOYMENT_ENVIRONMENT_NAME: "prod"}
DECLARED = {
    "fraud": {
        semconv.MODEL_VERSION: "7",
        semconv.TASK_TYPE: semconv.BINARY,
        semconv.OUTPUT_POSITIVE_CLASS: "fraud",
    },
    "tags": {semconv.TASK_TYPE: semconv.MULTILABEL},
}
Piece = tuple[str, Span]
"""A span and the scope it is sent in."""


class OpenStore(FilledStore):
    """A store that takes OTLP requests."""

    def commit(self, requests: Sequence[Decoded]) -> int:
        """Commit requests as one group; how many predictions of it were new."""
        return sum(each.predictions for each in self._writer.commit(requests, self.now))

    def everything(self) -> dict[str, object]:
        """All that anybody is shown, by cells and by single predictions."""
        by = ("model", "version", "task", "positive_class", "service", "slice.country")
        seen: dict[str, object] = {}
        for names in (by[:-1], by):
            calls = self.reader.prediction_cells(CellQuery(every=1, by=names))
            keys = zip(calls.window, calls.groups, calls.failed, calls.bucket, strict=True)
            seen[f"calls {len(names)}"] = Counter(dict(zip(keys, calls.n.tolist(), strict=True)))
            said = self.reader.outcome_cells(CellQuery(every=1, by=names))
            texts = said.predicted.objects(), said.actual.objects()
            pairs = zip(said.window, said.groups, *texts, said.correct, strict=True)
            seen[f"outcomes {len(names)}"] = Counter(dict(zip(pairs, said.n.tolist(), strict=True)))
        for model in DECLARED:
            seen[model] = sorted(map(repr, self.reader.predictions(model, limit=1_000)))
        return seen


def full_span(model: str, call: Call) -> Span:
    """The span of a call as the SDK writes it."""
    said: dict[str, AttributeValue] = {
        **DECLARED[model],
        semconv.PREDICTION_COUNT: len(call.rows),
        semconv.OUTPUT_SCORES: [row.score for row in call.rows],
        semconv.OUTPUT_VALUES: [row.value for row in call.rows],
    }
    if call.prediction_id is None:
        said[semconv.PREDICTION_IDS] = [row.prediction_id for row in call.rows]
    if call.error_type is not None:
        said[semconv.ERROR_TYPE] = call.error_type
    answers = [row.predicted for row in call.rows]
    if model == "tags":
        sets = [answer or () for answer in answers]
        said[semconv.OUTPUT_CLASSES_PREDICTED] = [entry for row in sets for entry in row]
        said[semconv.OUTPUT_OFFSETS] = [sum(map(len, sets[:end])) for end in range(len(sets) + 1)]
    else:
        said[semconv.OUTPUT_CLASSES_PREDICTED] = answers  # type: ignore[assignment]
    for key in {key for row in call.rows for key in row.slices}:
        said[semconv.SLICE_PREFIX + key] = [row.slices.get(key) for row in call.rows]
    return prediction_span(
        call.prediction_id or "",
        said,
        model=model,
        ids=(call.trace.to_bytes(16, "big"), call.span.to_bytes(8, "big")),
        start_ns=call.start_ns,
        duration_ns=call.duration_ns,
    )


def label_of(model: str, prediction_id: str, index: int) -> Piece:
    truth: AttributeValue = ["a"] if model == "tags" else "fraud"
    name = semconv.LABEL_CLASSES if model == "tags" else semconv.LABEL_CLASS
    attributes = {name: truth, semconv.PREDICTION_INDEX: index}
    attributes[semconv.LABEL_ID] = f"label {prediction_id} {index}"
    return semconv.SCOPE_LABELS, label_span(prediction_id, attributes, model=model)


def labels_of(model: str, call: Call) -> list[Piece]:
    return [
        label_of(model, row.prediction_id or "", 0)
        if call.prediction_id is None
        else label_of(model, call.prediction_id, index)
        for index, row in enumerate(call.rows)
    ]


def request(pieces: Sequence[Piece]) -> Decoded:
    """One export of these spans, in this order."""
    message = traces_request([], resource=RESOURCE)
    for scope, span in pieces:
        message.MergeFrom(traces_request([span], scope=scope, resource=RESOURCE))
    decoded = decode_traces(message.SerializeToString(), json=False, received_ns=NOW_NS)
    assert decoded.refused == ()
    return decoded


def records_of(model: str, calls: Sequence[Call], chance: random.Random) -> list[Piece]:
    """Slim records of the calls, a few calls each; ids of rows and of calls do not mix."""
    pieces = []
    for own_ids in (False, True):
        rest = [call for call in calls if (call.prediction_id is None) == own_ids]
        while rest:
            size = chance.randint(1, len(rest))
            declared = {semconv.MODEL_NAME: model, **DECLARED[model]}
            pieces.append((semconv.SCOPE_RECORDS, slim_record(rest[:size], declared)))
            rest = rest[size:]
    return pieces


def arrivals(model: str, calls: Sequence[Call], chance: random.Random) -> tuple[list[Piece], int]:
    """Each call in full, slim, or both, and how many rows came more than once."""
    ways = [chance.choice(["full", "slim", "both"]) for _ in calls]
    full = [c for c, way in zip(calls, ways, strict=True) if way != "slim"]
    slim = [c for c, way in zip(calls, ways, strict=True) if way != "full"]
    pieces = [(semconv.SCOPE_PREDICTIONS, full_span(model, call)) for call in full]
    pieces += records_of(model, slim, chance)
    repeated = chance.sample(calls, len(calls) // 3)
    pieces += records_of(model, repeated, chance)
    twice = sum(len(c.rows) for c, way in zip(calls, ways, strict=True) if way == "both")
    return pieces, twice + sum(len(call.rows) for call in repeated)


classes = st.sampled_from(["fraud", "legit", None])
sets = st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple)
numbers = st.sampled_from([math.nan, 0.1, 0.5, 1e300])


def calls_of(answers: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Call]]:
    row = st.builds(
        Row,
        predicted=answers,
        score=numbers,
        value=numbers,
        slices=st.dictionaries(st.just("country"), st.sampled_from(["DE", "FR"])),
    )
    call = st.builds(
        Call,
        prediction_id=st.sampled_from([None, "named"]),
        rows=st.lists(row, min_size=1, max_size=3),
        start_ns=st.integers(0, 180).map(lambda s: STARTED_NS + s * 1_000_000_000),
        duration_ns=st.sampled_from([0, 20_000, 5_000_000, 2**33]),
        error_type=st.sampled_from([None, None, "OSError"]),
    )
    return st.lists(call, max_size=5)


def numbered(model: str, calls: Sequence[Call]) -> list[Call]:
    """The calls with ids of their own."""
    return [
        replace(
            call,
            prediction_id=call.prediction_id and f"{model}-{number}",
            rows=[
                replace(row, prediction_id=f"{model}-{number}-row-{place}")
                for place, row in enumerate(call.rows)
            ],
            trace=number,
            span=number,
        )
        for number, call in enumerate(calls, start=100 if model == "tags" else 1)
    ]


@settings(max_examples=12, deadline=None)
@given(calls_of(classes), calls_of(sets), st.randoms(use_true_random=False))
def test_what_is_shown_does_not_depend_on_the_way_it_came(
    tmp_path_factory: pytest.TempPathFactory,
    plain: list[Call],
    tagged: list[Call],
    chance: random.Random,
) -> None:
    drawn = {"fraud": numbered("fraud", plain), "tags": numbered("tags", tagged)}
    labels = [
        piece for model, calls in drawn.items() for c in calls for piece in labels_of(model, c)
    ]
    reference = OpenStore(tmp_path_factory.mktemp("full"))
    in_full = [
        (semconv.SCOPE_PREDICTIONS, full_span(model, call))
        for model, calls in drawn.items()
        for call in calls
    ]
    reference.commit([request([*in_full, *labels])])
    expected = reference.everything()
    reference.close()

    pieces, repeated = list(labels), 0
    for model, calls in drawn.items():
        more, again = arrivals(model, calls, chance)
        pieces += more
        repeated += again
    chance.shuffle(pieces)
    directory = tmp_path_factory.mktemp("both")
    store = OpenStore(directory)
    new = retried = 0
    while pieces:
        size = chance.randint(1, len(pieces))
        group, pieces = pieces[:size], pieces[size:]
        half = chance.randint(0, len(group))
        new += store.commit([request(group[:half]), request(group[half:])])
        if chance.random() < 0.3:
            retried += store.telemetry.get(DUPLICATES, kind="retry")
            store.close()
            store = OpenStore(directory)

    assert store.everything() == expected
    assert new == sum(len(call.rows) for calls in drawn.values() for call in calls)
    assert retried + store.telemetry.get(DUPLICATES, kind="retry") == repeated
    assert store.telemetry.get(DUPLICATES, kind="superseded") == 0
    store.close()
