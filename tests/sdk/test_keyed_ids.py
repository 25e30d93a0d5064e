"""Where `INFERSPAN_ID_KEY` is set, the raw id does not leave the process by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

import inferspan
from inferspan import semconv
from inferspan.redaction import PLACEHOLDER
from inferspan.testing import CapturedSpans

RAW = "patient-4711"
KEY = b"k" * 32
SENT = semconv.hash_text(RAW, KEY)
VALUES: dict[str, Any] = {"model": "m", "task": "regression", "capture": "values"}


@pytest.fixture(autouse=True)
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERSPAN_ID_KEY", KEY.decode())


@dataclass
class Visit:
    pid: str
    age: float


class Model:
    def predict(self, X: pd.DataFrame) -> list[float]:
        inferspan.snapshot("X", X)
        return [1.0] * len(X)


def written(spans: CapturedSpans) -> str:
    return "".join(span.to_json() for span in spans)


def shown(spans: CapturedSpans) -> Any:
    return json.loads(str((spans[-1].attributes or {})[semconv.INPUT_VALUE]))


@pytest.mark.parametrize(
    ("source", "given", "expected"),
    [
        ("visit", RAW, SENT),
        ("visit", [RAW, None], [SENT, None]),
        ("visit", RAW * 20, semconv.prediction_id_text(RAW * 20, KEY)),
        ("visit", 4711, semconv.hash_text("4711", KEY)),
        ("visit.pid", {"pid": RAW, "age": 5.0}, {"pid": SENT, "age": 5.0}),
        ("visit.pid", Visit(RAW, 5.0), {"pid": SENT, "age": 5.0}),
        ("visit.pid", pd.DataFrame({"pid": [RAW], "age": [5.0]}), {"pid": [SENT], "age": [5.0]}),
        ("visit.pid", {"pid": RAW, "old": [{"PID": RAW}]}, {"pid": SENT, "old": [{"PID": SENT}]}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_the_input_shows_an_id_as_it_is_sent(
    spans: CapturedSpans, source: str, given: object, expected: object
) -> None:
    @inferspan.predict(
        **VALUES, prediction_id=source, features={"who": source}, slices={"whom": source}
    )
    def score(visit: object) -> dict[str, object]:
        inferspan.snapshot("visit", visit)
        return {"value": 1.0, "visit": visit, source.rpartition(".")[2]: RAW}

    score(given)
    assert shown(spans) == {"visit": expected}
    assert RAW not in written(spans)
    attributes = spans[0].attributes or {}
    if type(given) is str and given == RAW:
        assert attributes[semconv.PREDICTION_ID] == SENT
        assert attributes[semconv.FEATURE_CATEGORY_VALUES] == (SENT,)
        assert attributes[semconv.SLICE_PREFIX + "whom"] == SENT


def test_a_wrapped_model_shows_ids_as_they_are_sent(spans: CapturedSpans) -> None:
    model = inferspan.wrap(Model(), **VALUES, prediction_id="pid")
    model.predict(pd.DataFrame({"pid": [RAW, "b"], "age": [4.0, 5.0]}))
    assert shown(spans)["X"]["pid"] == [SENT, semconv.hash_text("b", KEY)]
    assert (spans[0].attributes or {})[semconv.PREDICTION_IDS] == tuple(shown(spans)["X"]["pid"])
    assert RAW not in written(spans)
    model.predict(pd.DataFrame({"pid": np.arange(4.7e8, 4.7e8 + 100), "age": 0.0}))
    (event,) = spans[1].events
    assert semconv.STATE_MEAN not in (event.attributes or {})


def test_packed_ids_are_not_sent(spans: CapturedSpans) -> None:
    @inferspan.predict(**VALUES, prediction_id="pid")
    def score(pid: Any) -> list[float]:
        inferspan.snapshot("pid", pid)
        return [1.0] * len(pid)

    score(np.arange(100))
    said = repr(spans[0].attributes) + repr(spans[0].events[0].attributes)
    assert repr(np.arange(100).tobytes()[8:32])[2:-1] not in said
    assert semconv.STATE_MAX not in (spans[0].events[0].attributes or {})


@pytest.mark.parametrize("source", ["pid", lambda pid: pid, None])
def test_no_message_is_recorded_where_ids_are_keyed(spans: CapturedSpans, source: Any) -> None:
    @inferspan.predict(**VALUES, prediction_id=source)
    def score(pid: str) -> float:
        with inferspan.stage("look up"):
            raise LookupError(f"no such {pid}")

    with pytest.raises(LookupError, match=RAW):
        score(RAW)
    assert [span.status.description for span in spans] == [None, None]
    assert len(spans.stages) == 1


def test_no_message_of_a_batch_is_recorded_where_ids_are_keyed(
    spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERSPAN_CAPTURE", "values")
    with pytest.raises(LookupError, match=RAW), inferspan.batch([None], model="m"):
        raise LookupError(f"no such {RAW}")
    assert [span.status.description for span in spans.batches] == [None]


@pytest.mark.parametrize(
    ("redact", "expected"),
    [
        (["pid"], PLACEHOLDER),
        ({"*": "drop"}, PLACEHOLDER),
        ({"pid": "keep", "*": "drop"}, SENT),
        ({"pid": "hash"}, SENT),
        ({"pid": lambda name, value: value}, SENT),
        (lambda name, value: f"so {value}", SENT),
        (lambda name, value: PLACEHOLDER, PLACEHOLDER),
    ],
)
def test_redaction_drops_an_id_and_shows_nothing_else_of_it(
    spans: CapturedSpans, redact: Any, expected: str
) -> None:
    score: Callable[[str], float] = inferspan.predict(**VALUES, prediction_id="pid", redact=redact)(
        lambda pid: 1.0
    )
    score(RAW)
    assert shown(spans) == {"pid": expected}


def test_what_other_names_hold_and_models_without_ids_are_as_ever(spans: CapturedSpans) -> None:
    inferspan.predict(**VALUES)(lambda pid: 1.0)("p")
    inferspan.predict(**VALUES, prediction_id="pid")(lambda pid, name: 1.0)(RAW, "Jo")
    assert shown(spans) == {"pid": SENT, "name": "Jo"}
    assert json.loads(str((spans[0].attributes or {})[semconv.INPUT_VALUE])) == {"pid": "p"}
